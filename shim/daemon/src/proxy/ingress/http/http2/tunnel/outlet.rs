//! The halves of what a tunnel leads to: a flow's, or a TCP connection's.

use std::future::{Future, pending};
use std::io;

use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use throughline::{FlowReader, FlowWriter};

/// What is read from.
pub(super) trait Outlet: AsyncRead + Unpin + Send {
    /// Waits until it is reset; what came before can still be read. Cancel-safe.
    fn is_reset(&mut self) -> impl Future<Output = io::Error> + Send;
}

/// What is written to.
pub(super) trait Inlet: AsyncWrite + Unpin + Send {
    /// Waits until it is reset. Cancel-safe.
    fn is_reset(&mut self) -> impl Future<Output = io::Error> + Send;
}

impl Outlet for FlowReader {
    async fn is_reset(&mut self) -> io::Error {
        self.broken().await
    }
}

impl Inlet for FlowWriter {
    async fn is_reset(&mut self) -> io::Error {
        match self.closed().await {
            // It has ended in both directions, which is no reset.
            Ok(()) => pending().await,
            Err(reset) => reset,
        }
    }
}

impl Outlet for OwnedReadHalf {
    async fn is_reset(&mut self) -> io::Error {
        failed(self.ready(Interest::ERROR).await.map(drop))
    }
}

impl Inlet for OwnedWriteHalf {
    async fn is_reset(&mut self) -> io::Error {
        failed(self.ready(Interest::ERROR).await.map(drop))
    }
}

fn failed(ready: io::Result<()>) -> io::Error {
    ready.err().unwrap_or_else(|| io::ErrorKind::ConnectionReset.into())
}
