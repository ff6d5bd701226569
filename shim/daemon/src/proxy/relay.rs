//! The byte pump between an application's TCP connection and a flow.
//!
//! Both directions run at once in one future, and each ends on its own: a FIN of the application
//! finishes our direction of the flow, the end of the peer's direction shuts down the connection's
//! writing side. A reset is of the whole:
//!
//! - The application resets (or its connection fails): the flow is reset; what was read before is
//!   delivered first.
//! - The flow is reset: what preceded it is delivered, for at most `RESET_GRACE`, and then the
//!   connection is closed with `SO_LINGER` 0, so that the application sees a reset and never an
//!   honest-looking end.
//!
//! Bulk bytes are not copied here: one read fills a piece of a buffer that the flow then owns, and
//! the flow's pieces are written with one vectored write.

mod half;
mod to_flow;
mod to_tcp;

use std::io;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::sleep;

use throughline::stream::FlowStream;

pub use half::{Sink, Source};

/// How long an application that does not read may hold up the end of a flow that is reset: enough
/// for one that is merely slow, and not for ever for one that hangs.
const RESET_GRACE: Duration = Duration::from_secs(10);

/// How a relay ended, and what it moved.
#[derive(Debug)]
pub struct Relayed {
    /// Bytes from the application to the flow.
    pub to_flow: u64,
    /// Bytes from the flow to the application.
    pub to_tcp: u64,
    /// How it ended.
    pub end: End,
}

/// How a relay ended.
#[derive(Debug)]
pub enum End {
    /// Both directions came to their end.
    Finished,
    /// The application reset its connection, or it failed; the flow was reset.
    TcpFailed(io::Error),
    /// The flow was reset; so was the connection.
    FlowReset,
}

/// Which side of a direction failed.
enum Broken {
    Tcp(io::Error),
    Flow,
}

/// Relays until both directions have ended or one side is reset. `TCP_NODELAY` is set.
pub async fn relay(tcp: TcpStream, flow: FlowStream) -> Relayed {
    let (reader, writer) = flow.into_split();
    relay_halves(tcp, reader, writer).await
}

async fn relay_halves(tcp: TcpStream, mut reader: impl Source, mut writer: impl Sink) -> Relayed {
    // Fails only on a connection that is dead already, which the first read will tell.
    let _ = tcp.set_nodelay(true);
    let (mut up, mut down) = (0, 0);
    let result = both(&tcp, &mut reader, &mut writer, (&mut up, &mut down)).await;
    let end = match result {
        Ok(()) => End::Finished,
        Err(Broken::Tcp(error)) => {
            writer.reset();
            End::TcpFailed(error)
        }
        Err(Broken::Flow) => End::FlowReset,
    };
    if !matches!(end, End::Finished) {
        close_with_reset(tcp);
    }
    Relayed { to_flow: up, to_tcp: down, end }
}

async fn both(
    tcp: &TcpStream,
    reader: &mut impl Source,
    writer: &mut impl Sink,
    (up, down): (&mut u64, &mut u64),
) -> Result<(), Broken> {
    let to_flow = to_flow::pump(tcp, writer, up);
    let to_tcp = to_tcp::pump(tcp, reader, down);
    tokio::pin!(to_flow, to_tcp);
    // Whichever ends first, the other goes on, unless the connection itself has failed.
    tokio::select! {
        ended = &mut to_flow => match ended {
            Ok(()) => tokio::select! {
                ended = &mut to_tcp => ended,
                error = failed(tcp) => Err(Broken::Tcp(error)),
            },
            Err(Broken::Tcp(error)) => Err(Broken::Tcp(error)),
            // What preceded the reset is still on its way to the application.
            Err(Broken::Flow) => tokio::select! {
                _ = &mut to_tcp => Err(Broken::Flow),
                () = sleep(RESET_GRACE) => Err(Broken::Flow),
            },
        },
        ended = &mut to_tcp => {
            ended?;
            to_flow.await
        }
    }
}

/// Waits until the connection fails (a reset), without touching what there is to read.
async fn failed(tcp: &TcpStream) -> io::Error {
    match tcp.ready(Interest::ERROR).await {
        Ok(_) => tcp
            .take_error()
            .ok()
            .flatten()
            .unwrap_or_else(|| io::Error::from(io::ErrorKind::ConnectionReset)),
        Err(error) => error,
    }
}

/// Closes a connection so that its other end sees a reset.
pub(super) fn close_with_reset(tcp: TcpStream) {
    // Fails only on a connection that is dead already.
    let _ = SockRef::from(&tcp).set_linger(Some(Duration::ZERO));
    drop(tcp);
}

#[cfg(test)]
mod tests;
