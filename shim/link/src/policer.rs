//! A policer: what exceeds a rate is dropped at once, without a queue.

use std::time::{Duration, Instant};

use crate::rate::Rate;

/// A token bucket that drops (RFC 2697 §3, with one bucket). A packet larger than the burst never
/// passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policer {
    /// In bit/s, headers included; 0 is without limit.
    pub rate: u64,
    /// The size of the bucket, in bytes.
    pub burst: u64,
}

/// The bucket, kept as the time at which it is full again: the generic cell rate algorithm (ITU-T
/// I.371), which is the same without counting tokens.
#[derive(Clone, Debug, Default)]
pub(crate) struct PolicerState {
    full_at: Option<Instant>,
}

impl PolicerState {
    /// Returns whether a packet has tokens; it takes them if so.
    pub(crate) fn passes(&mut self, policer: Policer, at: Instant, bytes: usize) -> bool {
        let rate = Rate::from_bits(policer.rate);
        let missing =
            self.full_at.map_or(Duration::ZERO, |full| full.saturating_duration_since(at));
        let after = missing + rate.send_time(bytes as u64);
        let passes = after <= rate.send_time(policer.burst);
        if passes {
            self.full_at = Some(at + after);
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const POLICER: Policer = Policer { rate: 8_000_000, burst: 10_000 };

    #[test]
    fn a_burst_passes_and_what_exceeds_it_is_dropped() {
        let (mut state, t0) = (PolicerState::default(), Instant::now());
        let passed = (0..100).filter(|_| state.passes(POLICER, t0, 1000)).count();
        assert_eq!(passed, 10, "the bucket holds 10,000 bytes");
        // 1,000 bytes a millisecond come back, and no more than fit.
        assert!(!state.passes(POLICER, t0 + MS / 2, 1000));
        assert!(state.passes(POLICER, t0 + MS, 1000));
        assert!(!state.passes(POLICER, t0 + MS, 1000));
        let later = (0..100).filter(|_| state.passes(POLICER, t0 + 1000 * MS, 1000)).count();
        assert_eq!(later, 10);
    }

    #[test]
    fn what_is_offered_at_twice_the_rate_passes_at_the_rate() {
        let (mut state, t0) = (PolicerState::default(), Instant::now());
        let offered = (0..20_000).map(|i| t0 + i * MS / 2);
        let passed = offered.filter(|at| state.passes(POLICER, *at, 1000)).count();
        // 10 s of 1,000 packets a second, and the burst.
        assert!((10_005..=10_010).contains(&passed), "{passed}");
    }

    #[test]
    fn a_packet_larger_than_the_bucket_never_passes() {
        let (mut state, t0) = (PolicerState::default(), Instant::now());
        assert!(!state.passes(POLICER, t0, 10_001));
        assert!(state.passes(POLICER, t0, 10_000));
    }
}
