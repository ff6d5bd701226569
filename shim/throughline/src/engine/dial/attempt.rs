//! One dial: a socket, a connection, the `Hello` exchange.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quinn::{Endpoint, TokioRuntime};
use thiserror::Error;

use crate::engine::context::NodeContext;
use crate::engine::lane::handshake::{self, HandshakeError};
use crate::engine::lane::{NewLane, risk_of};
use crate::engine::quic::{socket, tls, transport};
use crate::engine::session::{Dialled, Origin};
use throughline_proto::hold_down::HoldState;
use throughline_proto::path::Path;
use throughline_proto::selection::Cost;
use throughline_proto::session::LaneInfo;
use throughline_proto::types::{Host, Locator, PeerId};
use throughline_proto::wire::hello::{Hello, RejectCode};
use throughline_uplinks::Device;

/// Why a dial failed.
#[derive(Debug, Error)]
pub(super) enum DialError {
    /// No socket on our address.
    #[error("cannot bind: {0}")]
    Bind(#[from] std::io::Error),
    /// Not even tried.
    #[error("{0}")]
    Connect(#[from] quinn::ConnectError),
    /// The connection failed.
    #[error("{0}")]
    Connection(String),
    /// Nobody answered.
    #[error("no answer within {0:?}; is the peer running, does UDP pass to this port?")]
    TimedOut(Duration),
    /// The exchange failed.
    #[error("{0}")]
    Handshake(#[from] HandshakeError),
}

impl DialError {
    /// Whether it happens between nodes that are set up well: a path is out, or the peer has
    /// other plans. Anything else somebody has to mend.
    pub(super) fn is_expected(&self) -> bool {
        use RejectCode::{ShuttingDown, Stale, Superseded, UnknownSession};
        match self {
            Self::TimedOut(_) | Self::Handshake(HandshakeError::Connection(_)) => true,
            Self::Handshake(HandshakeError::Rejected { code, .. }) => {
                matches!(code, ShuttingDown | Stale | Superseded | UnknownSession)
            }
            _ => false,
        }
    }
}

pub(super) struct Attempt {
    pub(super) context: Arc<NodeContext>,
    pub(super) peer: PeerId,
    pub(super) path: Path,
    /// The interface to bind the socket to.
    pub(super) device: Device,
    pub(super) hello: Hello,
    pub(super) patience: Duration,
}

impl Attempt {
    pub(super) async fn run(self) -> Result<NewLane, DialError> {
        let patience = self.patience;
        tokio::time::timeout(patience, self.dial())
            .await
            .unwrap_or(Err(DialError::TimedOut(patience)))
    }

    async fn dial(self) -> Result<NewLane, DialError> {
        let Self { context, peer, path, device, hello, .. } = self;
        let began = Instant::now();
        let socket = socket::bind((path.local, 0).into(), &socket::SocketOptions { device })?;
        let local = socket.local_addr()?;
        let config = transport::dialling_endpoint_config();
        let endpoint = Endpoint::new(config, None, socket, Arc::new(TokioRuntime))?;
        let (config, sensor) =
            transport::client_config(&context.transport, &context.identity, peer);
        let connecting = endpoint.connect_with(config, path.remote, tls::SERVER_NAME)?;
        let connection = connecting.await.map_err(|error| named(&error))?;
        let id = hello.lane;
        let (control, welcome) = match handshake::initiate(&connection, hello).await {
            Err(HandshakeError::Connection(error)) => return Err(named(&error)),
            other => other?,
        };
        let cost = Cost::of_lane(path.order, path.metered, HoldState::Normal);
        let dialled = Dialled {
            endpoint,
            uplink: path.uplink.clone(),
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
            origin: Origin::Dialled(dialled),
            took: began.elapsed(),
            params: welcome.params,
        })
    }
}

/// A refused key is told as what it is; any other end as quinn tells it.
fn named(error: &quinn::ConnectionError) -> DialError {
    DialError::Connection(tls::reason(error))
}

/// Resolves locators; names off the runtime, remembered from one look-up to the next.
#[derive(Default)]
pub(super) struct Lookup {
    names: Arc<Mutex<HashMap<String, Named>>>,
}

#[derive(Default)]
struct Named {
    addresses: Vec<SocketAddr>,
    asked: Option<Instant>,
    /// The last look-up has not ended: where nobody answers the resolver takes many seconds.
    asking: bool,
}

/// A name is resolved again after this: locators follow a renumbering.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// ... and sooner while it has no answer.
const ASK_AGAIN_UNANSWERED: Duration = Duration::from_secs(1);

impl Lookup {
    /// The addresses of `locators` as far as they are known; unknown names are being resolved.
    pub(super) fn remotes(&self, locators: &[Locator]) -> Vec<SocketAddr> {
        let mut remotes = Vec::new();
        for locator in locators {
            match &locator.host {
                Host::Ip(ip) => remotes.push(SocketAddr::new(*ip, locator.port)),
                Host::Name(name) => remotes.extend(self.named(name, locator.port)),
            }
        }
        let mut seen = std::collections::HashSet::new();
        remotes.retain(|remote| seen.insert(*remote));
        remotes
    }

    fn named(&self, name: &str, port: u16) -> Vec<SocketAddr> {
        let key = format!("{name}:{port}");
        let mut names = self.names.lock();
        let named = names.entry(key.clone()).or_default();
        let wait = if named.addresses.is_empty() { ASK_AGAIN_UNANSWERED } else { ASK_AGAIN };
        if !named.asking && named.asked.is_none_or(|at| at.elapsed() >= wait) {
            (named.asked, named.asking) = (Some(Instant::now()), true);
            let names = self.names.clone();
            tokio::spawn(async move {
                let found = tokio::net::lookup_host(&key).await;
                if let Some(named) = names.lock().get_mut(&key) {
                    named.asking = false;
                    if let Ok(found) = found {
                        named.addresses = found.collect();
                    }
                }
            });
        }
        named.addresses.clone()
    }
}
