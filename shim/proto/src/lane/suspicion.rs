//! Detects that a lane's acknowledgements are late, tens of times a second.
//!
//! The detector looks at what the lane sensor saw and says *alive* or *suspect*. It never closes a
//! lane: suspicion only means that unacknowledged bytes go out on another lane as well.
//!
//! Two rules raise a suspicion, whichever is due first. Both need silence, so queues that grow while
//! acknowledgements keep coming raise none. Both need a packet that is older than its
//! acknowledgement should take, so an idle lane, or one that has just sent, raises none.
//!
//! * **bulk**: acknowledgements used to come like a clock, much is in flight, and the clock has
//!   stopped. Quick: about 10 ms.
//! * **thin**: the oldest packet beyond the newest acknowledged one is older than the retransmission
//!   timeout, and no acknowledgement came for a while.
//!
//! A suspicion ends with the acknowledgement of a *full* packet sent *after* it was raised: an older
//! packet may have been under way when the path died, and a small one passes where large ones
//! vanish (a path whose MTU shrank silently, RFC 8899 §3). Probes are full for that reason. A
//! suspicion ends too when the lane migrates: a new path (a new `epoch`) begins without one.

use std::time::{Duration, Instant};

use super::observation::SensorSnapshot;
use super::rules::{Rule, Rules};

/// What this end thinks of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Acknowledgements come as they should.
    Alive,
    /// Acknowledgements are late.
    Suspect {
        /// No progress for a retransmission timeout: no longer a guess.
        confirmed: bool,
    },
}

/// What a detector finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Alive {
        /// Evaluate again then: the earliest moment at which a suspicion could arise if nothing
        /// more is acknowledged. `None` when nothing is outstanding: evaluate when something is.
        check_at: Option<Instant>,
    },
    /// Acknowledgements are late.
    Suspect {
        /// When the suspicion was raised.
        since: Instant,
        /// How long the suspect has shown no sign that bulk passes: since the suspicion was raised,
        /// or since the last acknowledgement of a full packet (sent whenever) after that.
        progressless: Duration,
        /// Evaluate again then, at the latest.
        recheck_at: Instant,
    },
}

/// The rule that raised a suspicion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SuspicionRule {
    /// The acknowledgement clock of a busy lane has stopped.
    Bulk,
    /// A packet is unacknowledged for longer than the retransmission timeout.
    Thin,
}

impl std::fmt::Display for SuspicionRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bulk => "bulk",
            Self::Thin => "thin",
        })
    }
}

/// The least retransmission timeout. A lane with a shorter round trip is not judged more sharply:
/// schedulers and radio links pause for 10–20 ms without meaning anything by it.
const RTO_FLOOR: Duration = Duration::from_millis(30);

/// The least margin over the smoothed round-trip time (`kGranularity`, RFC 9002 §6.1.2).
const GRANULARITY: Duration = Duration::from_millis(1);

/// The silence that the thin rule needs besides: two acknowledgement delays of 5 ms and some jitter.
const THIN_SILENCE: Duration = Duration::from_millis(12);

/// The silence after which the bulk rule calls the acknowledgement clock stopped, at the least:
/// short enough for a 50 ms echo, longer than a time slice of a busy peer.
const BULK_SILENCE: Duration = Duration::from_millis(10);

/// The same in usual intervals of the clock.
const BULK_INTERVALS: u32 = 4;

/// "Much in flight": 16 full packets. Fewer make no clock.
const BULK_IN_FLIGHT: u64 = 16 * 1200;

/// The bulk rule's margin over the smoothed round-trip time. It costs nothing (silence takes
/// longer) and keeps the gap between two bursts from looking like a stopped clock.
const BULK_MARGIN: Duration = Duration::from_millis(5);

/// A timer of ours that fires later than this means that we did not run, so neither did the sockets.
const LATE_TIMER: Duration = Duration::from_millis(5);

/// How long suspicion is held back after a late timer: packets that wait in the sockets are read.
const SOCKET_DRAIN: Duration = Duration::from_millis(10);

/// The detector of one lane.
#[derive(Clone, Debug)]
pub struct SuspicionDetector {
    rules: Rules,
    max_ack_delay: Duration,
    epoch: u64,
    raised_at: Option<Instant>,
    /// The rule that raised the last suspicion.
    raised_by: SuspicionRule,
    /// No suspicion is raised before this: we have just woken from a stall.
    hold_until: Option<Instant>,
    /// A stall was excused and nothing has been acknowledged since (this was the last
    /// acknowledgement then).
    excused: Option<Option<Instant>>,
    last_ack: Option<Instant>,
}

impl SuspicionDetector {
    /// Returns the detector of a lane whose peer delays acknowledgements by up to `max_ack_delay`.
    pub fn new(max_ack_delay: Duration) -> Self {
        Self::with_rules(max_ack_delay, Rules::default())
    }

    pub(super) fn with_rules(max_ack_delay: Duration, rules: Rules) -> Self {
        Self {
            rules,
            max_ack_delay,
            epoch: 0,
            raised_at: None,
            raised_by: SuspicionRule::Thin,
            hold_until: None,
            excused: None,
            last_ack: None,
        }
    }

