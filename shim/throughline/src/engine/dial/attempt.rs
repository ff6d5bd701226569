//! One dial: a socket, a connection, the `Hello` exchange.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::{ClientConfig, Connection, ConnectionError};
use thiserror::Error;
use tokio::sync::Notify;

use crate::engine::context::NodeContext;
use crate::engine::lane::handshake::{self, HandshakeError};
use crate::engine::lane::{NewLane, risk_of};
use crate::engine::qlog::Trace;
use crate::engine::quic::close;
use crate::engine::quic::endpoint::{self, Notices, Reception};
use crate::engine::quic::socket::{self, SocketOptions};
use crate::engine::quic::{tls, transport};
use crate::engine::session::{Dialed, LaneKeys, Origin};
use crate::identity::Identity;
use throughline_congestion::LaneSensor;
use throughline_proto::path::{Path, PathKey};
use throughline_proto::session::LaneInfo;
use throughline_proto::types::PeerId;
use throughline_proto::wire::hello::{Hello, RejectCode};
use throughline_uplinks::Device;

/// The shortest timeout of a dial: in it the first packet is sent again twice, after 0.3 and 0.9 s
/// (RFC 9002 §6.2.1).
const MIN_DIAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest timeout of a dial, which also holds until a path's round trip is known: in it the
/// first packet is sent again three times, the last after 2.1 s.
pub(super) const MAX_DIAL_TIMEOUT: Duration = Duration::from_secs(4);

/// The round trips that a dial gets. It needs two, TLS's and that of the `Hello` exchange, and each may
/// be lost and sent again.
const ROUND_TRIPS: u32 = 10;

/// Returns the timeout of a dial, given the round-trip time of the last lane and how many dials of
/// the path failed in a row: a path may be slower than others, and slower than it was.
pub(super) fn timeout(rtt: Option<Duration>, failures: u32) -> Duration {
    rtt.map_or(MAX_DIAL_TIMEOUT, |rtt| {
        let usual = (rtt * ROUND_TRIPS).max(MIN_DIAL_TIMEOUT);
        (usual * 2u32.pow(failures.min(2))).min(MAX_DIAL_TIMEOUT)
    })
}

/// The UDP payload that a path must pass (RFC 9000 §14), and the headers before it.
const MIN_PAYLOAD: u32 = 1200;
const IPV4_HEADERS: u32 = 28;
const IPV6_HEADERS: u32 = 48;

