//! From the application's connection into the flow.
//!
//! Only what the flow has room for is read, so that the rest waits in the kernel, where it closes
//! the application's own window.

use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::net::TcpStream;
use tokio::task::yield_now;

use super::half::Sink;
use super::{Broken, failed};

/// The largest read: a few congestion windows of a fast path, and what one `recv` yields at most
/// with Linux's default receive buffers.
const MAX_READ: usize = 256 * 1024;

/// Where reading begins: enough for a keystroke or a request, little enough for a thousand idle flows.
const MIN_READ: usize = 8 * 1024;

/// Smaller reads get an allocation of their own: else a keystroke would keep a buffer of
/// [`MAX_READ`] alive until the peer has it.
const COPY_BELOW: usize = 4 * 1024;

/// So many reads in a row and the other direction gets its turn.
const READS_PER_TURN: u32 = 8;

/// Moves bytes until the application's FIN (`Ok`), a reset of the flow, or a failure.
pub(super) async fn pump(
    tcp: &TcpStream,
    writer: &mut impl Sink,
    moved: &mut u64,
) -> Result<(), Broken> {
    let mut buffer = ReadBuffer::new();
    let mut reads = 0;
    loop {
        let room = tokio::select! {
            biased;
            room = writer.capacity() => room.map_err(|_| Broken::Flow)?,
            error = failed(tcp) => return Err(Broken::Tcp(error)),
        };
        match buffer.read(tcp, room) {
            Ok(None) => {
                return writer.finish().map_err(|_| Broken::Flow);
            }
            Ok(Some(mut chunk)) => {
                *moved += chunk.len() as u64;
                while !chunk.is_empty() {
                    writer.write_chunk(&mut chunk).await.map_err(|_| Broken::Flow)?;
                }
                reads += 1;
                if reads % READS_PER_TURN == 0 {
                    yield_now().await;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                buffer.rest();
                tokio::select! {
                    biased;
                    ready = tcp.readable() => ready.map_err(Broken::Tcp)?,
                    _ = writer.closed() => return Err(Broken::Flow),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Broken::Tcp(error)),
        }
    }
}

/// Reads into pieces of one allocation, whose size follows what reads bring.
struct ReadBuffer {
    buffer: BytesMut,
    size: usize,
    /// Bytes read since there was last nothing to read.
    burst: usize,
}

impl ReadBuffer {
    fn new() -> Self {
        Self { buffer: BytesMut::new(), size: MIN_READ, burst: 0 }
    }

    /// Reads at most `room` bytes; nothing is the end.
    fn read(&mut self, tcp: &TcpStream, room: usize) -> io::Result<Option<Bytes>> {
        // A remainder too small for a decent read is given up with the pieces before it.
        if self.buffer.capacity() < self.size / 4 {
            self.buffer = BytesMut::with_capacity(self.size);
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

    /// There is nothing to read: a flow whose bursts are small holds no more than a small buffer.
    fn rest(&mut self) {
        if self.burst < self.size / 4 {
            self.size = (self.size / 2).max(MIN_READ);
            if self.size == MIN_READ && self.buffer.capacity() > MIN_READ {
                self.buffer = BytesMut::new();
            }
        }
        self.burst = 0;
    }
}
