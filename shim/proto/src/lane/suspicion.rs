//! Detects that a lane's acknowledgements are late, tens of times a second.
//!
//! The detector looks at what the lane sensor saw and says *alive*, *late* or *suspect*. It never
//! closes a lane: suspicion only means that unacknowledged bytes go out on another lane as well.
//!
//! Two rules find a lane late, whichever is due first. Both need silence, so queues that grow while
//! acknowledgements keep coming raise none. Both need a packet that is older than its
//! acknowledgement should take, so an idle lane, or one that has just sent, raises none.
//!
//! * **bulk**: acknowledgements used to come like a clock, much is in flight, and the clock has
//!   stopped. Quick: about 10 ms.
//! * **thin**: the oldest packet beyond the newest acknowledged one is older than the retransmission
//!   timeout, and no acknowledgement came for a while.
//!
//! A third finds that full packets vanish where smaller ones pass, for which no silence is needed (`narrow`).
//!
//! A late lane is suspect at once where its path never pauses. Where it does ([`Pauses`]) it is suspect
//! once the silence is longer than is usual there. Until then only thin flows, whose bytes cost nothing,
//! are sent on another lane as well. What our own scheduling delays counts for no silence.
//!
//! A suspicion ends with the acknowledgement of a *full* packet sent *after* it was raised: an older
//! packet may have been under way when the path died, and a small one passes where large ones
//! vanish (a path whose MTU shrank silently, RFC 8899 §3). Probes are full for that reason. A
//! suspicion ends too when the lane migrates: a new path (a new `epoch`) begins without one.

use std::time::{Duration, Instant};

