//! Is a lane alive? Rung 1 of the survival ladder asks this of every lane, tens of times a second.
//!
//! The judge looks at what the lane sensor saw and says *alive* or *suspect*. It never closes
//! anything: suspicion only means that what is unacknowledged goes out on another lane as well.
//!
//! Two rules raise suspicion, whichever is sooner; both need silence, so queues that grow while
//! acknowledgements keep coming raise none, and both need a packet that is older than its
//! acknowledgement should take, so an idle lane or one that has just spoken raises none:
//!
//! * **bulk**: acknowledgements used to come like a clock, much is in flight, and the clock has
//!   stopped. Quick: about 10 ms.
//! * **thin**: the oldest packet beyond the newest acknowledged one is older than the retransmission
//!   timeout, and no acknowledgement came for a while.
//!
//! A suspicion ends with the acknowledgement of a *full* packet sent *after* it was raised: an older
//! packet may have been under way when the path died, and a small one passes where large ones
//! vanish (a path whose MTU shrank without a word). Probes are full for that reason. It ends too when the lane moves to
//! another path (a new `epoch`), which begins innocent.

use std::time::{Duration, Instant};

/// What the lane sensor saw up to one moment. Times are of packets that ask for an acknowledgement.
#[derive(Clone, Copy, Debug)]
pub struct SensorSnapshot {
    /// Bytes in flight on the current path; those stranded on an earlier one are not counted.
    pub in_flight: u64,
    /// The congestion window in bytes.
    pub cwnd: u64,
    /// Bytes acknowledged since the lane began.
    pub acked_bytes: u64,
    /// Bytes declared lost since the lane began, those stranded by a move included.
    pub lost_bytes: u64,
    /// Bytes sent since the lane began, acknowledgements included, path-MTU probes not.
    pub sent_bytes: u64,
    /// When the last acknowledgement arrived.
    pub last_ack: Option<Instant>,
    /// When the oldest packet after the newest acknowledged one was sent. Holes below that are not
    /// counted: loss recovery fills them. `None` when nothing is outstanding.
    pub oldest_unacked: Option<Instant>,
    /// When the newest acknowledged packet was sent.
    pub newest_acked_sent: Option<Instant>,
    /// When the newest acknowledged packet of about the path's MTU was sent, and when its
    /// acknowledgement arrived.
    pub newest_full_acked_sent: Option<Instant>,
    /// See there.
    pub last_full_ack: Option<Instant>,
    /// When the last packet was sent.
    pub last_sent: Option<Instant>,
    /// How far apart acknowledgements arrive while the lane is busy: smoothed, quick to rise.
    pub ack_interval: Duration,
    /// Smoothed round-trip time, the peer's acknowledgement delay included (RFC 9002 §5.3).
    pub srtt: Duration,
    /// Its mean variation.
    pub rttvar: Duration,
    /// The least round-trip time seen on the current path.
    pub min_rtt: Duration,
    /// How often the lane has changed its path.
    pub epoch: u64,
}

/// The judgement of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Alive {
        /// Judge again then: the earliest moment at which suspicion could arise if nothing more is
        /// acknowledged. `None` when nothing is outstanding: judge when something is.
        check_at: Option<Instant>,
    },
    /// Its acknowledgements are overdue.
    Suspect {
        /// Since when; the same until the suspicion ends.
        since: Instant,
        /// How long the suspect has shown no sign that bulk passes: since the suspicion began, or
        /// since the last acknowledgement of a full packet (sent whenever) after that.
        progressless: Duration,
        /// Judge again then, at the latest.
        recheck_at: Instant,
    },
}

/// What raises a suspicion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The acknowledgement clock of a busy lane has stopped.
    Bulk,
    /// A packet is unacknowledged for longer than the retransmission timeout.
    Thin,
}

