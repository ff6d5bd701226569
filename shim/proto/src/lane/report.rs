//! Decides what of a lane is worth an operator's attention, and reports it once.
//!
//! On a busy machine acknowledgements are late by some milliseconds every now and then, and the lane
//! is suspect until they come. That is as it should be, and nobody needs to hear of it. A suspicion
//! is reported once it has lasted for [`REPORT_AFTER`], or as soon as bytes were sent again because
//! of it, or when the lane ends in it. A suspicion that ends before is brief: it is counted, and the
//! next report says how many there were.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::rules::{Rule, Rules};
use super::suspicion::SuspicionRule;
use crate::types::LaneId;

/// Suspicions that end within this were late acknowledgements as a rule: on a busy machine they last
/// 2 to 40 ms. And a person notices a wait from about this on.
pub(super) const REPORT_AFTER: Duration = Duration::from_millis(100);

/// How long bytes that are sent again are counted before they are reported: one event, not one for
/// each piece.
const COUNT_FOR: Duration = Duration::from_millis(100);

/// Something about a lane that is worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A suspicion was raised. Worth a line in a debug log; [`Self::Suspected`] follows if it lasts.
    Raised {
        /// The system says that our address is gone.
        address_lost: bool,
        /// The peer raised it.
        by_peer: bool,
    },
    /// The lane is suspected.
    Suspected {
        /// Who suspects it.
        detected_by: SuspectedBy,
        /// Brief suspicions before this one that were not reported.
        suppressed: u64,
    },
    /// A suspicion that was reported is over.
    Recovered {
        /// How long it lasted.
        after: Duration,
    },
    /// A suspicion that was not reported is over. Worth a line in a debug log.
    Withdrawn {
        /// How long it lasted.
        after: Duration,
    },
    /// One direction of the lane is dead.
    OneWay(FailedDirection),
    /// The lane answers, but much of what we send is lost.
    Lossy {
        /// How much, in percent of the bytes.
        percent: u64,
    },
    /// The peer's address changed.
    PeerMigrated {
        /// The address before.
        from: SocketAddr,
        /// The address now.
        to: SocketAddr,
    },
    /// Bytes that are at risk on other lanes were sent again on this one.
    Hedged {
        /// How many.
        bytes: u64,
        /// The lanes that were suspect then; none where the suspect was gone already.
        instead_of: Vec<LaneId>,
    },
}

/// Who suspects a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuspectedBy {
    /// This end: what it sends is not acknowledged.
    Us {
        /// The rule that raised the suspicion.
        rule: SuspicionRule,
        /// The longest time for which nothing was acknowledged.
        silence: Duration,
    },
    /// The peer: what it sends is not acknowledged.
    Peer,
}

/// Which direction of a lane is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedDirection {
    /// Our packets are lost, the peer's arrive.
    Ours {
        /// Datagrams that came since the last probe.
        received: u64,
    },
    /// The peer's packets are lost, as it told us on another lane.
    Peers,
}

/// What an end thinks of a lane, and whether that was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End<T> {
    Trusts,
    Suspects(T),
    Reported,
}

impl<T: Copy> End<T> {
    /// Follows what the end thinks, until that is reported.
    fn observe(&mut self, suspicion: Option<T>) {
        if let Self::Trusts | Self::Suspects(_) = self {
            *self = suspicion.map_or(Self::Trusts, Self::Suspects);
        }
    }

    /// Returns a suspicion that was not reported, which counts as reported then.
    fn report(&mut self) -> Option<T> {
        let Self::Suspects(suspicion) = *self else { return None };
        *self = Self::Reported;
        Some(suspicion)
    }
}

/// A suspicion that lasts, as far as it matters for reports.
#[derive(Debug)]
struct Present {
    ours: End<SuspicionRule>,
    peers: End<()>,
    /// The longest time for which nothing was acknowledged: packets under way may arrive late.
    silence: Duration,
    /// Bytes that had been sent again on other lanes when the suspicion was raised.
    resent: u64,
}

/// Reports the suspicions of a lane.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    rules: Rules,
    present: Option<Present>,
    /// Brief suspicions since one was reported.
    suppressed: u64,
    /// All suspicions.
    count: u64,
}

