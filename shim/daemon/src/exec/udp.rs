//! The program's datagrams: each of its sockets is an association with the ingress.
//!
//! A socket of the namespace is bound to each destination's address, so that the program is answered from there, as a
//! connected socket of its wants it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fast_socks5::{new_udp_header, parse_udp_request};
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use super::shared::Shared;
use super::tcp::target;
use crate::proxy::ingress::intercept::canonical;
use crate::proxy::names::pool::InUse;
use crate::proxy::udp;

/// Sockets of the program at once; a datagram of a further one is dropped.
const MAX_ASSOCIATIONS: usize = 1024;

/// Destinations of one socket, which the ingress bounds as well; a datagram to a further one is dropped.
const MAX_DESTINATIONS: usize = 256;

/// Datagrams of a socket that wait for their association, or for the ingress to take them; the next is dropped.
const MAX_WAITING: usize = 64;

/// How long a socket's association lasts without a datagram: as long as a flow of the daemon's.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Pause after a failed read, which would make the loop spin.
const RETRY_DELAY: Duration = Duration::from_millis(10);

type Clients = Arc<Mutex<HashMap<SocketAddr, mpsc::Sender<(Bytes, SocketAddr)>>>>;

/// Serves the program's datagrams.
pub(super) async fn serve(socket: UdpSocket, shared: Shared) {
    let clients = Clients::default();
    loop {
        match udp::receive_original(&socket).await {
            Ok((datagram, from, Some(to))) => {
                pass(&clients, &shared, (datagram, canonical(from), canonical(to)));
            }
            Ok((_, _, None)) => {}
            Err(_) => sleep(RETRY_DELAY).await,
        }
    }
}

fn pass(clients: &Clients, shared: &Shared, (datagram, from, to): (Bytes, SocketAddr, SocketAddr)) {
    let mut open = clients.lock();
    let is_open = |sender: &&mpsc::Sender<_>| !sender.is_closed();
    if let Some(client) = open.get(&from).filter(is_open) {
        let _ = client.try_send((datagram, to));
        return;
    }
    if open.len() >= MAX_ASSOCIATIONS {
        return;
    }
    let (sender, waiting) = mpsc::channel(MAX_WAITING);
    let _ = sender.try_send((datagram, to));
    open.insert(from, sender);
    drop(open);
    let (clients, shared) = (Arc::clone(clients), shared.clone());
    let tasks = shared.tasks.clone();
    tasks.spawn(async move {
        let reason = associate(from, waiting, &shared).await;
        debug!(%from, "association ended: {reason}");
        let mut open = clients.lock();
        // Another one may have begun meanwhile.
        if open.get(&from).is_some_and(mpsc::Sender::is_closed) {
            open.remove(&from);
        }
    });
}

/// Serves a socket of the program's until it is idle or the ingress has enough of it; returns why.
async fn associate(
    from: SocketAddr,
    mut waiting: mpsc::Receiver<(Bytes, SocketAddr)>,
    shared: &Shared,
) -> String {
    let _descriptors = (shared.descriptors.acquire().await, shared.descriptors.acquire().await);
    let associated = Box::pin(shared.ingress.associate()).await;
    let (mut connection, socket) = match associated {
        Ok(associated) => associated,
        Err(error) => return error.to_string(),
    };
    let mut association = Association { from, socket, shared, destinations: HashMap::new() };
    let mut used_at = Instant::now();
    loop {
        tokio::select! {
            Some((datagram, to)) = waiting.recv() => association.send(&datagram, to).await,
            received = udp::receive(&association.socket) => match received {
                Ok(datagram) => association.answer(&datagram).await,
                Err(error) if udp::is_final(&error) => return error.to_string(),
                Err(_) => {}
            },
            () = over(&mut connection) => return "the ingress ended it".to_owned(),
            () = sleep_until(used_at + IDLE_TIMEOUT) => return "idle for too long".to_owned(),
        }
        used_at = Instant::now();
    }
}

/// Completes when the ingress has ended an association: it says nothing more on its connection before.
async fn over(connection: &mut TcpStream) {
    while connection.read(&mut [0; 64]).await.is_ok_and(|count| count > 0) {}
}

/// A socket of the program's.
struct Association<'a> {
    from: SocketAddr,
    socket: UdpSocket,
    shared: &'a Shared,
    /// By what precedes their datagrams.
    destinations: HashMap<Bytes, Destination>,
}

struct Destination {
    to: SocketAddr,
    /// At its address, in the namespace.
    socket: UdpSocket,
    _descriptor: OwnedSemaphorePermit,
    _name: Option<InUse>,
}

impl Association<'_> {
    async fn send(&mut self, datagram: &[u8], to: SocketAddr) {
        let known = self.destinations.iter().find(|(_, known)| known.to == to);
        let header = match known {
            Some((header, _)) => header.clone(),
            None => match self.begin(to).await {
                Some(header) => header,
                None => return,
            },
        };
        // What finds no room is lost, as in the network.
        let _ = self.socket.send(&[&header, datagram].concat()).await;
    }

    async fn begin(&mut self, to: SocketAddr) -> Option<Bytes> {
        if self.destinations.len() >= MAX_DESTINATIONS {
            return None;
        }
        let (target, name) = target(to, &self.shared.names)?;
        let descriptor = self.shared.descriptors.try_acquire()?;
        let header = Bytes::from(new_udp_header(target).ok()?);
        let socket = self.shared.inside.bind(to).await.ok()?;
        let destination = Destination { to, socket, _descriptor: descriptor, _name: name };
        self.destinations.insert(header.clone(), destination);
        Some(header)
    }

    /// Gives the program what has come back.
    async fn answer(&self, datagram: &[u8]) {
        let Ok((0, _, payload)) = parse_udp_request(datagram).await else { return };
        let header = &datagram[..datagram.len() - payload.len()];
        if let Some(destination) = self.destinations.get(header) {
            let _ = destination.socket.send_to(payload, self.from).await;
        }
    }
}
