//! How far ahead of the lanes an application may write.
//!
//! The peer's window says what may be under way, and it grows to megabytes in hard times. A slow lane takes minutes
//! for those: memory, and bytes that the application believes sent and cannot take back. So what waits for a lane is
//! bounded as well, by what the lanes have under way; compare `TCP_NOTSENT_LOWAT`, and Linux's send buffer of two
//! windows (`tcp_sndbuf_expand`).

use super::Tx;

/// The bytes that may wait in any case: what a lane of 100 Mbit/s takes in 80 ms.
const MIN_WAITING: u64 = 1 << 20;

/// ... and how many times the bytes under way. In four round trips a window that grows does not run out of bytes, and
/// enough of them wait for a far lane beside a near one to be worth its while.
const WAITING_PER_UNDER_WAY: u64 = 4;

impl Tx {
    /// Returns how many bytes the application may write now.
    pub fn room(&self) -> u64 {
        self.granted().min(self.max_waiting().saturating_sub(self.waiting()))
    }

    /// Returns whether an application that waits for room is to be woken: half of what may wait does not.
    pub fn has_much_room(&self) -> bool {
        self.granted() > 0 && self.waiting() <= self.max_waiting() / 2
    }

    /// Returns how many bytes more the peer's window allows.
    pub fn granted(&self) -> u64 {
        self.max_offset.saturating_sub(self.buffer.end())
    }

    /// Returns how many bytes were written and given to no lane.
    pub fn waiting(&self) -> u64 {
        self.buffer.end() - self.next
    }

    fn max_waiting(&self) -> u64 {
        let under_way = self.next.saturating_sub(self.buffer.base());
        MIN_WAITING.max(WAITING_PER_UNDER_WAY * under_way)
    }
}
