//! How fast a line sends.

use std::time::Duration;

use crate::trace::Trace;

/// How fast a line sends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rate {
    /// Sending takes no time.
    Unlimited,
    /// So many bit/s on the wire, headers included.
    Fixed(u64),
    /// At the opportunities of a trace, which begins with the first packet.
    Trace(Trace),
}

impl Rate {
    /// Returns a rate of so many bit/s; 0 is without limit.
    pub fn from_bits(bits_per_second: u64) -> Self {
        if bits_per_second == 0 { Self::Unlimited } else { Self::Fixed(bits_per_second) }
    }

    /// Returns how long the line takes to send `bytes`; of a trace, on average.
    pub fn send_time(&self, bytes: u64) -> Duration {
        let rate = match self {
            Self::Unlimited => return Duration::ZERO,
            Self::Fixed(rate) => *rate,
            Self::Trace(trace) => trace.mean_rate(),
        };
        Duration::from_nanos((u128::from(bytes) * 8_000_000_000 / u128::from(rate)) as u64)
    }
}
