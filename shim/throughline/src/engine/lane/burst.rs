//! How many bytes of datagrams QUIC is given at a time.
//!
//! What QUIC holds leaves first come first served, so it is to be little: another flow's datagram waits behind it. But
//! where it holds less than leaves until the writer has its turn again, it runs dry, and the path with it. How long
//! that takes depends on the machine, so the limit follows what is seen (as Linux' byte queue limits do for a network
//! card): it doubles when QUIC ran dry of what it was given while more waited, and shrinks while much is left each time.

use throughline_congestion::DATAGRAM_BUFFER;

/// What QUIC counts for a datagram beside its bytes.
pub(super) const RECORD: usize = 64;

/// The least limit: a batch of packets for the kernel. Where packets are larger, as on loopback, two of them, so that one
/// is filled while the other is sent.
const MIN_LIMIT: usize = 16 * 1024;

/// The greatest limit: what comes beside it, pings, has room in QUIC's buffer.
const MAX_LIMIT: usize = DATAGRAM_BUFFER / 2;

/// By which part the limit shrinks each time that much is left.
const SHRINK_DIVISOR: usize = 16;

/// The limit of one lane.
#[derive(Debug, Default)]
pub(super) struct Burst {
    limit: usize,
    /// The limit, and not the congestion window, was what kept others waiting.
    was_bound: bool,
}

impl Burst {
    /// Returns how many bytes more QUIC is to be given while others wait, where it has `held` bytes, the congestion window
    /// is free for so many, and the largest datagram has `packet` bytes.
    pub(super) fn room(&mut self, held: usize, window: usize, packet: usize) -> usize {
        if self.was_bound && held <= RECORD {
            self.limit = self.limit.saturating_mul(2);
        } else if held > self.limit / 2 {
            self.limit -= self.limit / SHRINK_DIVISOR;
        }
        let least = MIN_LIMIT.max(2 * packet).min(MAX_LIMIT);
        self.limit = self.limit.clamp(least, MAX_LIMIT);
        self.was_bound = self.limit <= window;
        self.limit.min(window).saturating_sub(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: usize = 1 << 20;
    const PACKET: usize = 1200;

    #[test]
    fn the_limit_grows_while_quic_runs_dry_and_shrinks_while_much_is_left() {
        let mut burst = Burst::default();
        assert_eq!(burst.room(0, LARGE, PACKET), MIN_LIMIT);
        assert_eq!(burst.room(0, LARGE, PACKET), 2 * MIN_LIMIT);
        assert_eq!(
            burst.room(MIN_LIMIT, LARGE, PACKET),
            MIN_LIMIT,
            "half of it is as it should be"
        );
        (0..10).for_each(|_| {
            burst.room(0, LARGE, PACKET);
        });
        assert_eq!(burst.room(0, LARGE, PACKET), MAX_LIMIT);
        (0..1000).for_each(|_| {
            burst.room(MAX_LIMIT, LARGE, PACKET);
        });
        assert_eq!(burst.limit, MIN_LIMIT);
    }

    #[test]
    fn the_window_bounds_what_is_given_and_does_not_raise_the_limit() {
        let mut burst = Burst::default();
        for _ in 0..10 {
            assert_eq!(burst.room(0, 5000, PACKET), 5000);
        }
        assert_eq!(burst.room(0, LARGE, PACKET), MIN_LIMIT);
        assert_eq!(burst.room(6000, 5000, PACKET), 0);
    }

    #[test]
    fn two_of_the_largest_packets_fit() {
        assert_eq!(Burst::default().room(0, LARGE, 16_000), 32_000);
    }
}
