//! Detects that a suspect is dead in our direction only: the peer's packets come, and ours are
//! lost (cf. UDLD, RFC 5171).
//!
//! Three things look like a one-way failure for a while. Packets that were under way when the path
//! died still arrive: the detector ignores what comes within a retransmission timeout. A path
//! that recovers brings the peer's packets before the answers to our probes, and after a pause of the
//! peer's direction the answers queue behind what waited: so a probe is valid only if packets came before
//! it, and may be answered as late as the peer's packets were absent. And a path that loses half of the
//! packets loses some probes in a row: so several valid ones must go unanswered.
//!
//! Where nothing came between two probes the path was dead, and the detection begins again.

use std::time::{Duration, Instant};

/// How many valid probes go unanswered on a path that is dead in our direction. On one that loses half of
/// all packets so many are lost in a row once in 256 suspicions. Nobody waits for it: flows have left
/// a suspect, and its place is being dialed.
const PROBES: u32 = 8;

/// The same where small packets that were sent since are acknowledged: only large ones vanish, as behind a
/// hole of the path's MTU (RFC 8899), and no other lane may be there to carry what waits.
const PROBES_IF_SMALL_PASS: u32 = 3;

/// The same of a path that is known to lose packets.
const PROBES_IF_LOSSY: u32 = 20;

/// The evidence for a one-way failure of one suspect.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OneWayDetector {
    /// Datagrams received up to the end of the first timeout, and then up to the last probe.
    received: Option<u64>,
    /// The probes on end that packets preceded, and when the last was sent that counts.
    valid_probes: u32,
    last_valid_probe: Option<Instant>,
    /// When it was last seen that a datagram had come, and how many had.
    last_came: Option<(Instant, u64)>,
    /// The longest time in which none was seen.
    absent: Duration,
    /// The path is known to lose packets.
    lossy: bool,
    /// Small packets that were sent since the suspicion began were acknowledged.
    small_pass: bool,
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
        let (at, before) = *self.last_came.get_or_insert((suspected_since, received));
        if received > before {
            self.absent = self.absent.max(now.saturating_duration_since(at));
            self.last_came = Some((now, received));
        }
        if self.received.is_none() && now >= suspected_since + rto {
            self.received = Some(received);
        }
        let since = received.saturating_sub(self.received?);
        let answered_by = self.last_valid_probe? + rto.max(self.absent);
        (since > 0 && self.valid_probes >= self.needed() && now >= answered_by).then_some(since)
    }

    /// Records a probe that is sent at `now`, after `received` datagrams.
    pub(super) fn probed(&mut self, now: Instant, received: u64) {
        let Some(before) = &mut self.received else { return };
        let valid = received > *before;
        *before = received;
        if !valid {
            (self.valid_probes, self.last_valid_probe) = (0, None);
        } else if self.valid_probes < self.needed() {
            (self.valid_probes, self.last_valid_probe) = (self.valid_probes + 1, Some(now));
        }
    }

    /// Takes in whether the path is known to lose packets.
    pub(super) fn expect_loss(&mut self, lossy: bool) {
        self.lossy |= lossy;
    }

    /// Takes in whether a small packet that was sent since the suspicion began was acknowledged.
    pub(super) fn note_small_packets(&mut self, pass: bool) {
        self.small_pass |= pass;
    }

    fn needed(&self) -> u32 {
        match (self.lossy, self.small_pass) {
            (true, _) => PROBES_IF_LOSSY,
            (false, true) => PROBES_IF_SMALL_PASS,
            (false, false) => PROBES,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const RTO: Duration = Duration::from_millis(40);

    /// Returns when a lane is found to be one-way that is probed at 0, 100, 200 … ms, observed every
    /// 20 ms, and has received `received(ms)` datagrams by then.
    fn detected(lossy: bool, received: impl Fn(u32) -> u64) -> Option<u32> {
        let start = Instant::now();
        let mut detector = OneWayDetector::default();
        detector.expect_loss(lossy);
        (0..4000).step_by(20).find(|ms| {
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
    fn a_lane_on_which_packets_keep_arriving_is_dead_in_our_direction_after_eight_probes() {
        assert_eq!(detected(false, |ms| 1000 + u64::from(ms) / 10), Some(840));
        // A packet in 100 ms: the peer's probes, and nothing else.
        assert_eq!(detected(false, |ms| 1000 + u64::from(ms + 30) / 100), Some(900));
        assert_eq!(detected(true, |ms| 1000 + u64::from(ms) / 10), Some(2040), "one that loses");
    }

    #[test]
    fn where_small_packets_pass_three_large_probes_prove_a_hole() {
        let start = Instant::now();
        let mut detector = OneWayDetector::default();
        detector.note_small_packets(true);
        let found = (0..2000).step_by(20).find(|ms| {
            let (now, received) = (start + *ms * MS, 1000 + u64::from(*ms) / 10);
            if detector.received_since(now, start, received, RTO).is_some() {
                return true;
            }
            if ms % 100 == 0 {
                detector.probed(now, received);
            }
            false
        });
        assert_eq!(found, Some(340));
    }

    #[test]
    fn packets_that_were_under_way_prove_nothing() {
        for last in [0, 10, 39] {
            assert_eq!(detected(false, |ms| 1000 + u64::from(ms.min(last))), None);
        }
    }

    #[test]
    fn a_path_that_recovers_is_probed_eight_times_more_and_has_the_time_to_answer() {
        for recovers in 41..400 {
            let received =
                |ms: u32| 1000 + u64::from(ms.min(30)) + u64::from(ms.saturating_sub(recovers));
            let detected = detected(false, received).unwrap();
            let probed = recovers.div_ceil(100) * 100 + 700;
            assert!(detected >= probed + 40, "recovered at {recovers}, given up at {detected}");
        }
    }

    #[test]
    fn a_probe_may_be_answered_as_late_as_the_peers_packets_were_absent() {
        let received = |ms: u32| 1000 + u64::from(ms.min(50)) + u64::from(ms.saturating_sub(450));
        assert_eq!(
            detected(false, received),
            Some(1600),
            "absent for 400 ms, valid probes from 500"
        );
    }
}
