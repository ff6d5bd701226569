//! Accepts lanes: sets up each connection that a peer dials, and attaches it to its session.
//!
//! **Tasks and their owner.** One task per listening address ([`run`]) ends when its endpoint is
//! closed, which [`Node::shutdown`](crate::Node::shutdown) does. It spawns a task for each connection
//! and does not wait for it: that one ends after [`SETUP_TIMEOUT`] at the latest, or goes on as the
//! task of the lane ([`super::lane`]), or as one that waits for a rejected connection to be closed, for
//! [`SILENCE_LINGER`] at the most. Aborting a set-up is safe, as no session knows of the lane yet.

mod place;
mod slots;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quinn::{Connection, ConnectionError, Endpoint, Incoming, TransportErrorCode};
use thiserror::Error;
use tracing::{debug, info, warn};

use self::place::{Admission, PeerPlace, Place, Places};
use super::context::NodeContext;
use super::lane::handshake::{self, ControlStream, HandshakeError};
use super::lane::{self, NewLane};
use super::qlog::Trace;
use super::quic::transport::ServerFactory;
use super::quic::{close, endpoint, tls};
use super::session::{Accepted, LaneKeys, Origin, SessionHandle};
use super::sessions::{Admitted, Sessions};
use throughline_congestion::LaneSensor;
use throughline_proto::panics::{Panicked, catch};
use throughline_proto::path::Prefix;
use throughline_proto::selection::Cost;
use throughline_proto::session::LaneInfo;
use throughline_proto::throttle::LogThrottle;
use throughline_proto::types::{PeerId, PeerName};
use throughline_proto::wire::control::Message;
use throughline_proto::wire::hello::{Hello, Reject, RejectCode};

/// A connection that is not a lane by then is closed: TLS and `Hello` over a path of 1 s.
const SETUP_TIMEOUT: Duration = Duration::from_secs(10);

/// Reasons logged in a minute of the connections from one prefix.
const MAX_REASONS: usize = 8;

/// How long a rejected peer gets to read the answer and close the connection itself.
const REJECT_LINGER: Duration = Duration::from_secs(2);

/// The same for one that resumes what is not here, as far as QUIC's idle timeout (30 s) lets it: it may be looking
/// for how long a NAT keeps a mapping over which nothing goes ([`super::probe::mapping`]).
const SILENCE_LINGER: Duration = Duration::from_secs(30);

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
    /// It took long, and another one needed its place.
    #[error("not set up before others needed its place")]
    Displaced,
    /// Its task panicked.
    #[error("internal error: {0}; please report this")]
    Panicked(#[from] Panicked),
    /// It took too long.
    #[error("not set up within {SETUP_TIMEOUT:?}")]
    TimedOut,
}

/// A lane that is set up, and its session.
type Setup = (SessionHandle, NewLane);

/// The failures that were logged.
type FailureLog = Mutex<LogThrottle<(Prefix, String)>>;

/// Runs until the endpoint is closed.
pub(crate) async fn run(sessions: Arc<Sessions>, endpoint: Endpoint) {
    let places = Places::default();
    let logged = Arc::new(FailureLog::default());
    let port = endpoint.local_addr().map_or(0, |addr| addr.port());
    while let Some(incoming) = endpoint.accept().await {
        if is_forbidden(&sessions.context, &incoming) {
            // An answer would be sent over that uplink as well.
            incoming.ignore();
            continue;
        }
        let prefix = prefix_of(incoming.remote_address());
        let place = match places.admit(prefix, incoming.remote_address_validated()) {
            Admission::Accept(place) => place,
            Admission::Retry => {
                let _ = incoming.retry();
                continue;
            }
            Admission::Drop => {
                incoming.ignore();
                continue;
            }
        };
        let (sessions, logged) = (sessions.clone(), logged.clone());
        tokio::spawn(async move {
            let remote = incoming.remote_address();
            let setup = catch(set_up(&sessions, incoming, place, port));
            let ready = tokio::time::timeout(SETUP_TIMEOUT, setup).await;
            let ready = ready.unwrap_or(Ok(Err(SetupError::TimedOut)));
            match ready.unwrap_or_else(|panicked| Err(panicked.into())) {
                // In a task of its own: what the set-up took is not kept for the life of the lane.
                Ok(Some((session, lane))) => {
                    tokio::spawn(lane::run(session, lane));
                }
                Ok(None) => {}
                Err(error) => log_failure(&sessions.context, &logged, remote, &error),
            }
        });
    }
}

