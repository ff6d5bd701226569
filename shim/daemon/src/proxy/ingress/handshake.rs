//! What the handshakes of all ingresses have in common: their times, and how a refused client is let go.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::proxy::stream::Stream;

/// Bounds the time from the connection to the whole request: seconds more than any client needs.
pub(super) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The wait before a wrong password is refused, so that a connection tries one a second.
pub(super) const REJECT_DELAY: Duration = Duration::from_secs(1);

/// Bounds the time that a refused client has to read the reply and to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Says something to a client, and lets it go.
pub(super) async fn refuse(mut tcp: Stream, reply: &[u8]) {
    // Whoever is gone does not read it.
    if tcp.write_all(reply).await.is_ok() {
        close_gracefully(tcp).await;
    }
}

/// Closes so that the client can still read the reply.
///
/// Closing with unread bytes would reset the connection, and the reset overtakes the reply.
pub(super) async fn close_gracefully(mut tcp: Stream) {
    let drained = async {
        tcp.shutdown().await?;
        let mut scratch = [0; 1024];
        while tcp.read(&mut scratch).await? > 0 {}
        std::io::Result::Ok(())
    };
    // The client is refused already; whether it closes in time does not matter.
    let _ = timeout(CLOSE_TIMEOUT, drained).await;
}
