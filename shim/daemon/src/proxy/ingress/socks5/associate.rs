//! UDP ASSOCIATE (RFC 1928 §7): a client's datagrams, each with its destination in front, for as long as its TCP
//! connection lasts.
//!
//! Only the client is heard: its address is that of the connection, and its port the one that it announced, or that
//! of its first datagram. Each destination is a flow. What comes back has the same destination in front, a name where
//! the client gave a name. Fragments are dropped, as RFC 1928 allows.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use fast_socks5::parse_udp_request;
use tokio::net::{TcpStream, UdpSocket};
use tracing::{debug, info};

use super::target::udp_target;
use crate::proxy::freezer::Place;
use crate::proxy::ingress::credentials::Credentials;
use crate::proxy::ingress::datagrams::{Beginning, Flows, HandedFlow, Shared};
use crate::proxy::ingress::dispatcher::Dispatcher;
use crate::proxy::ingress::http::Service;
use crate::proxy::ingress::kind::{IngressKind, LiveIngress};
use crate::proxy::parked::{self, AssociationId, DatagramsOrigin, ParkedTask};
use crate::proxy::refusals::RefusalLog;
use crate::proxy::tasks::Tasks;
use crate::proxy::udp::{self, Received};
use throughline::{Datagram, Target};

/// Destinations of an association at once: a browser's page full of QUIC.
const MAX_FLOWS: usize = 256;

/// Why a datagram of a client goes nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Dropped {
    #[error("it is a fragment (RFC 1928 §7), which is not supported; send datagrams whole")]
    Fragment,
    #[error("its header is not one of SOCKS5 (RFC 1928 §7)")]
    Header,
    #[error("its destination is not valid")]
    Destination,
    #[error("{MAX_FLOWS} destinations are in use")]
    TooMany,
}

/// Serves an association until its TCP connection ends. `port` is that of the client, where it said so.
pub(super) async fn serve(
    tcp: TcpStream,
    (socket, port): (UdpSocket, Option<u16>),
    credentials: Option<&Credentials>,
    service: &Service,
    place: Place,
) {
    let parked = parked::Association {
        id: AssociationId::next(),
        ingress: service.ingress.name(),
        tcp: Arc::new(tcp),
        socket: Arc::new(socket),
        port,
        credentials: credentials.cloned(),
    };
    let (dispatcher, tasks) = (Arc::clone(&service.dispatcher), service.tasks.clone());
    let with = (dispatcher, tasks, Arc::clone(&service.refusals));
    go_on(parked, Vec::new(), service.ingress.clone(), with, place).await;
}

/// Serves an association until its TCP connection ends, and goes on with its flows that another process has begun.
pub async fn go_on(
    parked: parked::Association,
    handed: Vec<HandedFlow>,
    ingress: LiveIngress,
    (dispatcher, tasks, refusals): (Arc<Dispatcher>, Tasks, Arc<RefusalLog>),
    place: Place,
) {
    let (mut shared, _guard) = Shared::of(Arc::clone(&parked.socket), ingress, dispatcher, tasks);
    shared.refusals = refusals;
    Association { shared, parked }.serve(handed, place).await;
}

