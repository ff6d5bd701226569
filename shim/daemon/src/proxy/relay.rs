//! Relays bytes between an application's TCP connection and a flow.
//!
//! Both directions run concurrently in one future, and each ends on its own: the application's FIN
//! finishes our direction of the flow, and the end of the peer's direction shuts down the
//! connection's write side. A reset ends both directions:
//!
//! - If the application resets (or its connection fails), the flow is reset; bytes read before are
//!   delivered first.
//! - If the flow is reset, bytes that preceded the reset are delivered, for at most
//!   `RESET_FLUSH_TIMEOUT`. Then the connection is closed with `SO_LINGER` 0, so that the
//!   application sees a reset and never mistakes a truncated stream for a complete one.
//!
//! Bulk bytes are not copied: one read fills a chunk of a buffer that the flow then owns, and the
//! flow's chunks are written with one vectored write.

mod failure;
mod half;
mod to_flow;
mod to_tcp;

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

use self::failure::{RelayFailure, tcp_failure};
use throughline::FlowStream;

pub(crate) use self::failure::close_with_reset;
pub use self::half::{Sink, Source};

/// Bounds the delivery of the bytes before a reset: long enough for a slow application, finite for
/// one that hangs.
const RESET_FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// The bytes that a relay moved, and how it ended.
#[derive(Debug)]
pub struct Relayed {
    /// Bytes from the application to the flow.
    pub to_flow: u64,
    /// Bytes from the flow to the application.
    pub to_tcp: u64,
    /// How the relay ended.
    pub end: RelayEnd,
}

/// How a relay ended.
#[derive(Debug)]
pub enum RelayEnd {
    /// Both directions ended.
    Finished,
    /// The application reset its connection, or the connection failed; the flow was reset.
    TcpFailed(io::Error),
    /// The flow was reset; so was the connection.
    FlowReset,
}

/// Relays until both directions have ended or one side is reset. Sets `TCP_NODELAY`.
pub async fn relay(tcp: TcpStream, flow: FlowStream) -> Relayed {
    let (reader, writer) = flow.into_split();
    relay_halves(tcp, reader, writer).await
}

async fn relay_halves(tcp: TcpStream, mut reader: impl Source, mut writer: impl Sink) -> Relayed {
    // This fails only on a dead connection, which the first read reports.
    let _ = tcp.set_nodelay(true);
    let (mut up, mut down) = (0, 0);
    let result = relay_both(&tcp, &mut reader, &mut writer, (&mut up, &mut down)).await;
    let end = match result {
        Ok(()) => RelayEnd::Finished,
        Err(RelayFailure::Tcp(error)) => {
            writer.reset();
            RelayEnd::TcpFailed(error)
        }
        Err(RelayFailure::Flow) => RelayEnd::FlowReset,
    };
    if !matches!(end, RelayEnd::Finished) {
        close_with_reset(tcp);
    }
    Relayed { to_flow: up, to_tcp: down, end }
}

async fn relay_both(
    tcp: &TcpStream,
    reader: &mut impl Source,
    writer: &mut impl Sink,
    (up, down): (&mut u64, &mut u64),
) -> Result<(), RelayFailure> {
    let to_flow = to_flow::pump(tcp, writer, up);
    let to_tcp = to_tcp::pump(tcp, reader, down);
    tokio::pin!(to_flow, to_tcp);
    // When one direction ends the other continues, unless the connection itself has failed.
    tokio::select! {
        ended = &mut to_flow => match ended {
            Ok(()) => tokio::select! {
                ended = &mut to_tcp => ended,
                error = tcp_failure(tcp) => Err(RelayFailure::Tcp(error)),
            },
            Err(RelayFailure::Tcp(error)) => Err(RelayFailure::Tcp(error)),
            // Bytes that preceded the reset may not have reached the application yet.
            Err(RelayFailure::Flow) => tokio::select! {
                _ = &mut to_tcp => Err(RelayFailure::Flow),
                () = sleep(RESET_FLUSH_TIMEOUT) => Err(RelayFailure::Flow),
            },
        },
        ended = &mut to_tcp => {
            ended?;
            to_flow.await
        }
    }
}

#[cfg(test)]
mod tests;
