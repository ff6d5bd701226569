//! One dial: a socket, a connection, the `Hello` exchange.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::{ConnectionError, Endpoint, TokioRuntime};
use thiserror::Error;

use crate::engine::context::NodeContext;
use crate::engine::lane::handshake::{self, HandshakeError};
use crate::engine::lane::{NewLane, risk_of};
use crate::engine::quic::socket::{self, SocketOptions};
use crate::engine::quic::{tls, transport};
use crate::engine::session::{Dialed, Origin};
use throughline_proto::hold_down::HoldState;
use throughline_proto::path::Path;
use throughline_proto::selection::Cost;
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

/// Returns the timeout of a dial, given the round-trip time of the last lane.
pub(super) fn timeout(rtt: Option<Duration>) -> Duration {
    rtt.map_or(MAX_DIAL_TIMEOUT, |rtt| {
        (rtt * ROUND_TRIPS).clamp(MIN_DIAL_TIMEOUT, MAX_DIAL_TIMEOUT)
    })
}

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
    /// Nobody answered.
    #[error("no answer within {0:?}; is the peer running, does UDP pass to this port?")]
    TimedOut(Duration),
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
            (Self::TimedOut(_), _) => true,
            (_, Some((code, _))) => {
                matches!(code, ShuttingDown | Stale | Superseded | UnknownSession)
            }
            _ => false,
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
        tokio::time::timeout(timeout, self.dial())
            .await
            .unwrap_or(Err(DialError::TimedOut(timeout)))
    }

    async fn dial(self) -> Result<NewLane, DialError> {
        let Self { context, peer, path, device, hello, .. } = self;
        let started = Instant::now();
        let socket = socket::bind((path.local, 0).into(), &SocketOptions { device })
            .map_err(DialError::Bind)?;
        let local = socket.local_addr().map_err(DialError::Bind)?;
        let config = transport::dialing_endpoint_config();
        let endpoint =
            Endpoint::new(config, None, socket, Arc::new(TokioRuntime)).map_err(DialError::Bind)?;
        let (config, sensor) =
            transport::client_config(&context.transport, &context.identity, peer);
        let connecting = endpoint
            .connect_with(config, path.remote, tls::SERVER_NAME)
            .map_err(DialError::Connect)?;
        let connection = connecting.await.map_err(DialError::Connection)?;
        let id = hello.lane;
        let exchange = handshake::initiate(&connection, hello).await;
        let (control, welcome) = exchange.map_err(|error| match error {
            HandshakeError::Connection(error) => DialError::Connection(error),
            other => DialError::Handshake(other),
        })?;
        let cost = Cost::of_lane(path.order, path.metered, HoldState::Normal);
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
        };
        let remote_risk = risk_of(path.remote.ip());
        Ok(NewLane {
            id,
            info: LaneInfo { local_risk: path.order.into(), remote_risk, cost, order: path.order },
            connection,
            sensor,
            control,
            origin: Origin::Dialed(dialed),
            setup: started.elapsed(),
            params: welcome.params,
        })
    }
}