/// Completes when a connection has ended; what is said on it is not heard.
async fn has_ended(tcp: Arc<TcpStream>) {
    let mut scratch = [0; 64];
    while tcp.readable().await.is_ok() {
        match tcp.try_read(&mut scratch) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

struct Association {
    shared: Shared,
    /// What it is, also for a process that goes on with it.
    parked: parked::Association,
}

impl Association {
    /// Serves it, with flows that another process has begun.
    async fn serve(mut self, handed: Vec<HandedFlow>, place: Place) {
        let Ok(client) = self.parked.tcp.peer_addr() else { return };
        let flows = Flows::new(self.shared.clone());
        handed.into_iter().for_each(|flow| self.go_on(&flows, flow));
        let ended = has_ended(Arc::clone(&self.parked.tcp));
        tokio::pin!(ended);
        let is_client = |from: SocketAddr, port: Option<u16>| {
            from.ip().to_canonical() == client.ip().to_canonical()
                && port.is_none_or(|port| from.port() == port)
        };
        loop {
            let port = self.parked.port;
            tokio::select! {
                biased;
                // What the client sends from now on waits in the socket, for whichever process goes on.
                () = place.frozen() => {
                    let ingress = self.shared.ingress.name();
                    let parked = parked::Association { ingress, ..self.parked.clone() };
                    place.park(ParkedTask::Association(parked)).await;
                }
                () = &mut ended => return,
                () = self.shared.tasks.draining() => return,
                received = udp::receive_from(&self.shared.socket) => match received {
                    Ok(Received { datagram, from, .. }) if is_client(from, port) => {
                        if self.pass(&flows, datagram, from).await {
                            self.parked.port = Some(from.port());
                        }
                    }
                    Ok(Received { from, .. }) => debug!(%from, "a datagram of somebody else is not heard"),
                    Err(error) => return debug!(%error, "association ended"),
                },
            }
        }
    }

    /// Passes a datagram of the client on; returns whether it is one.
    async fn pass(&self, flows: &Flows<Target>, datagram: Datagram, client: SocketAddr) -> bool {
        let (target, header, payload) = match parse(&datagram.payload).await {
            Ok(parsed) => parsed,
            Err(dropped) => {
                self.log(client, dropped);
                return false;
            }
        };
        flows.pass(&target, Datagram { payload, ..datagram }, || {
            if !self.is_still_served() {
                return None;
            }
            if flows.count(|_| true) >= MAX_FLOWS {
                self.log(client, Dropped::TooMany);
                return None;
            }
            Some(self.beginning(target.clone(), header, client))
        });
        true
    }

    fn beginning(&self, target: Target, header: Bytes, client: SocketAddr) -> Beginning {
        let (ingress, answers_by) = (Arc::clone(&self.parked.ingress), self.shared.answers_by());
        let origin = DatagramsOrigin::Associated {
            association: self.parked.id,
            target: target.clone(),
            header: header.clone(),
            client,
        };
        Beginning { ingress, target, origin, client, header, answers_by, place: None }
    }

    /// Goes on with a flow that another process has begun.
    fn go_on(&self, flows: &Flows<Target>, HandedFlow { out, origin, .. }: HandedFlow) {
        if let DatagramsOrigin::Associated { target, header, client, .. } = origin {
            flows.go_on(&target, self.beginning(target.clone(), header, client), out);
        }
    }

    /// Returns whether a client would be let in now as this one was: the ingress listens, and asks for the same.
    fn is_still_served(&self) -> bool {
        let kind = self.shared.ingress.now().kind;
        let speaks = matches!(kind, IngressKind::Socks5(_) | IngressKind::Proxy(_));
        speaks
            && !self.shared.ingress.is_closed()
            && kind.credentials() == self.parked.credentials.as_ref()
    }

    fn log(&self, from: SocketAddr, dropped: Dropped) {
        if let Some(suppressed) = self.shared.refusals.admit() {
            info!(ingress = %self.parked.ingress, %from, suppressed, "datagram dropped: {dropped}");
        }
    }
}

/// Returns where a datagram leads, the header that says so, and what follows it.
async fn parse(datagram: &Bytes) -> Result<(Target, Bytes, Bytes), Dropped> {
    let (fragment, address, payload) =
        parse_udp_request(datagram).await.map_err(|_| Dropped::Header)?;
    if fragment != 0 {
        return Err(Dropped::Fragment);
    }
    let target = udp_target(&address).ok_or(Dropped::Destination)?;
    let header = datagram.len() - payload.len();
    // Kept for as long as the flow, and not the datagram with it.
    let copied = Bytes::copy_from_slice(&datagram[..header]);
    Ok((target, copied, datagram.slice(header..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_datagram_says_where_it_leads_and_a_fragment_leads_nowhere() {
        let of = |bytes: &'static [u8]| async move { parse(&Bytes::from_static(bytes)).await };
        let (target, header, payload) = of(b"\0\0\0\x01\x0a\0\0\x01\0\x35hello").await.unwrap();
        assert_eq!((target, &payload[..]), ("10.0.0.1:53/udp".parse().unwrap(), &b"hello"[..]));
        assert_eq!(header.len(), 10);
        let (target, ..) = of(b"\0\0\0\x03\x07Host.ex\x01\xbb").await.unwrap();
        assert_eq!(target, "host.ex:443/udp".parse().unwrap());
        for (bytes, dropped) in [
            (&b"\0\0\x01\x01\x0a\0\0\x01\0\x35hello"[..], Dropped::Fragment),
            (b"\0\0\0\x01\x0a\0\0", Dropped::Header),
            (b"\0\x01\0\x01\x0a\0\0\x01\0\x35", Dropped::Header),
            (b"\0\0\0\x01\x0a\0\0\x01\0\0hello", Dropped::Destination),
            (b"\0\0\0\x03\x02a \0\x35", Dropped::Destination),
            (b"", Dropped::Header),
        ] {
            assert_eq!(of(bytes).await.unwrap_err(), dropped, "{bytes:?}");
        }
    }
}
