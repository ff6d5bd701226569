//! The program's connections: each is one through the ingress.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use fast_socks5::util::target_addr::TargetAddr;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;
use tracing::debug;

use super::inside::BACKLOG;
use super::shared::Shared;
use crate::proxy::names::Names;
use crate::proxy::names::pool::{self, InUse};
use crate::proxy::relay::{Joint, Progress, close_with_reset, relay_directly_until};
use crate::proxy::stream::Stream;

/// Pause after a failed accept. The usual cause, a lack of descriptors, would make the loop spin.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// One for either end of a connection.
type Pair = (Option<OwnedSemaphorePermit>, Option<OwnedSemaphorePermit>);

/// Serves the program's connections, also those that it had when it ended. Those for which there is no descriptor wait
/// in the kernel.
pub(super) async fn serve(listener: TcpListener, shared: Shared) {
    loop {
        let next = async {
            let descriptors = descriptors(&shared).await;
            (listener.accept().await, descriptors)
        };
        let (accepted, descriptors) = tokio::select! {
            biased;
            next = next => next,
            () = shared.ending.begun() => break,
        };
        match accepted {
            Ok((tcp, from)) => begin(tcp, from, descriptors, &shared),
            Err(_) => sleep(ACCEPT_RETRY_DELAY).await,
        }
    }
    // The kernel knows of connections that the runtime has not been told of yet; of no more than these, so that somebody
    // who is left behind cannot go on for ever.
    for _ in 0..=BACKLOG {
        let Ok((tcp, from)) = accept_now(&listener) else { return };
        begin(tcp, from, descriptors(&shared).await, &shared);
    }
}

/// Waits for the descriptors of a connection. One loop does so, and nobody else waits for any.
async fn descriptors(shared: &Shared) -> Pair {
    (shared.descriptors.acquire().await, shared.descriptors.acquire().await)
}

fn accept_now(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (tcp, from) = SockRef::from(listener).accept()?;
    tcp.set_nonblocking(true)?;
    let from = from.as_socket().ok_or(io::ErrorKind::InvalidData)?;
    Ok((TcpStream::from_std(tcp.into())?, from))
}

fn begin(tcp: TcpStream, from: SocketAddr, descriptors: Pair, shared: &Shared) {
    let served = shared.clone();
    let serving = async move {
        connect(tcp, from, &served).await;
        drop(descriptors);
    };
    shared.tasks.spawn_in_order(shared.ending.track_connection(serving));
}

/// Connects a connection of the program's. One that leads nowhere is reset: it was accepted before that was known.
async fn connect(tcp: TcpStream, from: SocketAddr, shared: &Shared) {
    let to = tcp.local_addr();
    let tcp = Stream::from(tcp);
    // Whoever closes it before its relay does, also the kernel for this process.
    tcp.reset_on_close();
    let Some((target, _in_use)) = to.ok().and_then(|to| target(to, &shared.names)) else {
        return close_with_reset(tcp);
    };
    let connecting = shared.ending.unless_over(&tcp, shared.ingress.connect(target.clone()));
    match Box::pin(connecting).await {
        Some(Ok(other)) => {
            debug!(%from, %target, "connection begins");
            let joint = Joint { tcp, ingress: None, progress: Progress::default() };
            let place = shared.freezer.enter().await;
            let stop = shared.ending.of_relay();
            let relayed = relay_directly_until(joint, other, place, stop).await;
            debug!(%target, ?relayed, "connection ended");
        }
        Some(Err(error)) => {
            debug!(%from, %target, %error, "connection reset");
            close_with_reset(tcp);
        }
        None => close_with_reset(tcp),
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
