//! How many bytes of bulk QUIC may hold.

/// QUIC holds at most its congestion window and a quarter: enough that it never runs dry between
/// two acknowledgements, and little more.
const WINDOW_SHARE: (u64, u64) = (5, 4);

/// Bulk may always have this much in QUIC, or a lane with a tiny window would be woken for every
/// packet.
const MIN_BULK_WINDOW: u64 = 32 * 1024;

/// Returns how many bytes of bulk a lane may have in QUIC while its congestion window is `cwnd` and the part
/// `loss` of its packets of `mtu` bytes is lost.
///
/// QUIC keeps all of a stream from its first hole on. Where a window has a hole, that is what came in the round
/// trip in which the hole is filled; where what is sent again is lost again, it is a third window.
pub(crate) fn bulk_send_window(cwnd: u64, loss: f64, mtu: u16) -> u64 {
    let (times, per) = WINDOW_SHARE;
    let holes = loss * (cwnd / u64::from(mtu)) as f64;
    let held = holes.min(1.0) + (loss * holes).min(1.0);
    (cwnd * times / per + (cwnd as f64 * held) as u64).max(MIN_BULK_WINDOW)
}
