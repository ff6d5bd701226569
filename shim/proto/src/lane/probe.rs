//! When a suspect is probed.
//!
//! Probes ask a suspect whether it answers again, and their answers tell a one-way failure from a
//! dead path. They go past a full congestion window.
//!
//! QUIC probes, too, after a probe timeout without any packet sent (RFC 9002 §6.2), and quinn's probes are small:
//! they alone pass where the path has begun to drop large packets, and show that it does. Probes of ours that
//! come quicker than that timeout would put quinn's off for ever. So where bulk is in flight every second one leaves it
//! the time to fire, three times while it doubles, and every one does once small packets pass: quinn needs several
//! losses, apart, to send smaller packets.

use std::time::{Duration, Instant};

use super::rules::{Rule, Rules};

/// The interval of probes. A path that recovers is noticed within this and a round trip.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);

/// The interval of the first probes. Whether only one direction is dead, or only large packets are
/// lost, shows in the answers to the first two or three, and flows may be waiting for it.
const EARLY_PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// How long a suspicion counts as new.
const EARLY_PROBES_FOR: Duration = Duration::from_millis(500);

/// By this part our retransmission timeout is lengthened where quinn's probe timeout is to fire before it: both
/// are of the same samples, smoothed each in its own way.
const YIELD_DIVISOR: u32 = 4;

/// QUIC's timeout doubles each time that it fires in vain. How much of that is waited for.
const MAX_YIELD: u32 = 4;

/// What QUIC's own probes of a lane depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct QuicTurn {
    /// The lane's retransmission timeout.
    pub(super) rto: Duration,
    /// Small packets that were sent since the suspicion are acknowledged.
    pub(super) small_pass: bool,
    /// When the last packet was sent.
    pub(super) last_sent: Instant,
}

/// The schedule of a lane's probes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProbeSchedule {
    rules: Rules,
    /// How many were sent, and when the last was.
    count: u32,
    last: Option<Instant>,
}

impl ProbeSchedule {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, count: 0, last: None }
    }

    /// Returns when the next probe of a lane that is suspect since `suspected_since` is due. `turn`: how QUIC's own
    /// probes have theirs, where bulk is in flight.
    pub(super) fn due(
        &self,
        now: Instant,
        suspected_since: Instant,
        turn: Option<QuicTurn>,
    ) -> Instant {
        let Some(last) = self.last else { return now };
        let due = last + self.interval(now, suspected_since);
        let Some(turn) = turn.filter(|_| self.rules.apply(Rule::ProbeYields)) else { return due };
        let yields = match turn.small_pass {
            true => 1,
            false if self.count % 2 == 1 => 1_u32.checked_shl(self.count / 2).unwrap_or(u32::MAX),
            false => 0,
        };
        if yields == 0 || yields > MAX_YIELD {
            return due;
        }
        let timeout = turn.rto + turn.rto / YIELD_DIVISOR;
        due.max(turn.last_sent.max(last) + yields * timeout)
    }

    /// Records a probe that is sent at `now`.
    pub(super) fn sent(&mut self, now: Instant) {
        self.count = self.count.saturating_add(1);
        self.last = Some(now);
    }

    /// Forgets earlier probes: the next suspicion is probed at once.
    pub(super) fn reset(&mut self) {
        (self.count, self.last) = (0, None);
    }

    fn interval(&self, now: Instant, suspected_since: Instant) -> Duration {
        let early = now.saturating_duration_since(suspected_since) < EARLY_PROBES_FOR;
        match early && self.rules.apply(Rule::ProbeEarly) {
            true => EARLY_PROBE_INTERVAL,
            false => PROBE_INTERVAL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Returns when probes are sent in so many ms, and when what the schedule is told of QUIC is `turn`.
    fn sent(ms: u32, turn: impl Fn(Instant) -> Option<QuicTurn>) -> Vec<u32> {
        let (start, mut probes) = (Instant::now(), ProbeSchedule::default());
        let mut sent = Vec::new();
        for ms in 0..ms {
            let now = start + ms * MS;
            if probes.due(now, start, turn(start)) <= now {
                probes.sent(now);
                sent.push(ms);
            }
        }
        sent
    }

    #[test]
    fn the_first_probe_is_due_at_once_and_early_ones_come_twice_as_often() {
        let expected = [0, 50, 100, 150, 200, 250, 300, 350, 400, 450, 550, 650, 750, 850, 950];
        assert_eq!(sent(1000, |_| None), expected);
    }

    #[test]
    fn a_suspicion_that_follows_a_recovery_is_probed_at_once() {
        let (now, mut probes) = (Instant::now(), ProbeSchedule::default());
        probes.sent(now);
        assert_eq!(probes.due(now + MS, now, None), now + 50 * MS);
        probes.reset();
        assert_eq!(probes.due(now + MS, now + MS, None), now + MS);
    }

    #[test]
    fn where_bulk_is_in_flight_quinns_probe_timeout_has_time_to_fire_as_it_doubles() {
        let turn =
            |small_pass| move |start| Some(QuicTurn { rto: 40 * MS, small_pass, last_sent: start });
        assert_eq!(sent(700, turn(false)), [0, 50, 100, 200, 250, 450, 550, 650]);
        let long = |start| Some(QuicTurn { rto: 120 * MS, small_pass: true, last_sent: start });
        assert_eq!(sent(500, long), [0, 150, 300, 450], "small packets pass");
    }

    #[test]
    fn bulk_that_leaves_is_a_probe_by_itself() {
        let (start, mut probes) = (Instant::now(), ProbeSchedule::default());
        probes.sent(start);
        let last_sent = start + 30 * MS;
        let turn = QuicTurn { rto: 40 * MS, small_pass: true, last_sent };
        assert_eq!(probes.due(start + 60 * MS, start, Some(turn)), last_sent + 50 * MS);
    }
}