impl Reporter {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Returns how many suspicions there were, however brief.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Observes a suspicion that lasts since `since`; returns when to do so again.
    ///
    /// `ours` is the rule by which this end suspects the lane, and the time since the last
    /// acknowledgement; `peers` says whether the peer does; `resent` counts the bytes that have been
    /// sent again on other lanes.
    pub(super) fn observe(
        &mut self,
        now: Instant,
        since: Instant,
        ours: Option<(SuspicionRule, Duration)>,
        peers: bool,
        resent: u64,
    ) -> (Vec<Report>, Option<Instant>) {
        if self.present.is_none() {
            self.count += 1;
        }
        let present = self.present.get_or_insert(Present {
            ours: End::Trusts,
            peers: End::Trusts,
            silence: Duration::ZERO,
            resent,
        });
        present.silence = ours.map_or(present.silence, |(_, silence)| silence.max(present.silence));
        present.ours.observe(ours.map(|(rule, _)| rule));
        present.peers.observe(peers.then_some(()));
        match self.is_worth(now, since, resent) {
            true => (self.report(), None),
            false => (Vec::new(), Some(since + REPORT_AFTER)),
        }
    }

    /// Ends a suspicion that was raised at `since`.
    pub(super) fn end(&mut self, now: Instant, since: Instant, resent: u64) -> Vec<Report> {
        if self.present.is_none() {
            return Vec::new();
        }
        let after = now.saturating_duration_since(since);
        let mut reports = Vec::new();
        if self.is_worth(now, since, resent) {
            reports = self.report();
            reports.push(Report::Recovered { after });
        } else {
            self.suppressed += 1;
            reports.push(Report::Withdrawn { after });
        }
        self.present = None;
        reports
    }

    /// Reports what was not reported of the present suspicion: the lane ends in it.
    pub(super) fn report(&mut self) -> Vec<Report> {
        let Some(present) = &mut self.present else { return Vec::new() };
        let silence = present.silence;
        let ours = present.ours.report().map(|rule| SuspectedBy::Us { rule, silence });
        let peers = present.peers.report().map(|()| SuspectedBy::Peer);
        let suspected = |detected_by| Report::Suspected {
            detected_by,
            suppressed: std::mem::take(&mut self.suppressed),
        };
        ours.into_iter().chain(peers).map(suspected).collect()
    }

    /// Forgets the present suspicion: the lane has another path.
    pub(super) fn forget(&mut self) {
        self.present = None;
    }

    fn is_worth(&self, now: Instant, since: Instant, resent: u64) -> bool {
        let Some(present) = &self.present else { return false };
        let reported = present.ours == End::Reported || present.peers == End::Reported;
        let is_long = now.saturating_duration_since(since) >= REPORT_AFTER;
        let quiet = self.rules.apply(Rule::BriefIsQuiet);
        reported || is_long || resent > present.resent || !quiet
    }
}

/// Reports bytes that were sent again on a lane because another was suspect.
#[derive(Debug, Default)]
pub(super) struct HedgeReporter {
    reported: u64,
    /// Since when bytes are counted, and the lanes that were suspect then.
    counting: Option<(Instant, Vec<LaneId>)>,
}

impl HedgeReporter {
    /// Observes that `total` bytes have been sent again on the lane; returns a report that is due,
    /// and when to observe again. `suspects` names the other lanes that are suspect.
    pub(super) fn observe(
        &mut self,
        now: Instant,
        total: u64,
        suspects: impl FnOnce() -> Vec<LaneId>,
    ) -> (Option<Report>, Option<Instant>) {
        let bytes = total - self.reported;
        if bytes == 0 {
            return (None, None);
        }
        let (since, _) = self.counting.get_or_insert_with(|| (now, suspects()));
        let due = *since + COUNT_FOR;
        if due > now {
            return (None, Some(due));
        }
        let instead_of = self.counting.take().map(|(_, lanes)| lanes).unwrap_or_default();
        self.reported = total;
        (Some(Report::Hedged { bytes, instead_of }), None)
    }
}

#[cfg(test)]
mod tests;