/// Returns whether the dial came over an uplink of ours that may not be used.
fn is_forbidden(context: &NodeContext, incoming: &Incoming) -> bool {
    let uplink = || context.uplink_of(incoming.local_ip()?.to_canonical());
    context.allowances.changes() > 0 && uplink().is_some_and(|u| context.allowances.forbids(&u))
}

/// Logs why a connection became no lane. An unknown peer gets a warning once a minute for each reason, and
/// [`MAX_REASONS`] with its whole prefix, since it can make up reasons; a peer has its own quota, which
/// no unknown peer can use up.
fn log_failure(context: &NodeContext, logged: &FailureLog, remote: SocketAddr, error: &SetupError) {
    let admitted = match error {
        SetupError::Handshake { peer, .. } | SetupError::Rejected { peer, .. } => {
            context.events.admits_line(peer)
        }
        SetupError::Connection(_)
        | SetupError::NoCertificate
        | SetupError::Displaced
        | SetupError::Panicked(_)
        | SetupError::TimedOut => {
            let prefix = prefix_of(remote);
            let (key, of_prefix) =
                ((prefix, error.to_string()), |key: &(Prefix, _)| key.0 == prefix);
            let mut logged = logged.lock();
            logged.admit_in_group(Instant::now(), key, MAX_REASONS, of_prefix).is_some()
        }
    };
    if admitted {
        warn!(%remote, "no lane: {error}");
    } else {
        debug!(%remote, "no lane: {error}");
    }
}

/// Returns the prefix of a dialer; on loopback, too, the port says nothing of who it is.
fn prefix_of(remote: SocketAddr) -> Prefix {
    Prefix::of(SocketAddr::new(remote.ip(), 0))
}

/// Sets up a lane; `None` where it became none and nothing is wrong.
async fn set_up(
    sessions: &Arc<Sessions>,
    incoming: Incoming,
    mut place: Place,
    port: u16,
) -> Result<Option<Setup>, SetupError> {
    let (started, factory) = (Instant::now(), sessions.context.accepting());
    let connected = tokio::select! {
        connected = connect(&sessions.context, &factory, incoming) => connected?,
        () = place.displaced() => return Err(SetupError::Displaced),
    };
    let Some((connection, sensor, trace)) = connected else { return Ok(None) };
    let (key, place) = identify(&sessions.context, &connection, place)?;
    let peer = sessions.context.peers.resolve(key);
    let keys = LaneKeys { ours: factory.key(), peers: key };
    let name = sessions.context.peers.name(peer);
    let Some((mut control, hello)) = receive_hello(&connection, &name).await? else {
        return Ok(None);
    };
    let admitted = match sessions.admit(peer, keys, &hello) {
        Ok(admitted) => admitted,
        Err(rejection) => {
            return reject(sessions, (connection, place), control, name, rejection).await;
        }
    };
    let Admitted { session, reservation, welcome } = admitted;
    let version = welcome.version;
    match handshake::answer(&mut control, &Message::Welcome(welcome)).await {
        Ok(()) => {}
        Err(HandshakeError::Connection(error)) => {
            debug!(peer = %name, "connection gone before Welcome: {}", tls::reason(&error));
            return Ok(None);
        }
        Err(source) => return Err(SetupError::Handshake { peer: name, source }),
    }
    let remote = connection.remote_address();
    if let Some(local) = connection.local_ip() {
        sessions.context.uplinks.check(local.to_canonical(), remote);
    }
    let info = LaneInfo {
        local_risk: lane::risk_of(remote.ip()),
        remote_risk: connection.local_ip().map_or(0, lane::risk_of),
        cost: Cost::FREE,
        order: 0,
        version,
    };
    let lane = NewLane {
        id: hello.lane,
        info,
        origin: Origin::Accepted(local_end(&sessions.context, &connection, port)),
        keys,
        trace,
        connection,
        sensor,
        control,
        setup: started.elapsed(),
        params: hello.params,
        reservation: Some(reservation),
    };
    Ok(Some((session, lane)))
}