impl std::fmt::Display for Rule {
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

/// The thin rule wants this much silence too. Two acknowledgement delays of 5 ms and some jitter.
const THIN_SILENCE: Duration = Duration::from_millis(12);

/// The bulk rule calls the acknowledgement clock stopped after this long at the least: short
/// enough for a 50 ms echo, longer than a time slice of a busy peer.
const BULK_SILENCE: Duration = Duration::from_millis(10);

/// ... and after this many of its usual intervals.
const BULK_INTERVALS: u32 = 4;

/// "Much in flight": 16 full packets. Fewer make no clock.
const BULK_IN_FLIGHT: u64 = 16 * 1200;

/// The bulk rule's margin over the smoothed round-trip time. It costs nothing (silence takes
/// longer) and keeps the gap between two bursts from looking like a stopped clock.
const BULK_MARGIN: Duration = Duration::from_millis(5);

/// Our own timer firing later than this means that we did not run, so neither did the sockets.
const LATE: Duration = Duration::from_millis(5);

/// After a stall, the time in which what waits in the sockets is read.
const DRAIN: Duration = Duration::from_millis(10);

/// The judge of one lane.
#[derive(Clone, Debug)]
pub struct HealthState {
    max_ack_delay: Duration,
    epoch: u64,
    suspect_since: Option<Instant>,
    /// What raised the last suspicion.
    rule: Rule,
    /// No suspicion is raised before this: we have just woken from a stall.
    hold_until: Option<Instant>,
    /// A stall was forgiven and nothing has been acknowledged since (this was the last one then).
    forgiven: Option<Option<Instant>>,
    last_ack: Option<Instant>,
}

impl HealthState {
    /// The judge of a lane whose peer delays acknowledgements by up to `max_ack_delay`: 5 ms where
    /// it honours our ACK_FREQUENCY, 25 ms otherwise (RFC 9000 §18.2).
    pub fn new(max_ack_delay: Duration) -> Self {
        Self {
            max_ack_delay,
            epoch: 0,
            suspect_since: None,
            rule: Rule::Thin,
            hold_until: None,
            forgiven: None,
            last_ack: None,
        }
    }

    /// The lane's retransmission timeout: how long a lone packet's acknowledgement may take. A
    /// suspect without progress for this long may be hedged without limit.
    pub fn rto(&self, seen: &SensorSnapshot) -> Duration {
        let margin = (4 * seen.rttvar).max(GRANULARITY);
        (seen.srtt + margin + self.max_ack_delay).max(RTO_FLOOR)
    }

    /// Judges the lane by what its sensor has `seen`, at `now`.
    pub fn judge(&mut self, now: Instant, seen: &SensorSnapshot) -> Verdict {
        self.take_in(seen);
        if let Some(since) = self.suspect_since {
            return self.suspect(now, since, seen);
        }
        let Some((due, rule)) = self.due(seen) else { return Verdict::Alive { check_at: None } };
        let due = self.hold_until.map_or(due, |hold| due.max(hold));
        if now < due {
            return Verdict::Alive { check_at: Some(due) };
        }
        self.suspect_since = Some(now);
        self.rule = rule;
        self.suspect(now, now, seen)
    }

    /// Which rule raised the last suspicion.
    pub fn rule(&self) -> Rule {
        self.rule
    }

    /// Says that our own timer fired at `now`, `late_by` after its time: we did not run (CPU
    /// starvation, SIGSTOP, suspend), so what looks like silence may lie unread in our sockets.
    /// Suspicion waits until they had time to drain, once; a stall that follows before anything
    /// was acknowledged is not forgiven again.
    pub fn stalled(&mut self, now: Instant, late_by: Duration) {
        if late_by >= LATE && self.forgiven.is_none() {
            self.forgiven = Some(self.last_ack);
            self.hold_until = Some(now + DRAIN);
        }
    }

    /// Lets go of what no longer holds.
    fn take_in(&mut self, seen: &SensorSnapshot) {
        if seen.epoch != self.epoch {
            self.epoch = seen.epoch;
            self.suspect_since = None;
        }
        if self.suspect_since.is_some() && seen.newest_full_acked_sent > self.suspect_since {
            self.suspect_since = None;
        }
        self.last_ack = seen.last_ack;
        if self.forgiven.is_some_and(|then| seen.last_ack > then) {
            self.forgiven = None;
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

    /// When the lane becomes suspect if nothing more is acknowledged, and by which rule.
    fn due(&self, seen: &SensorSnapshot) -> Option<(Instant, Rule)> {
        let oldest = seen.oldest_unacked?;
        let bulk = seen.in_flight >= BULK_IN_FLIGHT;
        // A bulk clock that ticks slowly is no silence for the thin rule either.
        let clock = if bulk { BULK_INTERVALS * seen.ack_interval } else { Duration::ZERO };
        let last_ack = seen.last_ack.unwrap_or(oldest);
        let thin = (oldest + self.rto(seen)).max(last_ack + THIN_SILENCE.max(clock));
        // The clock ran over the oldest packet only if an acknowledgement came after it was sent:
        // the first flight after idleness has no clock yet.
        if !bulk || seen.last_ack.is_none_or(|last| oldest > last) {
            return Some((thin, Rule::Thin));
        }
        let overdue = oldest + seen.srtt + seen.rttvar.max(BULK_MARGIN);
        let stopped = overdue.max(last_ack + BULK_SILENCE.max(clock));
        Some(if stopped < thin { (stopped, Rule::Bulk) } else { (thin, Rule::Thin) })
    }
}

#[cfg(test)]
mod tests;
