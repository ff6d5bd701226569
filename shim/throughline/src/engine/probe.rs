//! Probes a path by a lane that is never attached: all that a dial does up to its `Hello`, which resumes a
//! session that nobody has.
//!
//! An acceptor answers such a `Hello` with `Reject` (unknown session), and only to a key that it knows. So the
//! answer shows that the path passes QUIC, that both keys and the version are right, and from which address the
//! acceptor sees this end. No session is made or touched at either end, and the acceptor logs one line.

pub(crate) mod mapping;
mod two_sockets;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::{Connection, ConnectionError};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::lane::handshake::{self, HandshakeError};
use super::qlog::Trace;
use super::quic::endpoint::{self, Notices, Reception};
use super::quic::socket::{self, SocketOptions};
use super::quic::tls::{self, KeyFault};
use super::quic::transport::{self, LaneTransport};
use super::quic::{close, features};
use crate::config::Limits;
use crate::identity::Identity;
use throughline_proto::types::{LaneId, PeerId, SessionId};
use throughline_proto::wire::hello::{Hello, Intent, RejectCode, SessionParams, seen_from};
use throughline_proto::wire::version::VERSIONS;

/// How often the search for the MTU is looked at.
const MTU_POLL: Duration = Duration::from_millis(20);

/// A path to be probed, and as whom.
#[derive(Clone)]
pub struct LaneProbe {
    /// This host.
    pub identity: Identity,
    /// The keys that the peer may show.
    pub expected: Vec<PeerId>,
    /// The address to send from.
    pub local: IpAddr,
    /// The interface to bind the socket to, where that is needed.
    pub device: Option<String>,
    /// The address to send to.
    pub remote: SocketAddr,
    /// The MTU of the link, where both ends are on it.
    pub link_mtu: Option<u32>,
    /// How long the handshake, and then the answer, may take.
    pub timeout: Duration,
    /// How long the path's MTU is searched for.
    pub mtu_timeout: Duration,
}

/// What came of a probe.
#[derive(Debug)]
pub enum LaneAnswer {
    /// The peer answered as itself, and knows this host.
    Reached(Reached),
    /// There is no socket on our address.
    CannotBind(io::Error),
    /// Nobody answered in time.
    Silent,
    /// Another key was shown.
    UnexpectedKey(PeerId),
    /// The peer does not know this host's key.
    KeyUnknownThere,
    /// The ends have no version in common.
    NoCommonVersion(String),
    /// The peer lets no lane in for another reason.
    Rejected(String),
    /// Anything else.
    Failed(String),
}

/// What was learned of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The smoothed round-trip time.
    pub rtt: Duration,
    /// The largest packet that has passed, with IP's and UDP's headers.
    pub mtu: u32,
    /// The largest size of which it is known whether it passes.
    pub mtu_sought: u32,
    /// The address from which the peer sees us, where it says so.
    pub seen_from: Option<SocketAddr>,
}

/// Returns how many datagrams the kernel sends (GSO) and receives (GRO) in one call: one where it cannot.
///
/// # Errors
/// There is no socket.
pub fn offloads() -> io::Result<(usize, usize)> {
    features::offloads()
}

impl LaneProbe {
    /// Probes the path; takes no longer than twice the timeout and the MTU's.
    pub async fn run(self) -> LaneAnswer {
        let options = SocketOptions { device: self.device.clone() };
        let socket = match socket::bind((self.local, 0).into(), &options) {
            Ok(socket) => socket,
            Err(error) => return LaneAnswer::CannotBind(error),
        };
        let notices = Notices { from: self.remote, heard: Arc::new(Notify::new()) };
        let reception = Reception::Dialing(notices);
        let config = transport::dialing_endpoint_config();
        let endpoint = match endpoint::open(config, None, socket, reception, <_>::default()) {
            Ok(endpoint) => endpoint,
            Err(error) => return LaneAnswer::CannotBind(error),
        };
        let payload = endpoint::payload_of(self.link_mtu, self.remote.ip());
        let settings = LaneTransport::default();
        let (config, _sensor) = transport::client_config(
            &settings,
            &self.identity,
            self.expected.clone(),
            payload,
            &Trace::none(),
        );
        let connecting = match endpoint.connect_with(config, self.remote, tls::SERVER_NAME) {
            Ok(connecting) => connecting,
            Err(error) => return LaneAnswer::Failed(error.to_string()),
        };
        let connection = match timeout(self.timeout, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return failed(&error),
            Err(_) => return LaneAnswer::Silent,
        };
        search_mtu(&connection, payload, self.mtu_timeout).await;
        let answer = timeout(self.timeout, handshake::initiate(&connection, nobodys_hello())).await;
        let headers = endpoint::headers(self.remote.ip());
        let path = connection.stats().path;
        // A search that has merely not come to its end says nothing of larger packets.
        let sought = if path.lost_plpmtud_probes > 0 { payload } else { path.current_mtu };
        let reached = |detail: &str| Reached {
            rtt: connection.rtt(),
            mtu: u32::from(path.current_mtu) + headers,
            mtu_sought: u32::from(sought) + headers,
            seen_from: seen_from(detail),
        };
        let answer = match answer {
            Err(_) => LaneAnswer::Silent,
            Ok(Err(error)) => rejected(error, reached),
            // Nobody has a session of a random number.
            Ok(Ok(_)) => LaneAnswer::Failed("a session that does not exist was resumed".to_owned()),
        };
        close::close(&connection, close::DONE, "probed");
        let _ = timeout(close::CLOSE_FLUSH, endpoint.wait_idle()).await;
        answer
    }
}

