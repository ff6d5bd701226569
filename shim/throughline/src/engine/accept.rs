//! Accepts lanes: sets up each connection that a peer dials, and attaches it to its session.
//!
//! **Tasks and their owner.** One task per listening address ([`run`]) ends when its endpoint is
//! closed, which [`Node::shutdown`](crate::Node::shutdown) does. It spawns a task for each connection
//! and does not wait for it: that one ends after [`SETUP_TIMEOUT`] at the latest, or goes on as the
//! task of the lane ([`super::lane`]). Aborting a set-up is safe, as no session knows of the lane yet.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quinn::{Connection, ConnectionError, Endpoint, Incoming, TransportErrorCode};
use thiserror::Error;
use tokio::sync::Semaphore;
use tracing::{debug, info, warn};

use super::context::NodeContext;
use super::lane::handshake::{self, ControlStream, HandshakeError};
use super::lane::{self, NewLane};
use super::quic::close;
use super::quic::tls;
use super::quic::transport::ServerFactory;
use super::session::{Accepted, Origin, SessionHandle};
use super::sessions::Sessions;
use throughline_congestion::LaneSensor;
use throughline_proto::selection::Cost;
use throughline_proto::session::LaneInfo;
use throughline_proto::throttle::LogThrottle;
use throughline_proto::types::PeerName;
use throughline_proto::wire::control::Message;
use throughline_proto::wire::hello::{Hello, Reject, RejectCode};

/// Connections being set up at once: far more than peers dial together, and few enough that a flood
/// holds little memory. Newcomers beyond are refused.
const MAX_SETUPS: usize = 256;

/// From this many set-ups on a newcomer must show that its address is its own (RFC 9000 §8.1.2,
/// Retry).
const RETRY_THRESHOLD: usize = 64;

/// A connection that is not a lane by then is closed: TLS and `Hello` over a path of 1 s.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a rejected peer gets to read the answer and close the connection itself.
const REJECT_LINGER: Duration = Duration::from_secs(2);

