//! Failures of a relay, and how a connection is reset.

use std::io;
use std::time::Duration;

use tokio::io::Interest;

use crate::proxy::stream::Stream;

/// Bounds the delivery of the bytes before a reset: long enough for a slow application, finite for
/// one that hangs.
pub(crate) const RESET_FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Which side of one direction failed.
pub(super) enum RelayFailure {
    /// The application's connection.
    Tcp(io::Error),
    /// The flow, by a reset.
    Flow,
}

/// Waits until the connection fails (a reset), without consuming bytes that wait to be read.
pub(crate) async fn tcp_failure(tcp: &Stream) -> io::Error {
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
pub(crate) fn close_with_reset(tcp: Stream) {
    tcp.reset_on_close();
    drop(tcp);
}
