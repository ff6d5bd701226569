//! The accept loop that every ingress shares: bounded, and resilient to a lack of descriptors.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::warn;

use crate::proxy::tasks::Tasks;

/// Concurrent connections per ingress; more wait in the kernel's queue.
///
/// Twice the flows of a session: connections that could not be served need not hold descriptors.
pub const MAX_CONNECTIONS: usize = 2048;

/// Pause after a failed accept. The usual cause, a lack of descriptors, would make the loop spin.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Accepts connections until the tasks are draining, and spawns `serve` for each.
pub async fn accept_loop<F, Fut>(listener: TcpListener, ingress: &str, tasks: &Tasks, serve: F)
where
    F: Fn(TcpStream, SocketAddr) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await.map_err(io::Error::other)?;
            let (stream, from) = listener.accept().await?;
            io::Result::Ok((permit, stream, from))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = tasks.draining() => return,
        };
        match accepted {
            Ok((permit, stream, from)) => {
                let served = serve(stream, from);
                // Flows are opened in the order the connections arrived: some programs tell theirs
                // apart by it.
                tasks.spawn_in_order(async move {
                    served.await;
                    drop(permit);
                });
            }
            Err(error) => {
                warn!(ingress, %error, "cannot accept a connection");
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}
