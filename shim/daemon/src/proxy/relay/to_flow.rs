//! Moves bytes from the application's connection into the flow.
//!
//! Only as much is read as the flow accepts. The rest waits in the kernel and closes the
//! application's TCP window: back-pressure end to end.

use std::hint;
use std::io;
use std::sync::Once;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use tokio::task::yield_now;

use super::failure::{RelayFailure, tcp_failure};
use super::half::Sink;
use super::progress::Up;
use crate::proxy::stream::Stream;

/// The largest read: a few congestion windows of a fast path, and the most that one `recv` yields
/// with Linux's default receive buffers.
const MAX_READ: usize = 256 * 1024;

/// The first read: enough for a keystroke or a request, small enough for a thousand idle flows.
const MIN_READ: usize = 8 * 1024;

/// Reads below this size are copied: a keystroke would otherwise keep a buffer of [`MAX_READ`] alive
/// until the peer has acknowledged it.
const COPY_BELOW: usize = 4 * 1024;

/// Consecutive reads after which the task yields to the other direction.
const READS_PER_YIELD: u32 = 8;

/// What the allocator keeps, once there is a quick flow: some of its reads, which wait for their
/// acknowledgement.
const KEPT_FOR_READS: usize = 32 * MAX_READ;

/// The largest reads whose time is taken to tell whether a flow is quick, and what it is then at the most: 64 MiB
/// within half a second, a gigabit a second.
const TIMED_READS: u32 = 256;
const QUICK: Duration = Duration::from_millis(500);

/// Moves bytes until the application's FIN (`Ok`), a reset of the flow, or a failure; first what of `up` has
/// been read from the application already. Cancel-safe: what was read and the flow has not taken is in `up`.
pub(super) async fn pump(
    tcp: &Stream,
    writer: &mut impl Sink,
    up: &mut Up,
) -> Result<(), RelayFailure> {
    if up.ended {
        return Ok(());
    }
    let mut buffer = ReadBuffer::new();
    let mut reads = 0;
    loop {
        while !up.unsent.is_empty() {
            tokio::select! {
                biased;
                written = writer.write_chunk(&mut up.unsent) => written.map_err(|_| RelayFailure::Flow)?,
                error = tcp_failure(tcp) => return Err(RelayFailure::Tcp(error)),
            };
        }
        let room = tokio::select! {
            biased;
            room = writer.capacity() => room.map_err(|_| RelayFailure::Flow)?,
            error = tcp_failure(tcp) => return Err(RelayFailure::Tcp(error)),
        };
        match buffer.read(tcp, room) {
            Ok(None) => {
                up.ended = true;
                return writer.finish().map_err(|_| RelayFailure::Flow);
            }
            Ok(Some(chunk)) => {
                up.moved += chunk.len() as u64;
                up.unsent = chunk;
                reads += 1;
                if reads % READS_PER_YIELD == 0 {
                    yield_now().await;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                buffer.shrink_when_idle();
                tokio::select! {
                    biased;
                    ready = tcp.readable() => ready.map_err(RelayFailure::Tcp)?,
                    _ = writer.closed() => return Err(RelayFailure::Flow),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(RelayFailure::Tcp(error)),
        }
    }
}

/// Has the allocator keep what is freed, from the first quick flow on: glibc gives large blocks back to the
/// system, whose pages then have to be cleared anew for each read, a tenth of what a bulk flow costs.
/// Its thresholds follow the largest block of the system's that was ever freed (mallopt(3),
/// `M_MMAP_THRESHOLD`: "dynamic"). Other allocators take no notice of it.
fn keep_freed_memory() {
    static KEPT: Once = Once::new();
    KEPT.call_once(|| drop(hint::black_box(Vec::<u8>::with_capacity(KEPT_FOR_READS))));
}

/// Reads into chunks of one allocation, whose size adapts to the size of the reads.
pub(super) struct ReadBuffer {
    buffer: BytesMut,
    size: usize,
    /// Bytes read since the connection last had nothing to read.
    burst: usize,
    /// Buffers of the largest size there were, and when their number was last a multiple of [`TIMED_READS`].
    timed: (u32, Option<Instant>),
}

impl ReadBuffer {
    pub(super) fn new() -> Self {
        Self { buffer: BytesMut::new(), size: MIN_READ, burst: 0, timed: (0, None) }
    }

    /// Reads at most `room` bytes; `None` is the end of the stream.
    pub(super) fn read(&mut self, tcp: &Stream, room: usize) -> io::Result<Option<Bytes>> {
        // A remainder too small for an efficient read is dropped with the chunks before it.
        if self.buffer.capacity() < self.size / 4 {
            self.buffer = BytesMut::with_capacity(self.size);
            self.take_time();
        }
        let limit = room.min(self.buffer.capacity());
        let read = tcp.try_read_buf(&mut (&mut self.buffer).limit(limit))?;
        if read == 0 {
            return Ok(None);
        }
        self.burst += read;
        if read == limit && limit < room {
            self.size = (self.size * 2).min(MAX_READ);
        }
        if read < COPY_BELOW {
            let chunk = Bytes::copy_from_slice(&self.buffer);
            self.buffer.clear();
            return Ok(Some(chunk));
        }
        Ok(Some(self.buffer.split().freeze()))
    }

    /// Takes note of another buffer.
    fn take_time(&mut self) {
        if self.size < MAX_READ {
            return;
        }
        self.timed.0 = self.timed.0.wrapping_add(1);
        if self.timed.0.is_multiple_of(TIMED_READS) {
            let now = Instant::now();
            let since = self.timed.1.replace(now);
            if since.is_some_and(|since| now.duration_since(since) < QUICK) {
                keep_freed_memory();
            }
        }
    }

    /// Shrinks the buffer of a flow whose bursts are small, and gives up a small one: ten thousand idle
    /// flows must not keep one each. Call it when there is nothing to read.
    pub(super) fn shrink_when_idle(&mut self) {
        if self.burst < self.size / 4 {
            self.size = (self.size / 2).max(MIN_READ);
        }
        if self.size == MIN_READ {
            self.buffer = BytesMut::new();
        }
        self.burst = 0;
    }
}
