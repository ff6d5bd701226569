//! UDP ASSOCIATE (RFC 1928 §7): a client's datagrams, each with its destination in front, for as long as its TCP
//! connection lasts.
//!
//! Only the client is heard: its address is that of the connection, and its port the one that it announced, or that
//! of its first datagram. Each destination is a flow. What comes back has the same destination in front, a name where
//! the client gave a name. Fragments are dropped, as RFC 1928 allows.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use fast_socks5::parse_udp_request;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::target::udp_target;
use crate::proxy::ingress::credentials::Credentials;
use crate::proxy::ingress::datagrams::{Beginning, Flows, Shared};
use crate::proxy::ingress::http::Service;
use crate::proxy::ingress::kind::{IngressKind, LiveIngress};
use crate::proxy::stream::Stream;
use crate::proxy::udp;
use throughline::Target;

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
    mut tcp: Stream,
    socket: UdpSocket,
    port: Option<u16>,
    credentials: Option<&Credentials>,
    service: &Service,
) {
    let Some(Ok(client)) = tcp.as_tcp().map(TcpStream::peer_addr) else { return };
    let stop = CancellationToken::new();
    let _guard = stop.clone().drop_guard();
    let association = Association {
        shared: Shared {
            socket: Arc::new(socket),
            dispatcher: Arc::clone(&service.dispatcher),
            tasks: service.tasks.clone(),
            refusals: Arc::clone(&service.refusals),
            stop,
        },
        ingress: service.ingress.name(),
        live: service.ingress.clone(),
        credentials: credentials.cloned(),
    };
    let flows = Flows::new(association.shared.clone());
    let is_client = |from: SocketAddr, port: Option<u16>| {
        from.ip().to_canonical() == client.ip().to_canonical()
            && port.is_none_or(|port| from.port() == port)
    };
    let (mut port, mut scratch) = (port, [0; 64]);
    loop {
        tokio::select! {
            received = udp::receive_from(&association.shared.socket) => match received {
                Ok((datagram, from)) if is_client(from, port) => {
                    if association.pass(&flows, datagram, from).await {
                        port = Some(from.port());
                    }
                }
                Ok((_, from)) => debug!(%from, "a datagram of somebody else is not heard"),
                Err(error) => return debug!(%error, "association ended"),
            },
            read = tcp.read(&mut scratch) => if !read.is_ok_and(|len| len > 0) {
                return;
            },
            () = association.shared.tasks.draining() => return,
        }
    }
}

struct Association {
    shared: Shared,
    ingress: Arc<str>,
    live: LiveIngress,
    /// What the client showed.
    credentials: Option<Credentials>,
}

impl Association {
    /// Passes a datagram of the client on; returns whether it is one.
    async fn pass(&self, flows: &Flows<Target>, datagram: Bytes, client: SocketAddr) -> bool {
        let (target, header, payload) = match parse(&datagram).await {
            Ok(parsed) => parsed,
            Err(dropped) => {
                self.log(client, dropped);
                return false;
            }
        };
        let ingress = Arc::clone(&self.ingress);
        flows.pass(&target, payload, || {
            if !self.is_still_served() {
                return None;
            }
            if flows.count(|_| true) >= MAX_FLOWS {
                self.log(client, Dropped::TooMany);
                return None;
            }
            let (target, answers_by) = (target.clone(), self.shared.answers_by());
            Some(Beginning { ingress, target, client, header, answers_by, place: None })
        });
        true
    }

    /// Returns whether a client would be let in now as this one was: the ingress listens, and asks for the same.
    fn is_still_served(&self) -> bool {
        let kind = self.live.now().kind;
        let speaks = matches!(kind, IngressKind::Socks5(_) | IngressKind::Proxy(_));
        speaks && !self.live.is_closed() && kind.credentials() == self.credentials.as_ref()
    }

    fn log(&self, from: SocketAddr, dropped: Dropped) {
        if let Some(suppressed) = self.shared.refusals.admit() {
            info!(ingress = %self.ingress, %from, suppressed, "datagram dropped: {dropped}");
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
