//! The round-trip times of the current path (RFC 9002 §5.3).

use std::time::{Duration, Instant};

/// A sample counts in full up to twice what the estimate expects, and up to twice this. A path whose
/// round trips really grew is believed after some samples more.
const MIN_SAMPLE_BOUND: Duration = Duration::from_millis(30);

/// The estimate of one path's round-trip time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rtt {
    pub(super) smoothed: Duration,
    pub(super) variation: Duration,
    pub(super) min: Duration,
    /// When a sample was last too long to count in full.
    bounded_at: Option<Instant>,
}

impl Rtt {
    /// Returns the estimate before the first sample.
    pub(super) fn initial(rtt: Duration) -> Self {
        Self { smoothed: rtt, variation: rtt / 2, min: rtt, bounded_at: None }
    }

    /// Returns the estimate after an acknowledgement at `now` of a packet that was `sent` then.
    ///
    /// As in RFC 9002 §5.3, but the acknowledgement delay is not subtracted: suspicion must allow
    /// for it.
    ///
    /// The first acknowledgements after an outage, or after we slept, are of packets from before it.
    /// Taken in full, they would keep the lane above suspicion for as long as the outage was. So
    /// a long sample is bounded, and until a packet that was sent after it is acknowledged no other
    /// long one counts: five in a row would make seconds of milliseconds.
    pub(super) fn after(before: Option<Self>, now: Instant, sent: Instant) -> Self {
        let sample = now.saturating_duration_since(sent);
        let Some(before) = before else { return Self::initial(sample) };
        let bound = 2 * (before.smoothed + 4 * before.variation).max(MIN_SAMPLE_BOUND);
        let is_long = sample > bound;
        if is_long && before.bounded_at.is_some_and(|at| sent <= at) {
            return before;
        }
        let sample = sample.min(bound);
        Self {
            bounded_at: if is_long { Some(now) } else { before.bounded_at },
            smoothed: (7 * before.smoothed + sample) / 8,
            variation: (3 * before.variation + before.smoothed.abs_diff(sample)) / 4,
            min: before.min.min(sample),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The estimate of a path of 20 ms.
    fn steady(now: Instant) -> Rtt {
        (0..100).fold(Rtt::initial(20 * MS), |rtt, _| Rtt::after(Some(rtt), now, now - 20 * MS))
    }

    #[test]
    fn many_acknowledgements_of_packets_from_before_a_stall_count_once() {
        let start = Instant::now() + Duration::from_secs(1);
        let (sent, woke) = (start, start + Duration::from_secs(20));
        let mut rtt = steady(start);
        for n in 0..200 {
            rtt = Rtt::after(Some(rtt), woke + n * MS / 10, sent + n * MS / 10);
        }
        let timeout = rtt.smoothed + 4 * rtt.variation;
        assert!(timeout < 100 * MS, "{rtt:?}");
    }

    #[test]
    fn a_path_whose_round_trips_grow_is_believed_within_some_of_them() {
        let mut now = Instant::now() + Duration::from_secs(1);
        let mut rtt = steady(now);
        for _ in 0..12 {
            now += 600 * MS;
            for n in 0..20 {
                rtt = Rtt::after(Some(rtt), now + n * MS, now + n * MS - 600 * MS);
            }
        }
        assert!(rtt.smoothed > 550 * MS, "{rtt:?}");
    }
}
