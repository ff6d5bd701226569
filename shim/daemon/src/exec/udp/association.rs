//! One socket of the program's: an association with the ingress, and a socket in the namespace for each destination.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use fast_socks5::{new_udp_header, parse_udp_request};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::exec::shared::{DatagramDescriptor, Shared};
use crate::exec::tcp::target;
use crate::proxy::names::pool::InUse;
use crate::proxy::udp;
use throughline::Datagram;

/// Destinations of one socket, which the ingress bounds as well; a datagram to a further one is dropped.
const MAX_DESTINATIONS: usize = 256;

/// How long a socket's association, and each destination of its, lasts without a datagram: as long as a flow of the
/// daemon's.
const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// How long an association whose program has ended lasts after its last datagram: the ingress has to open a flow for
/// it, and drops what has not been sent when the association ends.
const LAST_DATAGRAM_TIME: Duration = Duration::from_millis(200);

/// A datagram, and where it is to go.
pub(super) type Waiting = (Datagram, SocketAddr);

/// Serves a socket of the program's until it is idle, nobody sends to it any more, or the ingress has enough of it;
/// returns why. `first` is the descriptor of its first destination.
pub(super) async fn associate(
    from: SocketAddr,
    mut waiting: mpsc::Receiver<Waiting>,
    shared: &Shared,
    first: DatagramDescriptor,
) -> String {
    let associated = Box::pin(shared.ingress.associate()).await;
    let (mut connection, socket) = match associated {
        Ok(associated) => associated,
        Err(error) => return error.to_string(),
    };
    let (first, destinations) = (Some(first), HashMap::new());
    let mut association = Association { from, socket, shared, first, destinations };
    let (mut used_at, mut sent_at) = (Instant::now(), Instant::now());
    loop {
        tokio::select! {
            next = waiting.recv() => match next {
                Some((datagram, to)) => {
                    association.send(&datagram, to).await;
                    sent_at = Instant::now();
                }
                None => break,
            },
            received = udp::receive(&association.socket) => match received {
                Ok(datagram) => association.answer(datagram).await,
                Err(error) if udp::is_final(&error) => return error.to_string(),
                Err(_) => {}
            },
            () = over(&mut connection) => return "the ingress ended it".to_owned(),
            () = sleep_until(used_at + IDLE_TIMEOUT) => return "idle for too long".to_owned(),
        }
        used_at = Instant::now();
    }
    tokio::select! {
        () = over(&mut connection) => {}
        () = sleep_until(sent_at + LAST_DATAGRAM_TIME) => {}
    }
    "the program has ended, or wants the place for another socket".to_owned()
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
    first: Option<DatagramDescriptor>,
    /// By what precedes their datagrams.
    destinations: HashMap<Bytes, Destination>,
}

struct Destination {
    to: SocketAddr,
    used_at: Instant,
    /// At its address, in the namespace.
    socket: UdpSocket,
    _descriptor: DatagramDescriptor,
    _name: Option<InUse>,
}

impl Association<'_> {
    async fn send(&mut self, datagram: &Datagram, to: SocketAddr) {
        let known = self.destinations.iter_mut().find(|(_, known)| known.to == to);
        let header = match known {
            Some((header, known)) => {
                known.used_at = Instant::now();
                header.clone()
            }
            None => match self.begin(to).await {
                Some(header) => header,
                None => return debug!(from = %self.from, %to, "datagram dropped"),
            },
        };
        // What finds no room is lost, as in the network.
        let _ = udp::send(&self.socket, None, &header, datagram).await;
    }

    /// Begins with a destination; returns what is to precede its datagrams.
    async fn begin(&mut self, to: SocketAddr) -> Option<Bytes> {
        let used_at = Instant::now();
        if !has_room(&mut self.destinations, used_at) {
            return None;
        }
        let (target, name) = target(to, &self.shared.names)?;
        let descriptor = self.first.take().or_else(|| self.shared.datagram_descriptor())?;
        let header = Bytes::from(new_udp_header(target).ok()?);
        let socket = self.shared.inside.bind(to).await.ok()?;
        let destination = Destination { to, used_at, socket, _descriptor: descriptor, _name: name };
        self.destinations.insert(header.clone(), destination);
        Some(header)
    }

    /// Gives the program what has come back.
    async fn answer(&mut self, Datagram { mut payload, class }: Datagram) {
        let Ok((0, _, content)) = parse_udp_request(&payload).await else { return };
        let header = payload.split_to(payload.len() - content.len());
        if let Some(destination) = self.destinations.get_mut(&header) {
            destination.used_at = Instant::now();
            let answer = Datagram { payload, class };
            let _ = udp::send(&destination.socket, Some(self.from), &[], &answer).await;
        }
    }
}

/// Returns whether there is room for another destination; forgets those that are idle where there is none.
fn has_room(destinations: &mut HashMap<Bytes, Destination>, now: Instant) -> bool {
    if destinations.len() >= MAX_DESTINATIONS {
        destinations.retain(|_, known| now - known.used_at < IDLE_TIMEOUT);
    }
    destinations.len() < MAX_DESTINATIONS
}
