//! The program's datagrams: each of its sockets is an association with the ingress.
//!
//! A socket of the namespace is bound to each destination's address, so that the program is answered from there, as a
//! connected socket of its wants it.

mod association;
mod clients;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};
use tracing::debug;

use self::association::{Waiting, associate};
use self::clients::{Clients, MAX_ASSOCIATIONS};
use super::shared::{DatagramDescriptor, Shared};
use crate::proxy::ingress::intercept::canonical;
use crate::proxy::udp::{self, Received};

/// Datagrams of a socket that wait for their association, or for the ingress to take them; the next is dropped.
const MAX_WAITING: usize = 64;

/// Datagrams that are taken of the kernel when the program has ended: more than its buffer holds of the shortest, so
/// that somebody whom it leaves behind cannot go on for ever.
const MAX_LAST: usize = 1024;

/// Pause after a failed read, which would make the loop spin.
const RETRY_DELAY: Duration = Duration::from_millis(10);

/// What serves the program's datagrams. The lock is a leaf.
#[derive(Clone)]
struct Datagrams {
    shared: Shared,
    clients: Arc<Mutex<Clients>>,
}

/// Serves the program's datagrams, also those that it sent just before its end.
pub(super) async fn serve(socket: UdpSocket, shared: Shared) {
    let datagrams = Datagrams { shared, clients: Arc::default() };
    loop {
        tokio::select! {
            biased;
            received = udp::receive_from(&socket) => match received {
                Ok(received) => datagrams.pass(received),
                Err(_) => sleep(RETRY_DELAY).await,
            },
            () = datagrams.shared.ending.begun() => break,
        }
    }
    // The kernel has datagrams that the runtime has not been told of yet.
    for _ in 0..MAX_LAST {
        let Ok(received) = udp::receive_now(&socket) else { break };
        datagrams.pass(received);
        yield_now().await;
    }
    datagrams.clients.lock().end_all();
}

impl Datagrams {
    fn pass(&self, Received { datagram, from, to }: Received) {
        let Some(to) = to else { return };
        let (from, now) = (canonical(from), Instant::now());
        let mut clients = self.clients.lock();
        let Some(first) = clients.pass(from, (datagram, canonical(to)), now) else { return };
        let has_room = clients.has_room(now);
        let descriptors = if has_room { self.descriptors() } else { None };
        if clients.is_sweep_due(descriptors.is_none(), now) {
            self.sweep(now);
        }
        let Some(descriptors) = descriptors else {
            if has_room {
                // For the next one.
                clients.end_longest_unused(now);
            }
            drop(clients);
            let reason =
                if has_room { "no descriptor is free, see `ulimit -Hn`" } else { "too many" };
            return debug!(%from, "datagram of another socket dropped: {reason} ({MAX_ASSOCIATIONS} at most)");
        };
        let (sender, waiting) = mpsc::channel(MAX_WAITING);
        let _ = sender.try_send(first);
        clients.insert(from, sender, now);
        drop(clients);
        self.begin(from, waiting, descriptors);
    }

    /// Takes descriptors for an association's connection and socket, and for its first destination: without that it
    /// would be of no use.
    fn descriptors(&self) -> Option<[DatagramDescriptor; 3]> {
        let one = || self.shared.datagram_descriptor();
        Some([one()?, one()?, one()?])
    }

    fn begin(
        &self,
        from: SocketAddr,
        waiting: mpsc::Receiver<Waiting>,
        [connection, socket, first]: [DatagramDescriptor; 3],
    ) {
        let Self { shared, clients } = self.clone();
        let serving = async move {
            let reason = associate(from, waiting, &shared, first).await;
            drop((connection, socket));
            debug!(%from, "association ended: {reason}");
            clients.lock().forget(from);
        };
        self.shared.tasks.spawn(self.shared.ending.track(serving));
    }

    /// Ends the associations of sockets that the program has closed.
    fn sweep(&self, asked_at: Instant) {
        let Self { shared, clients } = self.clone();
        self.shared.tasks.spawn(async move {
            if let Ok(sockets) = shared.inside.udp_sockets().await {
                clients.lock().sweep(&sockets, asked_at);
            }
        });
    }
}
