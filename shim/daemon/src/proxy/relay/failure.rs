//! Failures of a relay, and how a connection is reset.

use std::io;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Which side of one direction failed.
pub(super) enum RelayFailure {
    /// The application's connection.
    Tcp(io::Error),
    /// The flow, by a reset.
    Flow,
}

/// Waits until the connection fails (a reset), without consuming bytes that wait to be read.
pub(super) async fn tcp_failure(tcp: &TcpStream) -> io::Error {
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
pub(crate) fn close_with_reset(tcp: TcpStream) {
    // This fails only on a dead connection.
    let _ = SockRef::from(&tcp).set_linger(Some(Duration::ZERO));
    drop(tcp);
}
