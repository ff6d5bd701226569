//! Finds out whether what is on the way (a NAT, a stateful firewall) still lets the peer's packets in after a silence.
//!
//! ```text
//!   this end                              NAT                      the peer
//!   first socket  ── handshake, Hello ──▶ maps it to P ──────────▶ rejects: unknown session
//!                     silence
//!   second socket ── one packet ────────▶ maps it to Q ──────────▶ "the connection came from P, and now from Q":
//!   first socket  ◀── if P is still known ◀── PATH_CHALLENGE to P ─┤ QUIC asks both (RFC 9000 §9.3.3)
//!   second socket ◀───────────────────────◀── PATH_CHALLENGE to Q ─┘
//! ```
//!
//! It is the discovery of a binding's lifetime of RFC 5780 §4.6, by what QUIC does anyway: no message was added for
//! it. The peer keeps no timer and sends to nobody but to two addresses from which a key that it knows has spoken, on
//! one connection. Which port the NAT gives is of no account, so that one is seen through that keeps ports, as Linux
//! does.
//!
//! It takes the silence and some seconds. An end that is older than this closes the connection after 2 s.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::{Connection, Endpoint, TokioRuntime};
use tokio::time::{sleep, timeout};

use super::two_sockets::TwoSockets;
use super::{LaneProbe, nobodys_hello};
use crate::engine::lane::handshake::{self, HandshakeError};
use crate::engine::qlog::Trace;
use crate::engine::quic::endpoint;
use crate::engine::quic::socket::{self, SocketOptions};
use crate::engine::quic::transport::{self, LaneTransport};
use crate::engine::quic::{close, tls};
use throughline_proto::wire::hello::RejectCode;

/// The longest silence: below the 30 s after which both ends let a silent connection go.
pub const MAX_SILENCE: Duration = Duration::from_secs(27);

/// A connection exchanges packets for so long before it falls silent. Linux gives a mapping its long timeout only
/// after 2 s (`nf_conntrack_udp_timeout_stream`), as every lane has it.
const ESTABLISHED_AFTER: Duration = Duration::from_millis(2_200);

/// By then what was sent last is acknowledged, and the search for the MTU over.
const ACKED_AFTER: Duration = Duration::from_millis(700);

/// How often it is looked whether something has come, and how long at least.
const POLL: Duration = Duration::from_millis(10);
const LISTEN: Duration = Duration::from_secs(1);

/// A path, and for how long it is to be silent.
#[derive(Clone)]
pub struct MappingProbe {
    /// The path, and as whom; its times for the MTU are not used.
    pub path: LaneProbe,
    /// How long nothing is sent; [`MAX_SILENCE`] at most.
    pub silence: Duration,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MappingAnswer {
    /// What the peer sent after the silence came in.
    Kept,
    /// It did not, and what it sent to the second socket did.
    Forgotten,
    /// It cannot be told, and why.
    Unknown(String),
}

impl MappingProbe {
    /// Probes; takes no longer than twice the path's timeout, the silence and seven seconds.
    pub async fn run(self) -> MappingAnswer {
        match self.probe().await {
            Ok(true) => MappingAnswer::Kept,
            Ok(false) => MappingAnswer::Forgotten,
            Err(reason) => MappingAnswer::Unknown(reason),
        }
    }

    /// Returns whether something came to the first socket after the silence.
    async fn probe(&self) -> Result<bool, String> {
        let (sockets, endpoint) = self.open().map_err(|error| error.to_string())?;
        let began = Instant::now();
        let connection = self.connect(&endpoint).await?;
        sleep(ESTABLISHED_AFTER.saturating_sub(began.elapsed())).await;
        say(&connection).await?;
        sleep(ACKED_AFTER).await;
        let before = connection.stats().udp_tx.datagrams;
        sleep(self.silence.min(MAX_SILENCE)).await;
        if connection.stats().udp_tx.datagrams != before {
            return Err("the connection was not silent, because packets were lost".to_owned());
        }
        sockets.switch();
        say(&connection).await?;
        let heard = listen(&sockets, LISTEN.max(connection.rtt() * 4)).await;
        close::close(&connection, close::DONE, "probed");
        let _ = timeout(close::CLOSE_FLUSH, endpoint.wait_idle()).await;
        match heard {
            [true, _] => Ok(true),
            [false, true] => Ok(false),
            [false, false] => Err("the path answered no more".to_owned()),
        }
    }

