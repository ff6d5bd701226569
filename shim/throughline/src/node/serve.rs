//! Serves the flows that peers open.

use std::fmt;
#[cfg(any(feature = "axum", feature = "tonic"))]
use std::task::{Context, Poll};

use thiserror::Error;
use tokio::sync::mpsc;

use super::handle::Node;
use super::incoming::{IncomingDatagrams, IncomingFlow};
use super::router::Served;
use crate::stream::KeepAlive;

/// Why nothing can be served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The node is shutting down, or has been shut down.
    #[error("the node is shutting down")]
    ShuttingDown,
    /// There is a listener for this already.
    #[error("{served} has a listener already; drop that one first")]
    Taken {
        /// The service, or TCP targets.
        served: String,
    },
}

/// Why no further flow can be accepted.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The node is shutting down, or has been shut down.
    #[error("the node is shutting down")]
    ShuttingDown,
}

/// Yields the flows that peers open to a service, from [`Node::serve`], or to TCP targets, from
/// [`Node::serve_tcp`].
///
/// Dropping it ends the service: flows that wait in it or are opened later are refused; those that
/// were accepted go on.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use throughline::{FailureCode, Node, OpenFailure};
///
/// let node = Node::builder().build().await?;
/// let mut listener = node.serve("time")?;
/// tokio::spawn(async move {
///     while let Ok(flow) = listener.accept().await {
///         if flow.peer_name().as_str() == "guest" {
///             flow.refuse(OpenFailure::new(FailureCode::NotAllowed, "not for guests"));
///             continue;
///         }
///         let mut flow = flow.accept();
///         tokio::spawn(async move {
///             use tokio::io::AsyncWriteExt;
///             flow.write_all(b"late").await?;
///             flow.shutdown().await?;
///             flow.acknowledged().await
///         });
///     }
/// });
/// # Ok(())
/// # }
/// ```
#[must_use = "a listener that is dropped serves nothing"]
pub struct Listener {
    flows: mpsc::Receiver<IncomingFlow>,
    _node: KeepAlive,
}

impl Listener {
    /// Waits for the next flow. Cancel-safe.
    ///
    /// # Errors
    /// [`AcceptError::ShuttingDown`] when the node ends.
    pub async fn accept(&mut self) -> Result<IncomingFlow, AcceptError> {
        self.flows.recv().await.ok_or(AcceptError::ShuttingDown)
    }

    /// Polls for the next flow; `None` when the node ends.
    #[cfg(any(feature = "axum", feature = "tonic"))]
    pub(crate) fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<IncomingFlow>> {
        self.flows.poll_recv(cx)
    }
}

impl Node {
    /// Serves the service `name`: the listener yields the flows that peers open to it, until it is
    /// dropped.
    ///
    /// # Errors
    /// [`ServeError::Taken`] while another listener for the name is there.
    pub fn serve(&self, name: impl Into<String>) -> Result<Listener, ServeError> {
        self.listen(&Served::Service(name.into()))
    }

    /// Serves TCP targets, as an egress: the listener yields the flows that peers open to any of
    /// them, until it is dropped. Whoever accepts one is to dial its target.
    ///
    /// # Errors
    /// [`ServeError::Taken`] while another listener for TCP targets is there.
    pub fn serve_tcp(&self) -> Result<Listener, ServeError> {
        self.listen(&Served::Tcp)
    }

    /// Serves the datagram service `name`: the listener yields the datagram flows that peers open to it, until
    /// it is dropped.
    ///
    /// # Errors
    /// [`ServeError::Taken`] while another listener for the name is there.
    pub fn serve_datagrams(&self, name: impl Into<String>) -> Result<DatagramListener, ServeError> {
        self.listen(&Served::DatagramService(name.into())).map(DatagramListener)
    }

    /// Serves UDP targets, as an egress: the listener yields the datagram flows that peers open to any of them,
    /// until it is dropped. Whoever accepts one is to exchange its datagrams with its target.
    ///
    /// # Errors
    /// [`ServeError::Taken`] while another listener for UDP targets is there.
    pub fn serve_udp(&self) -> Result<DatagramListener, ServeError> {
        self.listen(&Served::Udp).map(DatagramListener)
    }

    fn listen(&self, served: &Served) -> Result<Listener, ServeError> {
        if self.sessions().is_shutting_down() {
            return Err(ServeError::ShuttingDown);
        }
        match self.router().serve(served.clone()) {
            Some(flows) => Ok(Listener { flows, _node: self.keep_alive() }),
            None => Err(ServeError::Taken { served: served.to_string() }),
        }
    }
}

/// Yields the datagram flows that peers open to a service, from [`Node::serve_datagrams`], or to UDP targets, from
/// [`Node::serve_udp`].
///
/// Dropping it ends the service, as that of a [`Listener`].
#[must_use = "a listener that is dropped serves nothing"]
#[derive(Debug)]
pub struct DatagramListener(Listener);

impl DatagramListener {
    /// Waits for the next flow. Cancel-safe.
    ///
    /// # Errors
    /// [`AcceptError::ShuttingDown`] when the node ends.
    pub async fn accept(&mut self) -> Result<IncomingDatagrams, AcceptError> {
        self.0.accept().await.map(IncomingDatagrams::new)
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}