/// Why a dial failed.
#[derive(Debug, Error)]
pub(super) enum DialError {
    /// There is no socket on our address.
    #[error("cannot bind: {0}")]
    Bind(#[source] io::Error),
    /// QUIC did not even try.
    #[error("{0}")]
    Connect(#[source] quinn::ConnectError),
    /// The connection failed.
    #[error("{}", tls::reason(.0))]
    Connection(#[source] ConnectionError),
    /// The peer showed no certificate, which TLS does not allow.
    #[error("peer showed no certificate")]
    NoCertificate,
    /// A key was refused that is not ours any more.
    #[error("another key came into use while it was made")]
    FormerKey,
    /// Nobody answered.
    #[error("no answer within {0:?}; is the peer running, does UDP pass to this port?")]
    TimedOut(Duration),
    /// Nobody answered, and the path is known to be too narrow.
    #[error(
        "the path's MTU is {mtu} bytes, and QUIC needs {needed} (RFC 9000 §14); \
         raise it, or that of the tunnel on the way"
    )]
    TooNarrow {
        /// The size of the largest packet that passes.
        mtu: u32,
        /// The size that has to pass.
        needed: u32,
    },
    /// The exchange failed.
    #[error("{0}")]
    Handshake(#[source] HandshakeError),
}

impl DialError {
    /// Returns whether it happens between nodes that are set up well: a path is out, or the peer has
    /// other plans. Anything else somebody has to mend.
    pub(super) fn is_expected(&self) -> bool {
        use RejectCode::{ShuttingDown, Stale, Superseded, UnknownSession};
        match (self, self.rejection()) {
            (Self::TimedOut(_) | Self::FormerKey, _) => true,
            (_, Some((code, _))) => {
                matches!(code, ShuttingDown | Stale | Superseded | UnknownSession)
            }
            _ => false,
        }
    }

    /// Returns whether either end does not know the other's key.
    pub(super) fn is_of_a_key(&self) -> bool {
        matches!(self, Self::Connection(error) if tls::is_of_a_key(error))
    }

    /// Returns the error of a dial over a path whose MTU the system knows.
    pub(super) fn over(self, path: PathKey, mtu: Option<u32>) -> Self {
        let needed = MIN_PAYLOAD + if path.remote.is_ipv4() { IPV4_HEADERS } else { IPV6_HEADERS };
        match (self, mtu) {
            (Self::TimedOut(_), Some(mtu)) if mtu < needed => Self::TooNarrow { mtu, needed },
            (error, _) => error,
        }
    }

    /// Returns why the peer rejected the lane, if it did: for us, and for a person.
    pub(super) fn rejection(&self) -> Option<(RejectCode, &str)> {
        match self {
            Self::Handshake(HandshakeError::Rejected { code, detail }) => Some((*code, detail)),
            _ => None,
        }
    }
}

/// A dial to be made.
pub(super) struct Attempt {
    pub(super) context: Arc<NodeContext>,
    pub(super) peer: PeerId,
    pub(super) path: Path,
    /// The interface to bind the socket to.
    pub(super) device: Device,
    pub(super) hello: Hello,
    pub(super) timeout: Duration,
}

impl Attempt {
    /// Makes the dial.
    pub(super) async fn run(self) -> Result<NewLane, DialError> {
        let timeout = self.timeout;
        let (context, ours) = (Arc::clone(&self.context), self.context.identity().peer_id());
        let dialed = tokio::time::timeout(timeout, self.dial())
            .await
            .unwrap_or(Err(DialError::TimedOut(timeout)));
        match dialed {
            Err(error) if error.is_of_a_key() && context.identity().peer_id() != ours => {
                Err(DialError::FormerKey)
            }
            dialed => dialed,
        }
    }

    async fn dial(self) -> Result<NewLane, DialError> {
        let Self { context, peer, path, device, hello, .. } = self;
        let started = Instant::now();
        let socket = socket::bind((path.local, 0).into(), &SocketOptions { device })
            .map_err(DialError::Bind)?;
        let local = socket.local_addr().map_err(DialError::Bind)?;
        let config = transport::dialing_endpoint_config();
        let restarts = Arc::new(Notify::new());
        let notices = Notices { from: path.remote, heard: restarts.clone() };
        let reception = Reception::Dialing(notices);
        let endpoint = endpoint::open(config, None, socket, reception, context.watchers())
            .map_err(DialError::Bind)?;
        let link_mtu = context.uplinks.link_mtu(path.local, path.remote);
        let payload = endpoint::payload_of(link_mtu, path.remote.ip());
        let (lane, ends) = ((hello.session, hello.lane), (local, path.remote));
        let trace = context.qlogs.of_dial(peer, lane, &path.uplink, ends);
        let (identity, config, sensor) = client_config(&context, peer, payload, &trace);
        let connecting = endpoint
            .connect_with(config, path.remote, tls::SERVER_NAME)
            .map_err(DialError::Connect)?;
        let connection = connecting.await.map_err(DialError::Connection)?;
        let peers = tls::peer_id_of(&connection).ok_or(DialError::NoCertificate)?;
        let keys = LaneKeys { ours: identity.peer_id(), peers };
        let id = hello.lane;
        let exchange = handshake::initiate(&connection, hello).await;
        let (control, welcome) = exchange.map_err(|error| not_welcome(&connection, error))?;
        let cost = context.first_cost(&path);
        let dialed = Dialed {
            endpoint,
            uplink: path.uplink,
            order: path.order,
            metered: path.metered,
            interface: context.uplinks.interface(path.local),
            cost,
            local,
            remote: path.remote,
            migrations: 0,
            restarts,
        };
        let info = LaneInfo {
            local_risk: path.order.into(),
            remote_risk: risk_of(path.remote.ip()),
            cost,
            order: path.order,
            version: welcome.version,
        };
        Ok(NewLane {
            id,
            info,
            connection,
            sensor,
            control,
            origin: Origin::Dialed(dialed),
            keys,
            trace,
            setup: started.elapsed(),
            params: welcome.params,
            reservation: None,
        })
    }
}

/// Returns who we are, and the configuration of a dial to the peer, with the sensor of its connection.
fn client_config(
    context: &NodeContext,
    peer: PeerId,
    payload: u16,
    trace: &Trace,
) -> (Identity, ClientConfig, Arc<LaneSensor>) {
    let (identity, expected) = (context.identity(), context.peers.keys_of(peer));
    let settings = context.transport();
    let (config, sensor) = transport::client_config(&settings, &identity, expected, payload, trace);
    (identity, config, sensor)
}

/// Returns why the exchange on a connection failed; the peer is told of a version that is none of ours.
fn not_welcome(connection: &Connection, error: HandshakeError) -> DialError {
    match error {
        HandshakeError::Connection(error) => DialError::Connection(error),
        error @ HandshakeError::Version(_) => {
            // The peer's log says it, too.
            close::close(connection, close::REJECTED, &error.to_string());
            DialError::Handshake(error)
        }
        other => DialError::Handshake(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_path_beside_a_quick_one_gets_its_time() {
        let quick = Some(Duration::from_millis(5));
        assert_eq!(timeout(quick, 0), MIN_DIAL_TIMEOUT);
        assert_eq!(timeout(quick, 1), 2 * MIN_DIAL_TIMEOUT);
        assert_eq!(timeout(quick, 9), MAX_DIAL_TIMEOUT);
        assert_eq!(timeout(None, 0), MAX_DIAL_TIMEOUT);
    }

    #[test]
    fn a_dial_that_times_out_over_a_path_that_is_too_narrow_says_so() {
        let over = |remote: &str, mtu| {
            let path = PathKey { local: [192, 0, 2, 1].into(), remote: remote.parse().unwrap() };
            DialError::TimedOut(MAX_DIAL_TIMEOUT).over(path, mtu).to_string()
        };
        let narrow = "the path's MTU is 1240 bytes, and QUIC needs 1248 (RFC 9000 §14); raise it, or \
                      that of the tunnel on the way";
        assert_eq!(over("[2001:db8::1]:1", Some(1240)), narrow);
        for mtu in [None, Some(1240), Some(1500)] {
            assert!(over("198.51.100.1:1", mtu).starts_with("no answer"), "{mtu:?}");
        }
        assert!(over("198.51.100.1:1", Some(1227)).contains("QUIC needs 1228"));
    }
}