/// Returns a `Hello` that no acceptor admits.
fn nobodys_hello() -> Hello {
    Hello {
        version: VERSIONS.offer(),
        session: SessionId(rand::random()),
        intent: Intent::Resume,
        generation: 0,
        instance: rand::random(),
        lane: LaneId(0),
        params: SessionParams { linger: Limits::default().linger, initial_window: 0, max_flows: 0 },
    }
}

/// Waits until packets of the full size pass, the connection ends, or the time is over.
async fn search_mtu(connection: &Connection, payload: u16, limit: Duration) {
    let until = Instant::now() + limit;
    while connection.stats().path.current_mtu < payload
        && connection.close_reason().is_none()
        && Instant::now() < until
    {
        sleep(MTU_POLL).await;
    }
}

fn rejected(error: HandshakeError, reached: impl Fn(&str) -> Reached) -> LaneAnswer {
    match error {
        HandshakeError::Rejected { code: RejectCode::UnknownSession, detail } => {
            LaneAnswer::Reached(reached(&detail))
        }
        HandshakeError::Rejected { code: RejectCode::Version, detail } => {
            LaneAnswer::NoCommonVersion(detail)
        }
        HandshakeError::Rejected { detail, .. } => LaneAnswer::Rejected(detail),
        HandshakeError::Version(none) => LaneAnswer::NoCommonVersion(none.to_string()),
        HandshakeError::Connection(error) => failed(&error),
        HandshakeError::Late(_) => LaneAnswer::Silent,
        other => LaneAnswer::Failed(other.to_string()),
    }
}

fn failed(error: &ConnectionError) -> LaneAnswer {
    match tls::key_fault(error) {
        Some(KeyFault::ShownHere(key)) => LaneAnswer::UnexpectedKey(key),
        Some(KeyFault::RefusedThere) => LaneAnswer::KeyUnknownThere,
        Some(KeyFault::NoCommonProtocol) => LaneAnswer::NoCommonVersion(tls::reason(error)),
        None if matches!(error, ConnectionError::TimedOut) => LaneAnswer::Silent,
        None => LaneAnswer::Failed(tls::reason(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PeerConfig;
    use crate::node::Node;

    async fn listener(known: PeerId) -> Node {
        let builder = Node::builder().bind(([127, 0, 0, 1], 0).into());
        builder.peer(PeerConfig::new(known, "prober")).build().await.unwrap()
    }

    async fn probe(identity: &Identity, expected: PeerId, remote: SocketAddr) -> LaneAnswer {
        let probe = LaneProbe {
            identity: identity.clone(),
            expected: vec![expected],
            local: [127, 0, 0, 1].into(),
            device: None,
            remote,
            link_mtu: None,
            timeout: Duration::from_secs(5),
            mtu_timeout: Duration::from_secs(5),
        };
        probe.run().await
    }

    #[tokio::test]
    async fn a_probe_learns_of_the_path_and_leaves_no_session() {
        let us = Identity::generate();
        let peer = listener(us.peer_id()).await;
        let answer = probe(&us, peer.id(), peer.local_addrs()[0]).await;
        let LaneAnswer::Reached(reached) = answer else { panic!("{answer:?}") };
        assert_eq!(reached.seen_from.map(|addr| addr.ip().to_string()), Some("127.0.0.1".into()));
        assert_eq!((reached.mtu, reached.mtu_sought), (1480, 1480));
        assert!(peer.status().peers[0].sessions.is_empty());
    }

    #[tokio::test]
    async fn a_probe_tells_whose_key_is_wrong() {
        let (us, other) = (Identity::generate(), Identity::generate());
        let peer = listener(us.peer_id()).await;
        let remote = peer.local_addrs()[0];
        let answer = probe(&us, other.peer_id(), remote).await;
        let showed = peer.id();
        assert!(matches!(answer, LaneAnswer::UnexpectedKey(key) if key == showed), "{answer:?}");
        let answer = probe(&other, peer.id(), remote).await;
        assert!(matches!(answer, LaneAnswer::KeyUnknownThere), "{answer:?}");
    }
}
