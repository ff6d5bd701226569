//! A connection of this host's own in the place of a flow, by its two halves.
//!
//! Neither holds a byte: what was read from one connection and not written to the other is in the relay's progress,
//! so that another process can go on with it.
//!
//! **A reset is said once.** The system reports it to whoever asks first, be that the half that writes, and to whoever
//! reads afterwards an end (Linux clears `SO_ERROR`). So the halves share what they have learned, or what came before
//! a reset would look whole.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, Bytes};

use super::failure::tcp_failure;
use super::half::{Sink, Source};
use super::to_flow::ReadBuffer;
use crate::proxy::stream::Stream;

/// How much is read at once at most, which is what a direction holds: the system does not say how much a connection
/// takes. It is the largest read of a relay.
const ROOM: usize = 256 * 1024;

/// Returns the halves of a connection.
pub(super) fn halves(tcp: Arc<Stream>) -> (DirectSource, DirectSink) {
    let has_failed = Arc::new(AtomicBool::new(false));
    let other = Connection { tcp, has_failed };
    (DirectSource { other: other.clone(), buffer: ReadBuffer::new() }, DirectSink(other))
}

/// What the halves share.
#[derive(Clone)]
struct Connection {
    tcp: Arc<Stream>,
    /// A call has reported that the connection failed.
    has_failed: Arc<AtomicBool>,
}

impl Connection {
    /// Notes a failure.
    fn failed(&self, error: io::Error) -> io::Error {
        self.has_failed.store(true, Ordering::Relaxed);
        error
    }

    /// Waits until the connection fails.
    async fn failure(&self) -> io::Error {
        match self.has_failed.load(Ordering::Relaxed) {
            true => io::ErrorKind::ConnectionReset.into(),
            false => self.failed(tcp_failure(&self.tcp).await),
        }
    }
}

/// What comes from the other connection.
pub(super) struct DirectSource {
    other: Connection,
    buffer: ReadBuffer,
}

impl Source for DirectSource {
    async fn read_chunks(&mut self, chunks: &mut [Bytes]) -> io::Result<usize> {
        let Self { other, buffer } = self;
        loop {
            match buffer.read(&other.tcp, ROOM) {
                Ok(None) if other.has_failed.load(Ordering::Relaxed) => {
                    return Err(io::ErrorKind::ConnectionReset.into());
                }
                Ok(None) => return Ok(0),
                Ok(Some(chunk)) => {
                    chunks[0] = chunk;
                    return Ok(1);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    buffer.shrink_when_idle();
                    other.tcp.readable().await?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(other.failed(error)),
            }
        }
    }

    async fn broken(&mut self) -> io::Error {
        self.other.failure().await
    }
}

/// What goes to the other connection.
pub(super) struct DirectSink(Connection);

impl Sink for DirectSink {
    async fn capacity(&mut self) -> io::Result<usize> {
        self.0.tcp.writable().await?;
        Ok(ROOM)
    }

    async fn write_chunk(&mut self, chunk: &mut Bytes) -> io::Result<usize> {
        loop {
            match self.0.tcp.try_write(chunk) {
                Ok(written) => {
                    chunk.advance(written);
                    return Ok(written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.0.tcp.writable().await?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.0.failed(error)),
            }
        }
    }

    async fn closed(&mut self) -> io::Result<()> {
        Err(self.0.failure().await)
    }

    fn finish(&mut self) -> io::Result<()> {
        // This fails only if the destination is gone, which the other direction reports.
        let _ = self.0.tcp.shutdown_write();
        Ok(())
    }

    fn reset(self) {
        self.0.tcp.reset_on_close();
    }
}