/// Why a connection became no lane.
#[derive(Debug, Error)]
enum SetupError {
    /// The connection failed.
    #[error("{}", tls::reason(.0))]
    Connection(#[source] ConnectionError),
    /// The peer showed no certificate.
    #[error("peer showed no certificate")]
    NoCertificate,
    /// The `Hello` exchange failed.
    #[error("peer {peer}: {source}")]
    Handshake {
        peer: PeerName,
        #[source]
        source: HandshakeError,
    },
    /// The lane was rejected, and somebody has to mend that.
    #[error("peer {peer}: {detail}")]
    Rejected { peer: PeerName, detail: String },
    /// It took too long.
    #[error("not set up within {SETUP_TIMEOUT:?}")]
    TimedOut,
}

/// A lane that is set up, and its session.
type Setup = (SessionHandle, NewLane);

/// The failures that were logged.
type FailureLog = Mutex<LogThrottle<(IpAddr, String)>>;

/// Runs until the endpoint is closed.
pub(crate) async fn run(sessions: Arc<Sessions>, endpoint: Endpoint, factory: Arc<ServerFactory>) {
    let permits = Arc::new(Semaphore::new(MAX_SETUPS));
    let logged = Arc::new(FailureLog::default());
    let port = endpoint.local_addr().map_or(0, |addr| addr.port());
    while let Some(incoming) = endpoint.accept().await {
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let busy = MAX_SETUPS - permits.available_permits() > RETRY_THRESHOLD;
        if busy && !incoming.remote_address_validated() && incoming.may_retry() {
            let _ = incoming.retry();
            continue;
        }
        let (sessions, factory, logged) = (sessions.clone(), factory.clone(), logged.clone());
        tokio::spawn(async move {
            let remote = incoming.remote_address();
            let setup = set_up(&sessions, &factory, incoming, port);
            let ready = tokio::time::timeout(SETUP_TIMEOUT, setup).await;
            drop(permit);
            match ready.unwrap_or(Err(SetupError::TimedOut)) {
                Ok(Some((session, lane))) => lane::run(session, lane).await,
                Ok(None) => {}
                Err(error) => log_failure(&logged, remote, &error),
            }
        });
    }
}

/// Logs why a peer has no lane: a warning once a minute for each host and reason.
fn log_failure(logged: &FailureLog, remote: SocketAddr, error: &SetupError) {
    let key = (remote.ip(), error.to_string());
    if logged.lock().admit(Instant::now(), key).is_some() {
        warn!(%remote, "no lane: {error}");
    } else {
        debug!(%remote, "no lane: {error}");
    }
}

/// Sets up a lane; `None` where it became none and nothing is wrong.
async fn set_up(
    sessions: &Arc<Sessions>,
    factory: &ServerFactory,
    incoming: Incoming,
    port: u16,
) -> Result<Option<Setup>, SetupError> {
    let started = Instant::now();
    let Some((connection, sensor)) = connect(&sessions.context, factory, incoming).await? else {
        return Ok(None);
    };
    let Some(peer) = tls::peer_id_of(&connection) else {
        close::close(&connection, close::REJECTED, "no certificate");
        return Err(SetupError::NoCertificate);
    };
    let name = sessions.context.peers.name(peer);
    let Some((mut control, hello)) = receive_hello(&connection, &name).await? else {
        return Ok(None);
    };
    let (session, welcome) = match sessions.admit(peer, &hello) {
        Ok(admitted) => admitted,
        Err(rejection) => return reject(&connection, control, name, rejection).await,
    };
    handshake::answer(&mut control, &Message::Welcome(welcome))
        .await
        .map_err(|source| SetupError::Handshake { peer: name, source })?;
    let remote = connection.remote_address();
    if let Some(local) = connection.local_ip() {
        sessions.context.uplinks.check(local.to_canonical(), remote);
    }
    let info = LaneInfo {
        local_risk: lane::risk_of(remote.ip()),
        remote_risk: connection.local_ip().map_or(0, lane::risk_of),
        cost: Cost::FREE,
        order: 0,
    };
    let lane = NewLane {
        id: hello.lane,
        info,
        origin: Origin::Accepted(local_end(&sessions.context, &connection, port)),
        connection,
        sensor,
        control,
        setup: started.elapsed(),
        params: hello.params,
    };
    Ok(Some((session, lane)))
}

/// Completes the QUIC handshake; `None` where the dialer gave up, or is unknown and was reported.
async fn connect(
    context: &NodeContext,
    factory: &ServerFactory,
    incoming: Incoming,
) -> Result<Option<(Connection, Arc<LaneSensor>)>, SetupError> {
    let remote = incoming.remote_address();
    let (config, sensor) = factory.for_connection();
    let connecting = incoming.accept_with(config).map_err(SetupError::Connection)?;
    match connecting.await {
        Ok(connection) => Ok(Some((connection, sensor))),
        Err(ConnectionError::ConnectionClosed(close))
            if close.error_code == TransportErrorCode::APPLICATION_ERROR =>
        {
            debug!(%remote, "the dialer gave up in the handshake");
            Ok(None)
        }
        Err(error) => match tls::unknown_peer(&error) {
            Some(key) => {
                context.events.emit_unknown_peer(key, remote);
                debug!(%remote, %key, "no lane: unknown peer");
                Ok(None)
            }
            None => Err(SetupError::Connection(error)),
        },
    }
}

/// Waits for `Hello`; `None` where the dialer found another path first and went.
async fn receive_hello(
    connection: &Connection,
    peer: &PeerName,
) -> Result<Option<(ControlStream, Hello)>, SetupError> {
    match handshake::receive(connection).await {
        Ok(received) => Ok(Some(received)),
        Err(HandshakeError::Connection(error)) => {
            debug!(%peer, "connection gone before Hello: {error}");
            Ok(None)
        }
        Err(source) => {
            close::close(connection, close::PROTOCOL, &source.to_string());
            Err(SetupError::Handshake { peer: peer.clone(), source })
        }
    }
}

/// Answers a `Hello` that was not admitted. It is an error only where somebody has to mend something.
async fn reject(
    connection: &Connection,
    mut control: ControlStream,
    peer: PeerName,
    rejection: Reject,
) -> Result<Option<Setup>, SetupError> {
    let detail = rejection.detail.clone();
    // What an honest peer meets when we restart or end, or dial it at the same time.
    let expected = matches!(
        rejection.code,
        RejectCode::UnknownSession
            | RejectCode::Superseded
            | RejectCode::Stale
            | RejectCode::ShuttingDown
    );
    let _ = handshake::answer(&mut control, &Message::Reject(rejection)).await;
    let _ = control.send.finish();
    let _ = tokio::time::timeout(REJECT_LINGER, connection.closed()).await;
    close::close(connection, close::REJECTED, &detail);
    if !expected {
        return Err(SetupError::Rejected { peer, detail });
    }
    info!(%peer, "no lane: {detail}");
    Ok(None)
}

/// Returns our end of a lane that the peer dialed.
fn local_end(context: &NodeContext, connection: &Connection, port: u16) -> Accepted {
    // Linux reveals to which of our addresses a packet came; other systems may not.
    let ip = connection.local_ip();
    let local = ip.unwrap_or_else(|| Ipv4Addr::UNSPECIFIED.into()).to_canonical();
    Accepted { uplink: ip.and_then(|_| context.uplink_of(local)), local: (local, port).into() }
}