    fn open(&self) -> std::io::Result<(Arc<TwoSockets>, Endpoint)> {
        let options = SocketOptions { device: self.path.device.clone() };
        let bind = || socket::bind((self.path.local, 0).into(), &options);
        let sockets = TwoSockets::new([bind()?, bind()?], self.path.remote)?;
        let config = transport::dialing_endpoint_config();
        let (shared, runtime) = (Arc::clone(&sockets), Arc::new(TokioRuntime));
        let endpoint = Endpoint::new_with_abstract_socket(config, None, shared, runtime)?;
        Ok((sockets, endpoint))
    }

    /// Connects, as far as to be rejected.
    async fn connect(&self, endpoint: &Endpoint) -> Result<Connection, String> {
        let settings = LaneTransport {
            // None comes before the connection is over.
            keep_alive_interval: MAX_SILENCE * 4,
            ..LaneTransport::default()
        };
        let (payload, expected) = (endpoint::STANDARD_PAYLOAD, self.path.expected.clone());
        let (config, _sensor) = transport::client_config(
            &settings,
            &self.path.identity,
            expected,
            payload,
            &Trace::none(),
        );
        let connecting = endpoint.connect_with(config, self.path.remote, tls::SERVER_NAME);
        let connecting = connecting.map_err(|error| error.to_string())?;
        let connection = timeout(self.path.timeout, connecting).await;
        let connection = connection.map_err(|_| "nobody answered".to_owned())?;
        let connection = connection.map_err(|error| tls::reason(&error))?;
        let answer = handshake::initiate(&connection, nobodys_hello());
        match timeout(self.path.timeout, answer).await {
            Ok(Err(HandshakeError::Rejected { code: RejectCode::UnknownSession, .. })) => {
                Ok(connection)
            }
            Ok(Err(error)) => Err(error.to_string()),
            Ok(Ok(_)) => Err("a session that does not exist was resumed".to_owned()),
            Err(_) => Err("nobody answered".to_owned()),
        }
    }
}

/// Sends a packet that is to be acknowledged.
async fn say(connection: &Connection) -> Result<(), String> {
    let said = async {
        let mut stream = connection.open_uni().await?;
        // Nobody reads it.
        let _ = stream.write_all(b"x").await;
        let _ = stream.finish();
        Ok(())
    };
    let said = timeout(LISTEN, said).await.map_err(|_| "no stream is to be had".to_owned())?;
    said.map_err(|error: quinn::ConnectionError| match error {
        quinn::ConnectionError::ApplicationClosed(_) => {
            "the peer closed the silent connection: its version is older than this check".to_owned()
        }
        error => tls::reason(&error),
    })
}

/// Waits until something has come to the first socket, or the time is over.
async fn listen(sockets: &TwoSockets, limit: Duration) -> [bool; 2] {
    let began = Instant::now();
    while !sockets.heard()[0] && began.elapsed() < limit {
        sleep(POLL).await;
    }
    sockets.heard()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PeerConfig;
    use crate::identity::Identity;
    use crate::node::Node;

    #[tokio::test]
    async fn where_nothing_is_on_the_way_the_peers_packets_come_after_a_silence() {
        let us = Identity::generate();
        let builder = Node::builder().bind(([127, 0, 0, 1], 0).into());
        let peer = builder.peer(PeerConfig::new(us.peer_id(), "prober")).build().await.unwrap();
        let path = LaneProbe {
            identity: us,
            expected: vec![peer.id()],
            local: [127, 0, 0, 1].into(),
            device: None,
            remote: peer.local_addrs()[0],
            link_mtu: None,
            timeout: Duration::from_secs(5),
            mtu_timeout: Duration::ZERO,
        };
        // Long enough that the peer would have closed another rejected connection.
        let answer = MappingProbe { path, silence: Duration::from_millis(500) }.run().await;
        assert_eq!(answer, MappingAnswer::Kept);
        assert!(peer.status().peers[0].sessions.is_empty());
    }
}