    /// Returns the lane's retransmission timeout: how long the acknowledgement of a lone packet may
    /// take. A suspect without progress for this long may be hedged without limit.
    pub fn rto(&self, seen: &SensorSnapshot) -> Duration {
        let margin = (4 * seen.rttvar).max(GRANULARITY);
        (seen.srtt + margin + self.max_ack_delay).max(RTO_FLOOR)
    }

    /// Evaluates at `now` what the lane's sensor has `seen`.
    pub fn evaluate(&mut self, now: Instant, seen: &SensorSnapshot) -> Verdict {
        self.observe(seen);
        if let Some(since) = self.raised_at {
            return self.suspect(now, since, seen);
        }
        let Some((due, rule)) = self.due(seen) else { return Verdict::Alive { check_at: None } };
        let due = self.hold_until.map_or(due, |hold| due.max(hold));
        if now < due {
            return Verdict::Alive { check_at: Some(due) };
        }
        self.raised_at = Some(now);
        self.raised_by = rule;
        self.suspect(now, now, seen)
    }

    /// Returns the rule that raised the last suspicion.
    pub fn raised_by(&self) -> SuspicionRule {
        self.raised_by
    }

    /// Records that our own timer fired at `now`, `late_by` after its time.
    ///
    /// We did not run (CPU starvation, SIGSTOP, suspend), so what looks like silence may lie unread
    /// in our sockets. Suspicion waits until they had time to drain, once; a stall that follows
    /// before anything was acknowledged is not excused again.
    pub fn timer_fired(&mut self, now: Instant, late_by: Duration) {
        let again = self.excused.is_some() && self.rules.apply(Rule::LateTimerOnce);
        if late_by >= LATE_TIMER && !again && self.rules.apply(Rule::LateTimerHolds) {
            self.excused = Some(self.last_ack);
            self.hold_until = Some(now + SOCKET_DRAIN);
        }
    }

    /// Drops what no longer holds.
    fn observe(&mut self, seen: &SensorSnapshot) {
        if seen.epoch != self.epoch {
            self.epoch = seen.epoch;
            if self.rules.apply(Rule::NewPathEnds) {
                self.raised_at = None;
            }
        }
        let proof = match self.rules.apply(Rule::FullPacketEnds) {
            true => seen.newest_full_acked_sent,
            false => seen.newest_acked_sent,
        };
        let later = proof > self.raised_at || !self.rules.apply(Rule::LaterPacketEnds);
        if self.raised_at.is_some() && proof.is_some() && later {
            self.raised_at = None;
        }
        self.last_ack = seen.last_ack;
        if self.excused.is_some_and(|then| seen.last_ack > then) {
            self.excused = None;
            self.hold_until = None;
        }
    }

    fn suspect(&self, now: Instant, since: Instant, seen: &SensorSnapshot) -> Verdict {
        let progress = seen.last_full_ack.map_or(since, |ack| ack.max(since));
        Verdict::Suspect {
            since,
            progressless: now.saturating_duration_since(progress),
            recheck_at: now + self.rto(seen),
        }
    }

    /// Returns when the lane becomes suspect if nothing more is acknowledged, and by which rule.
    fn due(&self, seen: &SensorSnapshot) -> Option<(Instant, SuspicionRule)> {
        let thin = self.thin_due(seen).map(|at| (at, SuspicionRule::Thin));
        let bulk = self.bulk_due(seen).map(|at| (at, SuspicionRule::Bulk));
        // Of two that are due at once it is the thin one.
        [thin, bulk].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    fn thin_due(&self, seen: &SensorSnapshot) -> Option<Instant> {
        if !self.rules.apply(Rule::ThinRaises) {
            return None;
        }
        let oldest = seen.oldest_unacked?;
        // A bulk clock that ticks slowly is no silence for the thin rule either.
        let silence = THIN_SILENCE.max(clock(seen));
        Some((oldest + self.rto(seen)).max(seen.last_ack.unwrap_or(oldest) + silence))
    }

    fn bulk_due(&self, seen: &SensorSnapshot) -> Option<Instant> {
        if seen.in_flight < BULK_IN_FLIGHT || !self.rules.apply(Rule::BulkRaises) {
            return None;
        }
        // The clock ran over the oldest packet only if an acknowledgement came after it was sent:
        // the first flight after idleness has no clock yet.
        let (oldest, last_ack) = (seen.oldest_unacked?, seen.last_ack?);
        if oldest > last_ack {
            return None;
        }
        let late = oldest + seen.srtt + seen.rttvar.max(BULK_MARGIN);
        Some(late.max(last_ack + BULK_SILENCE.max(clock(seen))))
    }
}

/// Returns after how much silence the acknowledgement clock of a busy lane has stopped.
fn clock(seen: &SensorSnapshot) -> Duration {
    match seen.in_flight >= BULK_IN_FLIGHT {
        true => BULK_INTERVALS * seen.ack_interval,
        false => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests;
