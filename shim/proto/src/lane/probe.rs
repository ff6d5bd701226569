//! When a suspect is probed.
//!
//! Probes ask a suspect whether it answers again, and their answers tell a one-way failure from a
//! dead path. They go past a full congestion window.

use std::time::{Duration, Instant};

use super::rules::{Rule, Rules};

/// The interval of probes. A path that recovers is noticed within this and a round trip.
const PROBE_INTERVAL: Duration = Duration::from_millis(100);

/// The interval of the first probes. Whether only one direction is dead, or only large packets are
/// lost, shows in the answers to the first two or three, and flows may be waiting for it.
const EARLY_PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// How long a suspicion counts as new.
const EARLY_PROBES_FOR: Duration = Duration::from_millis(500);

/// The schedule of a lane's probes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ProbeSchedule {
    rules: Rules,
    last: Option<Instant>,
}

impl ProbeSchedule {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, last: None }
    }

    /// Returns when the next probe of a lane that is suspect since `suspected_since` is due.
    pub(super) fn due(&self, now: Instant, suspected_since: Instant) -> Instant {
        self.last.map_or(now, |last| last + self.interval(now, suspected_since))
    }

    /// Records a probe that is sent at `now`.
    pub(super) fn sent(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// Forgets earlier probes: the next suspicion is probed at once.
    pub(super) fn reset(&mut self) {
        self.last = None;
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

    #[test]
    fn the_first_probe_is_due_at_once_and_early_ones_come_twice_as_often() {
        let (start, mut probes) = (Instant::now(), ProbeSchedule::default());
        let mut sent = Vec::new();
        for ms in 0..1000 {
            let now = start + ms * MS;
            if probes.due(now, start) <= now {
                probes.sent(now);
                sent.push(ms);
            }
        }
        let expected = [0, 50, 100, 150, 200, 250, 300, 350, 400, 450, 550, 650, 750, 850, 950];
        assert_eq!(sent, expected);
    }

    #[test]
    fn a_suspicion_that_follows_a_recovery_is_probed_at_once() {
        let (now, mut probes) = (Instant::now(), ProbeSchedule::default());
        probes.sent(now);
        assert_eq!(probes.due(now + MS, now), now + 50 * MS);
        probes.reset();
        assert_eq!(probes.due(now + MS, now + MS), now + MS);
    }
}
