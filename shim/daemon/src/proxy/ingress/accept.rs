//! The accept loop that every ingress shares: bounded, and resilient to a lack of descriptors.

use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tracing::warn;

use super::kind::LiveIngress;
use super::listener::Listener;
use crate::proxy::connections::Connections;
use crate::proxy::freezer::{Freezer, SettingUp, Setup};
use crate::proxy::stream::{ClientAddr, Stream};
use crate::proxy::tasks::Tasks;
use throughline_proto::throttle::LogThrottle;

/// Pause after a failed accept. The usual cause, a lack of descriptors, would make the loop spin.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Accepts a connection, which a hand-over waits for from that moment; none once one begins. Cancel-safe.
async fn accept(
    listener: &Listener,
    freezer: &Freezer,
) -> io::Result<(Stream, ClientAddr, SettingUp)> {
    poll_fn(|context| {
        // First: between the two a hand-over would find nothing to wait for. Whoever waits here hears of it.
        let Some(set_up) = freezer.setting_up_if_open(Setup::Connection) else {
            return Poll::Pending;
        };
        let accepted = listener.poll_accept(context);
        accepted.map_ok(|(stream, from)| (stream, from, set_up))
    })
    .await
}

/// Accepts connections until the ingress is closed or the tasks are draining, and spawns `serve` for each.
pub async fn accept_loop<F, Fut>(
    listener: Arc<Listener>,
    ingress: &LiveIngress,
    connections: &Connections,
    tasks: &Tasks,
    serve: F,
) where
    F: Fn(Stream, ClientAddr, SettingUp) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut logged = LogThrottle::default();
    loop {
        connections.freezer.open().await;
        let accepted = async {
            let permit = ingress.served().enter(|| connections.limits().per_ingress).await;
            let descriptor = connections.descriptors.acquire().await;
            let (stream, from, set_up) = accept(&listener, &connections.freezer).await?;
            if let Some(tcp) = stream.as_tcp() {
                connections.tcp().apply(tcp);
            }
            io::Result::Ok(((permit, descriptor), stream, from, set_up))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = connections.freezer.closed() => continue,
            () = tasks.draining() => return,
            () = ingress.closed() => return,
        };
        match accepted {
            Ok((permit, stream, from, set_up)) => {
                // Boxed: a future that awaits another one that it was given has room for it twice.
                let served = Box::pin(serve(stream, from, set_up));
                // Flows are opened in the order the connections arrived: some programs tell theirs
                // apart by it.
                tasks.spawn_in_order(async move {
                    served.await;
                    drop(permit);
                });
            }
            Err(error) => {
                if logged.admit(Instant::now(), error.kind()).is_some() {
                    warn!(ingress = %ingress.name(), %error, "cannot accept a connection; trying again");
                }
                sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}
