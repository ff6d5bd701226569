//! Is a lane in doubt dead in our direction only? The peer's packets come, and ours are lost.
//!
//! Two things look like it for a while. What was under way when the path died still comes: it is
//! left out, for a retransmission timeout. And a path that heals brings the peer's packets before the
//! answers to our probes: so a probe counts only if packets came before it, and had not it been lost
//! it would have been answered within a retransmission timeout. Where nothing came between two
//! probes the path was dead, and it begins anew.

use std::time::{Duration, Instant};

/// What was heard on a lane since it is in doubt.
#[derive(Clone, Copy, Debug)]
pub struct Hearing {
    since: Instant,
    /// The datagrams that had come when what was under way had, and then by the last probe.
    before: Option<u64>,
    /// The first probe of those that packets preceded.
    fair: Option<Instant>,
}

impl Hearing {
    /// The doubt begins at `now`.
    pub fn new(now: Instant) -> Self {
        Self { since: now, before: None, fair: None }
    }

    /// At `now` the lane has `received` so many datagrams in its life; `rto` is its retransmission
    /// timeout. How many came since the last probe, if the lane is dead in our direction only.
    pub fn one_way(&mut self, now: Instant, received: u64, rto: Duration) -> Option<u64> {
        if self.before.is_none() && now >= self.since + rto {
            self.before = Some(received);
        }
        let came = received.saturating_sub(self.before?);
        (came > 0 && now >= self.fair? + rto).then_some(came)
    }

    /// The lane is probed at `now`, having `received` so many.
    pub fn probed(&mut self, now: Instant, received: u64) {
        let Some(before) = &mut self.before else { return };
        self.fair = (received > *before).then(|| self.fair.unwrap_or(now));
        *before = received;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const RTO: Duration = Duration::from_millis(40);

    /// Probes at 0, 100, 200 … ms, looks every 20 ms; `received(ms)` so many by then. When the lane
    /// is found to be one-way.
    fn found(received: impl Fn(u32) -> u64) -> Option<u32> {
        let start = Instant::now();
        let mut hearing = Hearing::new(start);
        (0..2000).step_by(20).find(|ms| {
            let (now, received) = (start + *ms * MS, received(*ms));
            if hearing.one_way(now, received, RTO).is_some() {
                return true;
            }
            if ms % 100 == 0 {
                hearing.probed(now, received);
            }
            false
        })
    }

    #[test]
    fn a_lane_on_which_packets_go_on_coming_is_dead_in_our_direction() {
        assert_eq!(found(|ms| 1000 + u64::from(ms) / 10), Some(140));
        // A packet in 100 ms: the peer's probes, and nothing else.
        assert_eq!(found(|ms| 1000 + u64::from(ms + 30) / 100), Some(180));
    }

    #[test]
    fn what_was_under_way_proves_nothing() {
        for last in [0, 10, 39] {
            assert_eq!(found(|ms| 1000 + u64::from(ms.min(last))), None);
        }
    }

    #[test]
    fn a_path_that_heals_is_asked_once_more_and_gets_the_time_to_answer() {
        for heals in 41..400 {
            let came = |ms: u32| 1000 + u64::from(ms.min(30)) + u64::from(ms.saturating_sub(heals));
            let found = found(came).unwrap();
            let asked = heals.div_ceil(100) * 100;
            assert!(found >= asked + 40, "healed at {heals}, given up at {found}");
        }
    }
}
