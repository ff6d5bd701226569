//! How many bytes a peer may have under way on a lane (RFC 9000 §4.1), and that it does not keep them
//! from us.
//!
//! QUIC holds what arrives until it can be read in order, so a peer that leaves out the first byte of a
//! stream has us hold everything behind it. The window of a lane therefore begins small and grows only
//! as it is read through, out of the peer's part of the memory. A window says nothing of how small
//! the pieces are: each costs some 200 bytes besides its own. Whoever sends pieces that cannot be read
//! wakes the segment's reader for nothing; the lane counts that, and closes where pieces pile up.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quinn::{Connection, VarInt};

use super::end::LaneEnd;
use throughline_proto::flow::memory::Memory;

/// A window that is read through in this time, or in two round trips, is too small.
const GROW_WITHIN: Duration = Duration::from_millis(250);

/// The largest window: 2 Gbit/s for a quarter of a second.
const MAX_WINDOW: u64 = 64 << 20;

/// Stream frames that may have arrived without having been read: those of a window of packets in
/// which the first is lost, twice. At some 200 bytes each this is 6 MB.
const MAX_UNREAD_FRAMES: u64 = 32_768;

/// Bytes that are read for each frame that is excused: far fewer than duplicates of what was lost by
/// mistake bring about.
const BYTES_PER_EXCUSED_FRAME: u64 = 256;

/// Fruitless wakings of readers after which the frames are counted.
const WAKINGS_PER_COUNT: u64 = 64;

/// The receive window of a lane. Its segments' readers share it.
pub(super) struct ReceiveWindow {
    connection: Connection,
    memory: Arc<Memory>,
    /// What it began with: a reload may change what lanes begin with.
    first: u64,
    state: Mutex<State>,
}

struct State {
    window: u64,
    /// Bytes read since `since`.
    read: u64,
    since: Instant,
    /// Wakings of readers that brought nothing to read.
    fruitless: u64,
    unread: UnreadFrames,
}

/// Estimates how many stream frames arrived and were not read: a bucket that what is read empties.
#[derive(Default)]
struct UnreadFrames {
    level: u64,
    /// Chunks and bytes read since the last count.
    chunks: u64,
    bytes: u64,
    /// The frames that had arrived at the last count.
    arrived: u64,
}

impl UnreadFrames {
    /// Counts anew; returns whether too many are unread.
    fn count(&mut self, arrived: u64) -> bool {
        let new = arrived.saturating_sub(std::mem::replace(&mut self.arrived, arrived));
        let excused = std::mem::take(&mut self.bytes) / BYTES_PER_EXCUSED_FRAME;
        let read = std::mem::take(&mut self.chunks) + excused;
        self.level = (self.level + new).saturating_sub(read);
        self.level > MAX_UNREAD_FRAMES
    }
}

impl ReceiveWindow {
    /// Takes over the window of a lane, which began with [`Memory::first_lane_window`].
    pub(super) fn new(connection: Connection, memory: Arc<Memory>) -> Arc<Self> {
        let first = memory.promise_to_lane();
        let (since, unread) = (Instant::now(), UnreadFrames::default());
        // It was small while the lane was set up.
        if let Ok(window) = VarInt::from_u64(first) {
            connection.set_receive_window(window);
        }
        let state = State { window: first, read: 0, since, fruitless: 0, unread };
        Arc::new(Self { connection, memory, first, state: Mutex::new(state) })
    }

    /// Counts what a segment's reader has read, and grows the window where it binds.
    pub(super) fn count_read(&self, chunks: usize, bytes: u64) {
        let mut state = self.state.lock();
        state.unread.chunks += chunks as u64;
        state.unread.bytes += bytes;
        state.read += bytes;
        if state.read < state.window {
            return;
        }
        let elapsed = state.since.elapsed();
        (state.read, state.since) = (0, Instant::now());
        let growth = state.window;
        let too_small = elapsed <= GROW_WITHIN.max(self.connection.rtt() * 2);
        if too_small && state.window < MAX_WINDOW && self.memory.try_grow(growth) {
            state.window += growth;
            if let Ok(window) = VarInt::from_u64(state.window) {
                self.connection.set_receive_window(window);
            }
        }
    }

    /// Counts that a reader was woken and had nothing to read.
    ///
    /// # Errors
    /// The peer leaves out what would make its frames readable.
    pub(super) fn count_fruitless(&self) -> Result<(), LaneEnd> {
        let mut state = self.state.lock();
        state.fruitless += 1;
        if !state.fruitless.is_multiple_of(WAKINGS_PER_COUNT) {
            return Ok(());
        }
        match state.unread.count(self.connection.stats().frame_rx.stream) {
            true => Err(LaneEnd::Unreadable),
            false => Ok(()),
        }
    }
}

impl Drop for ReceiveWindow {
    fn drop(&mut self) {
        self.memory.release_lane(self.first, self.state.get_mut().window - self.first);
    }
}

/// Awaits a read, and has the lane count how often it was woken with nothing to read: that is what
/// frames do that leave a gap before them.
pub(super) async fn watched<T>(
    window: &ReceiveWindow,
    read: impl Future<Output = T>,
) -> Result<T, LaneEnd> {
    let mut read = pin!(read);
    let mut polled = false;
    poll_fn(|context| match read.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Ok(done)),
        Poll::Pending if std::mem::replace(&mut polled, true) => match window.count_fruitless() {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(Err(end)),
        },
        Poll::Pending => Poll::Pending,
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_cannot_be_read_pile_up_and_those_that_come_twice_do_not() {
        let mut honest = UnreadFrames::default();
        for packets in (0..1_000_000).step_by(1000) {
            // Of a thousand frames of 1200 bytes, two hundred came twice.
            (honest.chunks, honest.bytes) = (800, 800 * 1200);
            assert!(!honest.count(packets + 1000));
        }
        let mut hostile = UnreadFrames::default();
        let closed_at = (0..).step_by(1000).find(|arrived| {
            // One in ten can be read.
            (hostile.chunks, hostile.bytes) = (100, 100);
            hostile.count(*arrived)
        });
        assert_eq!(closed_at, Some(37_000));
    }
}
