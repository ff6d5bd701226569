//! The program's connections: each is one through the ingress.

use std::net::SocketAddr;
use std::time::Duration;

use fast_socks5::util::target_addr::TargetAddr;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tracing::debug;

use super::shared::Shared;
use crate::proxy::names::Names;
use crate::proxy::names::pool::{self, InUse};
use crate::proxy::relay::{Joint, Progress, close_with_reset, relay_directly};

/// Pause after a failed accept. The usual cause, a lack of descriptors, would make the loop spin.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Serves the program's connections. Those for which there is no descriptor wait in the kernel.
pub(super) async fn serve(listener: TcpListener, shared: Shared) {
    loop {
        // One for either end.
        let descriptors = (shared.descriptors.acquire().await, shared.descriptors.acquire().await);
        let Ok((tcp, from)) = listener.accept().await else {
            sleep(ACCEPT_RETRY_DELAY).await;
            continue;
        };
        let (served, tasks) = (shared.clone(), shared.tasks.clone());
        tasks.spawn_in_order(async move {
            connect(tcp, from, &served).await;
            drop(descriptors);
        });
    }
}

/// Connects a connection of the program's. One that leads nowhere is reset: it was accepted before that was known.
async fn connect(tcp: TcpStream, from: SocketAddr, shared: &Shared) {
    let Some((target, _in_use)) = tcp.local_addr().ok().and_then(|to| target(to, &shared.names))
    else {
        return close_with_reset(tcp.into());
    };
    match Box::pin(shared.ingress.connect(target.clone())).await {
        Ok(other) => {
            debug!(%from, %target, "connection begins");
            let joint = Joint { tcp: tcp.into(), ingress: None, progress: Progress::default() };
            let place = shared.freezer.enter().await;
            let relayed = relay_directly(joint, other, place).await;
            debug!(%target, ?relayed, "connection ended");
        }
        Err(error) => {
            debug!(%from, %target, %error, "connection reset");
            close_with_reset(tcp.into());
        }
    }
}

/// Returns what an address means to the ingress; none of one that was never given out, or that is the namespace's own.
pub(super) fn target(to: SocketAddr, names: &Names) -> Option<(TargetAddr, Option<InUse>)> {
    let ip = to.ip().to_canonical();
    match names.of(ip) {
        Some((name, in_use)) => {
            Some((TargetAddr::Domain(name.to_string(), to.port()), Some(in_use)))
        }
        None if pool::contains(ip) || ip.is_loopback() => None,
        None => Some((TargetAddr::Ip(SocketAddr::new(ip, to.port())), None)),
    }
}
