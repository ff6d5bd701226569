//! The round-trip times of the current path (RFC 9002 §5.3).

use std::time::Duration;

/// A sample counts in full up to twice what the estimate expects, and up to twice this. A path whose
/// round trips really grew is believed after some samples more.
const MIN_SAMPLE_BOUND: Duration = Duration::from_millis(30);

/// The estimate of one path's round-trip time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rtt {
    pub(super) smoothed: Duration,
    pub(super) variation: Duration,
    pub(super) min: Duration,
}

impl Rtt {
    /// Returns the estimate after another sample.
    ///
    /// As in RFC 9002 §5.3, but the acknowledgement delay is not subtracted: suspicion must allow
    /// for it.
    pub(super) fn after(before: Option<Self>, sample: Duration) -> Self {
        let Some(before) = before else {
            return Self { smoothed: sample, variation: sample / 2, min: sample };
        };
        // The first acknowledgement after an outage is often of a packet from before it. Taken in
        // full, it would keep the lane above suspicion for as long as the outage was.
        let sample = sample.min(2 * (before.smoothed + 4 * before.variation).max(MIN_SAMPLE_BOUND));
        Self {
            smoothed: (7 * before.smoothed + sample) / 8,
            variation: (3 * before.variation + before.smoothed.abs_diff(sample)) / 4,
            min: before.min.min(sample),
        }
    }
}
