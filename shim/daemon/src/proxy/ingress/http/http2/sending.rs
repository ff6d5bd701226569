//! What is sent on a stream: as fast as its client takes it, and a reset behind it.
//!
//! h2 forgets what waits to be sent where a stream is reset. So a reset waits until h2 holds nothing of the
//! stream any more, which shows when it has let go of every [`Chunk`].

use std::convert::Infallible;
use std::future::poll_fn;

use bytes::{Buf, Bytes};
use h2::{Reason, SendStream};
use hyper::HeaderMap;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::proxy::relay::RESET_FLUSH_TIMEOUT;

/// Bytes that h2 has until they are written to the connection.
pub(super) struct Chunk {
    bytes: Bytes,
    /// Nothing is sent here: the channel ends with the last chunk.
    _unsent: Option<mpsc::Sender<Infallible>>,
}

impl Buf for Chunk {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

/// Our direction of a stream, behind its head.
pub(super) struct Sending {
    stream: SendStream<Chunk>,
    unsent: mpsc::Sender<Infallible>,
    sent: mpsc::Receiver<Infallible>,
}

impl Sending {
    /// Creates it.
    pub(super) fn new(stream: SendStream<Chunk>) -> Self {
        let (unsent, sent) = mpsc::channel(1);
        Self { stream, unsent, sent }
    }

    /// Sends bytes as the client's window has room for them. Fails where the client resets the stream.
    pub(super) async fn data(&mut self, mut data: Bytes) -> Result<(), h2::Error> {
        while !data.is_empty() {
            self.stream.reserve_capacity(data.len());
            match poll_fn(|context| self.stream.poll_capacity(context)).await {
                Some(room) => {
                    let bytes = data.split_to(room?.min(data.len()));
                    let chunk = Chunk { bytes, _unsent: Some(self.unsent.clone()) };
                    self.stream.send_data(chunk, false)?;
                }
                None => return Err(Reason::STREAM_CLOSED.into()),
            }
        }
        Ok(())
    }

    /// Ends our direction.
    pub(super) fn end(&mut self) -> Result<(), h2::Error> {
        self.stream.send_data(Chunk { bytes: Bytes::new(), _unsent: None }, true)
    }

    /// Ends our direction with trailers.
    pub(super) fn trailers(&mut self, trailers: HeaderMap) -> Result<(), h2::Error> {
        self.stream.send_trailers(trailers)
    }

    /// Waits until the client resets the stream. Cancel-safe.
    pub(super) async fn is_reset(&mut self) -> h2::Error {
        poll_fn(|context| self.stream.poll_reset(context))
            .await
            .map_or_else(|error| error, Into::into)
    }

    /// Resets the stream behind what was sent on it; a client that does not read loses that.
    pub(super) async fn reset(self, reason: Reason) {
        let Self { mut stream, unsent, mut sent } = self;
        drop(unsent);
        tokio::select! {
            // There is nothing to receive.
            _ = timeout(RESET_FLUSH_TIMEOUT, sent.recv()) => stream.send_reset(reason),
            _ = poll_fn(|context| stream.poll_reset(context)) => {}
        }
    }
}
