//! A flow as the application holds it: a reliable byte stream, like a TCP connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::vocab::ids::PeerId;

/// A flow. `shutdown` ends our direction (half-close); dropping it before both directions have
/// ended resets the flow.
pub struct FlowStream {
    _p: (),
}

/// The receiving half of a [`FlowStream`].
pub struct FlowReader {
    _p: (),
}

/// The sending half of a [`FlowStream`].
pub struct FlowWriter {
    _p: (),
}

impl FlowStream {
    /// The peer at the other end.
    pub fn peer(&self) -> PeerId {
        todo!()
    }
    /// Splits the flow into halves that can live in different tasks.
    pub fn into_split(self) -> (FlowReader, FlowWriter) {
        todo!()
    }
}

impl FlowReader {
    /// Waits for bytes and moves up to `chunks.len()` pieces of them into `chunks`, without a
    /// copy. Returns how many; 0 is the end of the peer's direction. Cancel-safe.
    pub async fn read_chunks(&mut self, chunks: &mut [Bytes]) -> io::Result<usize> {
        let _ = chunks;
        todo!()
    }
    /// Resets the whole flow at once; the peer's application sees a connection reset.
    pub fn reset(self) {
        todo!()
    }
}

impl FlowWriter {
    /// Waits until the flow accepts more, then takes as much of the front of `chunk` as it
    /// accepts (at least one byte), without a copy; what is left stays in `chunk`. Cancel-safe.
    pub async fn write_chunk(&mut self, chunk: &mut Bytes) -> io::Result<usize> {
        let _ = chunk;
        todo!()
    }
    /// Waits until [`write_chunk`](Self::write_chunk) would accept something; returns how much.
    /// Lets a proxy read from its socket only what it can pass on. Cancel-safe.
    pub async fn capacity(&mut self) -> io::Result<usize> {
        todo!()
    }
    /// Ends our direction; what was written is still delivered.
    pub fn finish(&mut self) -> io::Result<()> {
        todo!()
    }
    /// Resets the whole flow; what was written before is delivered first.
    pub fn reset(self) {
        todo!()
    }
    /// Completes when the flow was reset (by either end) or has ended; for a proxy that must
    /// close its socket although it has nothing to write. Cancel-safe.
    pub async fn closed(&mut self) -> io::Result<()> {
        todo!()
    }
}

impl AsyncRead for FlowStream {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        todo!()
    }
}
impl AsyncWrite for FlowStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        todo!()
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        todo!()
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        todo!()
    }
}
impl AsyncRead for FlowReader {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        todo!()
    }
}
impl AsyncWrite for FlowWriter {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        todo!()
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        todo!()
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        todo!()
    }
}