use super::narrow::Narrow;
use super::observation::SensorSnapshot;
use super::pauses::BULK_IN_FLIGHT;
#[cfg(doc)]
use super::pauses::Pauses;
use super::rules::{Rule, Rules};
use super::scheduling::SchedulingDelay;

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
    /// Acknowledgements are late, but no later than is usual for this path.
    Late {
        /// Evaluate again then, at the latest.
        check_at: Instant,
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

/// The least margin as a part of the round-trip time (`kTimeThreshold`, RFC 9002 §6.1.2). On a path of
/// steady 40 ms the variation is nearly nothing; a lone packet's acknowledgement, delayed by 5 ms and
/// as long as a timer's resolution, would be late each time.
const MARGIN_DIVISOR: u32 = 8;

/// The silence that the thin rule needs besides: two acknowledgement delays of 5 ms and some jitter.
const THIN_SILENCE: Duration = Duration::from_millis(12);

/// The silence after which the bulk rule calls the acknowledgement clock stopped, at the least:
/// short enough for a 50 ms echo, longer than a time slice of a busy peer.
const BULK_SILENCE: Duration = Duration::from_millis(10);

/// The same in usual intervals of the clock.
const BULK_INTERVALS: u32 = 4;

/// The bulk rule's margin over the smoothed round-trip time. It costs nothing (silence takes
/// longer) and keeps the gap between two bursts from looking like a stopped clock.
const BULK_MARGIN: Duration = Duration::from_millis(5);

/// The longest that a lone packet's successor is given its time on a path that may lose packets: nearly all have
/// been answered by then, and bulk may be about to begin.
const MAX_LONE_WAIT: Duration = Duration::from_millis(200);

/// A timer of ours that fires later than this means that we did not run, so neither did the sockets.
const LATE_TIMER: Duration = Duration::from_millis(5);

/// How long suspicion is held back after a late timer: packets that wait in the sockets are read.
const SOCKET_DRAIN: Duration = Duration::from_millis(10);

/// How often a late lane is looked at: thin flows are sent twice while it is.
const LATE_RECHECK: Duration = Duration::from_millis(25);

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
    scheduling: SchedulingDelay,
    /// The path loses packets now and then.
    expects_loss: bool,
    /// It has lost one lately.
    may_lose: bool,
    narrow: Narrow,
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
            scheduling: SchedulingDelay::default(),
            expects_loss: false,
            may_lose: false,
            narrow: Narrow::No,
        }
    }

    /// Returns the lane's retransmission timeout: how long the acknowledgement of a lone packet may
    /// take. A suspect without progress for this long may be hedged without limit.
    pub fn rto(&self, seen: &SensorSnapshot) -> Duration {
        let margin = (4 * seen.rttvar).max(seen.srtt / MARGIN_DIVISOR).max(GRANULARITY);
        (seen.srtt + margin + self.max_ack_delay).max(RTO_FLOOR)
    }

    /// Evaluates at `now` what the lane's sensor has `seen`.
    pub fn evaluate(&mut self, now: Instant, seen: &SensorSnapshot) -> Verdict {
        self.observe(seen);
        if let Some(since) = self.raised_at {
            return self.suspect(now, since, seen);
        }
        if self.narrow == Narrow::Yes && self.rules.apply(Rule::NarrowRaises) {
            (self.raised_at, self.raised_by) = (Some(now), SuspicionRule::Bulk);
            return self.suspect(now, now, seen);
        }
        let Some((due, rule)) = self.due(now, seen) else {
            return Verdict::Alive { check_at: None };
        };
        let due = self.hold_until.map_or(due, |hold| due.max(hold));
        if now < due {
            return Verdict::Alive { check_at: Some(due) };
        }
        if let Some(until) = self.usual_until(now, seen, rule).filter(|until| now < *until) {
            return Verdict::Late { check_at: until.min(now + LATE_RECHECK) };
        }
        self.raised_at = Some(now);
        self.raised_by = rule;
        self.suspect(now, now, seen)
    }

    /// Returns the rule that raised the last suspicion.
    pub fn raised_by(&self) -> SuspicionRule {
        self.raised_by
    }

    /// Takes in whether full packets vanish on the path where smaller ones pass.
    pub(super) fn note_narrow(&mut self, narrow: Narrow) {
        self.narrow = narrow;
    }

    /// Takes in whether the path loses packets now and then, and whether it has lost one lately.
    pub(super) fn expect_loss(&mut self, expects_loss: bool, may_lose: bool) {
        (self.expects_loss, self.may_lose) = (expects_loss, may_lose);
    }

    /// Records that our own timer fired at `now`, `late_by` after its time.
    ///
    /// We did not run (CPU starvation, SIGSTOP, suspend), so what looks like silence may lie unread
    /// in our sockets. Suspicion waits until they had time to drain, once; a stall that follows
    /// before anything was acknowledged is not excused again.
    pub fn timer_fired(&mut self, now: Instant, late_by: Duration) {
        self.scheduling.timer_fired(now, late_by);
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
        // Where smaller packets pass the silence of full ones began before it was a suspicion.
        let progress = match seen.last_full_ack {
            Some(ack) if self.narrow >= Narrow::Likely => ack,
            Some(ack) => ack.max(since),
            None => since,
        };
        Verdict::Suspect {
            since,
            progressless: now.saturating_duration_since(progress),
            recheck_at: now + self.rto(seen),
        }
    }

    /// Returns how late we may read what comes.
    fn delay(&self, now: Instant) -> Duration {
        match self.rules.apply(Rule::SchedulingDelayCounts) {
            true => self.scheduling.estimate(now),
            false => Duration::ZERO,
        }
    }

    /// Returns when the lane is late if nothing more is acknowledged, and by which rule.
    fn due(&self, now: Instant, seen: &SensorSnapshot) -> Option<(Instant, SuspicionRule)> {
        let delay = self.delay(now);
        let thin = self.thin_due(seen).map(|at| (at, SuspicionRule::Thin));
        let bulk = self.bulk_due(seen).map(|at| (at, SuspicionRule::Bulk));
        // Of two that are due at once it is the thin one.
        let first = [thin, bulk].into_iter().flatten().min_by_key(|(at, _)| *at);
        first.map(|(at, rule)| (at + delay, rule))
    }

    /// Returns until when the silence is no longer than is usual for this path. It begins when the
    /// acknowledgement of the oldest packet was due, or with the last one that came. Where the path loses
    /// packets now and then, a lone one may be lost, and the next is given its time; likewise where little is
    /// in flight and the path is not known to be clean.
    fn usual_until(
        &self,
        now: Instant,
        seen: &SensorSnapshot,
        rule: SuspicionRule,
    ) -> Option<Instant> {
        if self.narrow >= Narrow::Likely {
            // A pause that is over loses nothing more.
            return None;
        }
        let oldest = seen.oldest_unacked?;
        let due = (oldest + seen.srtt).max(seen.last_ack.unwrap_or(oldest)) + self.delay(now);
        let pause = match self.rules.apply(Rule::UsualPauseIsLate) {
            true => due + seen.pauses.suspect_after,
            false => due,
        };
        let unclean = self.may_lose || !seen.pauses.suspect_after.is_zero();
        let is_lone = unclean && seen.in_flight < BULK_IN_FLIGHT;
        let rto = self.rto(seen);
        Some(match rule {
            SuspicionRule::Thin if self.expects_loss => pause.max(oldest + 2 * rto),
            SuspicionRule::Thin if is_lone => pause.max(oldest + rto + rto.min(MAX_LONE_WAIT)),
            _ => pause,
        })
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
