//! The accept loop that every ingress shares: bounded, and not put off by a lack of descriptors.

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

/// Connections of one ingress at a time; further ones wait in the kernel's queue. Twice the flows of
/// a session: what could not be served anyway need not hold descriptors.
pub const MAX_CONNECTIONS: usize = 2048;

/// The rest after a failed accept, which is for want of descriptors as a rule and would spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// Accepts connections until the tasks are drained, and spawns `serve` for each.
pub async fn accept_loop<F, Fut>(listener: TcpListener, ingress: &str, tasks: &Tasks, serve: F)
where
    F: Fn(TcpStream, SocketAddr) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = async {
            let permit = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
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
                // Flows are opened in the order in which the connections came: there are programs
                // that tell theirs apart by it.
                tasks.spawn_in_turn(async move {
                    served.await;
                    drop(permit);
                });
            }
            Err(error) => {
                warn!(ingress, %error, "cannot accept a connection");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}