/// Completes the QUIC handshake; `None` where the dialer gave up, or is unknown and was reported.
async fn connect(
    context: &NodeContext,
    factory: &ServerFactory,
    incoming: Incoming,
) -> Result<Option<(Connection, Arc<LaneSensor>, Trace)>, SetupError> {
    let remote = incoming.remote_address();
    let local = incoming.local_ip().map(|ip| ip.to_canonical());
    let link_mtu = local.and_then(|local| context.uplinks.link_mtu(local, remote));
    let (payload, trace) =
        (endpoint::payload_of(link_mtu, remote.ip()), context.qlogs.of_accepted());
    let (config, sensor) = factory.for_connection(payload, &trace);
    let connecting = incoming.accept_with(config).map_err(SetupError::Connection)?;
    match connecting.await {
        Ok(connection) => Ok(Some((connection, sensor, trace))),
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

/// Returns the key of who has dialed, and its place until it has a lane.
fn identify(
    context: &NodeContext,
    connection: &Connection,
    place: Place,
) -> Result<(PeerId, PeerPlace), SetupError> {
    let Some(peer) = tls::peer_id_of(connection) else {
        close::close(connection, close::REJECTED, "no certificate");
        return Err(SetupError::NoCertificate);
    };
    let Some(place) = place.let_in(peer) else {
        let detail = "too many connections are being set up".to_owned();
        close::close(connection, close::REJECTED, &detail);
        return Err(SetupError::Rejected {
            peer: context.peers.name(context.peers.resolve(peer)),
            detail,
        });
    };
    Ok((peer, place))
}

/// Waits for `Hello`; `None` where the dialer found another path first and went.
async fn receive_hello(
    connection: &Connection,
    peer: &PeerName,
) -> Result<Option<(ControlStream, Hello)>, SetupError> {
    match handshake::receive(connection).await {
        Ok(received) => Ok(Some(received)),
        Err(HandshakeError::Connection(error)) => {
            debug!(%peer, "connection gone before Hello: {}", tls::reason(&error));
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
    sessions: &Sessions,
    (connection, place): (Connection, PeerPlace),
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
    let rejection = match rejection.code {
        // Who resumes what is not here has to begin anew, or probes the path.
        RejectCode::UnknownSession => rejection.seen_from(connection.remote_address()),
        _ => rejection,
    };
    let is_unknown = rejection.code == RejectCode::UnknownSession;
    let _ = handshake::answer(&mut control, &Message::Reject(rejection)).await;
    let _ = control.send.finish();
    let (place, linger) = match place.fall_silent_if(is_unknown) {
        Ok(place) => (place, SILENCE_LINGER),
        Err(place) => (place, REJECT_LINGER),
    };
    let reason = detail.clone();
    let until_closed = async move {
        let _ = tokio::time::timeout(linger, connection.closed()).await;
        close::close(&connection, close::REJECTED, &reason);
        // Both until now: the stream that is not read any more, and the place.
        drop((control, place));
    };
    if is_unknown {
        // It may take longer than a set-up.
        tokio::spawn(until_closed);
    } else {
        until_closed.await;
    }
    if !expected {
        return Err(SetupError::Rejected { peer, detail });
    }
    if sessions.context.events.admits_line(&peer) {
        info!(%peer, "no lane: {detail}");
    }
    Ok(None)
}

/// Returns our end of a lane that the peer dialed.
fn local_end(context: &NodeContext, connection: &Connection, port: u16) -> Accepted {
    // Linux reveals to which of our addresses a packet came; other systems may not.
    let ip = connection.local_ip();
    let local = ip.unwrap_or_else(|| Ipv4Addr::UNSPECIFIED.into()).to_canonical();
    Accepted {
        uplink: ip.and_then(|_| context.uplink_of(local)),
        local: (local, port).into(),
        remote: connection.remote_address(),
    }
}
