//! Detects that a suspect is dead in our direction only: the peer's packets come, and ours are
//! lost (cf. UDLD, RFC 5171).
//!
//! Two things look like a one-way failure for a while. Packets that were under way when the path
//! died still arrive: the detector ignores what comes within a retransmission timeout. And a path
//! that recovers brings the peer's packets before the answers to our probes: so a probe is valid
//! only if packets came before it, and would have been answered within a retransmission timeout.
//! Where nothing came between two probes the path was dead, and the detection begins again.

use std::time::{Duration, Instant};

/// The evidence for a one-way failure of one suspect.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OneWayDetector {
    /// Datagrams received up to the end of the first timeout, and then up to the last probe.
    received: Option<u64>,
    /// When the first probe was sent of those that packets preceded.
    first_valid_probe: Option<Instant>,
}

impl OneWayDetector {
    /// Returns how many datagrams came since the last probe, if the lane is dead in our direction
    /// only.
    ///
    /// `received` counts the datagrams that came since the lane began; `rto` is the lane's
    /// retransmission timeout.
    pub(super) fn received_since(
        &mut self,
        now: Instant,
        suspected_since: Instant,
        received: u64,
        rto: Duration,
    ) -> Option<u64> {
        if self.received.is_none() && now >= suspected_since + rto {
            self.received = Some(received);
        }
        let since = received.saturating_sub(self.received?);
        (since > 0 && now >= self.first_valid_probe? + rto).then_some(since)
    }

    /// Records a probe that is sent at `now`, after `received` datagrams.
    pub(super) fn probed(&mut self, now: Instant, received: u64) {
        let Some(before) = &mut self.received else { return };
        self.first_valid_probe =
            (received > *before).then(|| self.first_valid_probe.unwrap_or(now));
        *before = received;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const RTO: Duration = Duration::from_millis(40);

    /// Returns when a lane is found to be one-way that is probed at 0, 100, 200 … ms, observed every
    /// 20 ms, and has received `received(ms)` datagrams by then.
    fn detected(received: impl Fn(u32) -> u64) -> Option<u32> {
        let start = Instant::now();
        let mut detector = OneWayDetector::default();
        (0..2000).step_by(20).find(|ms| {
            let (now, received) = (start + *ms * MS, received(*ms));
            if detector.received_since(now, start, received, RTO).is_some() {
                return true;
            }
            if ms % 100 == 0 {
                detector.probed(now, received);
            }
            false
        })
    }

    #[test]
    fn a_lane_on_which_packets_keep_arriving_is_dead_in_our_direction() {
        assert_eq!(detected(|ms| 1000 + u64::from(ms) / 10), Some(140));
        // A packet in 100 ms: the peer's probes, and nothing else.
        assert_eq!(detected(|ms| 1000 + u64::from(ms + 30) / 100), Some(180));
    }

    #[test]
    fn packets_that_were_under_way_prove_nothing() {
        for last in [0, 10, 39] {
            assert_eq!(detected(|ms| 1000 + u64::from(ms.min(last))), None);
        }
    }

    #[test]
    fn a_path_that_recovers_is_probed_once_more_and_gets_the_time_to_answer() {
        for recovers in 41..400 {
            let received =
                |ms: u32| 1000 + u64::from(ms.min(30)) + u64::from(ms.saturating_sub(recovers));
            let detected = detected(received).unwrap();
            let probed = recovers.div_ceil(100) * 100;
            assert!(detected >= probed + 40, "recovered at {recovers}, given up at {detected}");
        }
    }
}
