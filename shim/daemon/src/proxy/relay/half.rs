//! The two halves of a flow as the relay uses them, so that it can be tested without one.

use std::future::Future;
use std::io;

use bytes::Bytes;

use throughline::{FlowReader, FlowWriter};

/// The receiving half of a flow; see [`FlowReader`].
pub trait Source: Send {
    /// Moves the next chunks into `chunks`; returns 0 at the end. Fails when the flow is reset.
    fn read_chunks(
        &mut self,
        chunks: &mut [Bytes],
    ) -> impl Future<Output = io::Result<usize>> + Send;
    /// Completes when the flow is reset or its session over; what precedes that may still be read.
    fn broken(&mut self) -> impl Future<Output = io::Error> + Send;
}

/// The sending half of a flow; see [`FlowWriter`].
pub trait Sink: Send {
    /// Waits for room and returns how much there is, in bytes.
    fn capacity(&mut self) -> impl Future<Output = io::Result<usize>> + Send;
    /// Takes from the front of `chunk` as much as there is room for.
    fn write_chunk(&mut self, chunk: &mut Bytes) -> impl Future<Output = io::Result<usize>> + Send;
    /// Completes when the flow was reset or has ended.
    fn closed(&mut self) -> impl Future<Output = io::Result<()>> + Send;
    /// Ends our direction.
    fn finish(&mut self) -> io::Result<()>;
    /// Resets the flow.
    fn reset(self);
}

impl Source for FlowReader {
    async fn read_chunks(&mut self, chunks: &mut [Bytes]) -> io::Result<usize> {
        Self::read_chunks(self, chunks).await
    }

    async fn broken(&mut self) -> io::Error {
        Self::broken(self).await
    }
}

impl Sink for FlowWriter {
    async fn capacity(&mut self) -> io::Result<usize> {
        Self::capacity(self).await
    }

    async fn write_chunk(&mut self, chunk: &mut Bytes) -> io::Result<usize> {
        Self::write_chunk(self, chunk).await
    }

    async fn closed(&mut self) -> io::Result<()> {
        Self::closed(self).await
    }

    fn finish(&mut self) -> io::Result<()> {
        Self::finish(self)
    }

    fn reset(self) {
        Self::reset(self);
    }
}
