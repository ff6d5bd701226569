//! How far ahead of the lanes an application may write.
//!
//! The peer's window says what may be on the way, and it grows to megabytes in hard times. A slow lane takes minutes
//! for those: memory, and bytes that the application believes sent and cannot take back. So an application writes only
//! so far ahead of the lanes, by what is sent and not acknowledged; compare `TCP_NOTSENT_LOWAT`, and Linux's send buffer
//! of two windows (`tcp_sndbuf_expand`).

use super::Tx;

/// The bytes that may wait in any case: what a lane of 100 Mbit/s takes in 80 ms.
const MIN_WAITING: u64 = 1 << 20;

/// Where more is sent and not acknowledged, how many times that may wait: in four round trips a window that grows does
/// not run out of bytes.
const WAITING_PER_SENT: u64 = 4;

impl Tx {
    /// Returns how many bytes the application may write now.
    pub fn room(&self) -> u64 {
        self.granted().min(self.max_waiting().saturating_sub(self.waiting()))
    }

    /// Returns whether an application that waits for room is to be woken: at most half of what may wait does.
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

    /// Returns how many bytes there are for lanes to take, as far as the peer's window reaches: of an application that
    /// waits for room more will come, or a far lane would find that little is worth its while.
    pub fn backlog(&self, application_waits: bool) -> u64 {
        match application_waits {
            true => self.max_offset.saturating_sub(self.next),
            false => self.waiting(),
        }
    }

    fn max_waiting(&self) -> u64 {
        let sent = self.next.saturating_sub(self.buffer.base());
        MIN_WAITING.max(WAITING_PER_SENT * sent)
    }
}
