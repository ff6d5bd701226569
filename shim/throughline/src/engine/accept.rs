//! Accepts lanes: one task per listening address, one short-lived task per connection.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use quinn::{Connection, ConnectionError, Endpoint, Incoming, TransportErrorCode};
use tokio::sync::Semaphore;
use tracing::{debug, info, warn};

use super::context::NodeContext;
use super::quic::close;
use super::sessions::Sessions;
use crate::engine::lane::handshake::{self, HandshakeError};
use crate::engine::lane::{self, NewLane};
use crate::engine::quic::tls;
use crate::engine::quic::transport::ServerFactory;
use crate::engine::session::{Accepted, Origin};
use throughline_proto::selection::Cost;
use throughline_proto::session::LaneInfo;
use throughline_proto::throttle::LogThrottle;
use throughline_proto::wire::control::Message;
use throughline_proto::wire::hello::RejectCode;

/// Connections being set up at once. Beyond this, newcomers are refused.
const SETTING_UP: usize = 256;

/// From here on a newcomer must show that its address is its own (RFC 9000 §8.1.2, Retry).
const RETRY_FROM: usize = 64;

/// A connection that is not a lane by then is closed: TLS and `Hello` over a path of 1 s.
const SET_UP_WITHIN: Duration = Duration::from_secs(10);

/// Runs until the endpoint is closed.
pub(crate) async fn run(sessions: Arc<Sessions>, endpoint: Endpoint, factory: Arc<ServerFactory>) {
    let permits = Arc::new(Semaphore::new(SETTING_UP));
    let throttle = Arc::new(Mutex::new(LogThrottle::default()));
    let port = endpoint.local_addr().map_or(0, |addr| addr.port());
    while let Some(incoming) = endpoint.accept().await {
        let Ok(permit) = permits.clone().try_acquire_owned() else {
            incoming.refuse();
            continue;
        };
        let busy = SETTING_UP - permits.available_permits() > RETRY_FROM;
        if busy && !incoming.remote_address_validated() && incoming.may_retry() {
            let _ = incoming.retry();
            continue;
        }
        let (sessions, factory, throttle) = (sessions.clone(), factory.clone(), throttle.clone());
        tokio::spawn(async move {
            let remote = incoming.remote_address();
            let set_up = set_up(&sessions, &factory, incoming, port);
            let ready = tokio::time::timeout(SET_UP_WITHIN, set_up).await;
            drop(permit);
            match ready {
                Ok(Ok(Some((session, lane)))) => lane::run(session, lane).await,
                Ok(Ok(None)) => {}
                Ok(Err(error)) => refused(&throttle, remote, &error),
                Err(_) => {
                    refused(&throttle, remote, &format!("not set up within {SET_UP_WITHIN:?}"))
                }
            }
        });
    }
}

/// Logs why somebody has no lane: a warning once a minute for each host and reason.
fn refused(throttle: &Mutex<LogThrottle<(IpAddr, String)>>, remote: SocketAddr, why: &str) {
    if throttle.lock().admit(Instant::now(), (remote.ip(), why.to_owned())).is_some() {
        warn!(%remote, "no lane: {why}");
    } else {
        debug!(%remote, "no lane: {why}");
    }
}

type Ready = (crate::engine::session::SessionHandle, NewLane);

async fn set_up(
    sessions: &Arc<Sessions>,
    factory: &ServerFactory,
    incoming: Incoming,
    port: u16,
) -> Result<Option<Ready>, String> {
    let (began, remote) = (Instant::now(), incoming.remote_address());
    let (config, sensor) = factory.for_connection();
    let connecting = incoming.accept_with(config).map_err(|e| tls::reason(&e))?;
    let connection = match connecting.await {
        Ok(connection) => connection,
        Err(ConnectionError::ConnectionClosed(close))
            if close.error_code == TransportErrorCode::APPLICATION_ERROR =>
        {
            debug!("the dialler gave up in the handshake");
            return Ok(None);
        }
        Err(error) => {
            if let Some(key) = tls::stranger(&error) {
                sessions.context.events.emit_unknown_peer(key, remote);
                debug!(%remote, %key, "no lane: unknown peer");
                return Ok(None);
            }
            return Err(tls::reason(&error));
        }
    };
    let Some(peer) = tls::peer_id_of(&connection) else {
        connection.close(close::REJECTED, b"no certificate");
        return Err("peer showed no certificate".to_owned());
    };
    let name = sessions.context.peers.name(peer);
    let (mut control, hello) = match handshake::receive(&connection).await {
        Ok(received) => received,
        Err(HandshakeError::Connection(error)) => {
            // A dialler that found another path first just goes.
            debug!(peer = %name, "connection gone before Hello: {error}");
            return Ok(None);
        }
        Err(error) => {
            connection.close(close::PROTOCOL, error.to_string().as_bytes());
            return Err(format!("peer {name}: {error}"));
        }
    };
    match sessions.admit(peer, &hello) {
        Ok((session, welcome)) => {
            handshake::answer(&mut control, &Message::Welcome(welcome))
                .await
                .map_err(|e| e.to_string())?;
            if let Some(local) = connection.local_ip() {
                sessions.context.uplinks.check(local.to_canonical(), connection.remote_address());
            }
            let local_risk = lane::risk_of(connection.remote_address().ip());
            let remote_risk = connection.local_ip().map_or(0, lane::risk_of);
            let lane = NewLane {
                id: hello.lane,
                info: LaneInfo { local_risk, remote_risk, cost: Cost::FREE, order: 0 },
                origin: Origin::Accepted(accepted(&sessions.context, &connection, port)),
                connection,
                sensor,
                control,
                setup: began.elapsed(),
                params: hello.params,
            };
            Ok(Some((session, lane)))
        }
        Err(reject) => {
            let detail = reject.detail.clone();
            // What an honest peer meets when we restart or end, or dial it at the same time.
            let expected = matches!(
                reject.code,
                RejectCode::UnknownSession
                    | RejectCode::Superseded
                    | RejectCode::Stale
                    | RejectCode::ShuttingDown
            );
            let _ = handshake::answer(&mut control, &Message::Reject(reject)).await;
            let _ = control.send.finish();
            // The peer closes when it has read the answer.
            let _ = tokio::time::timeout(Duration::from_secs(2), connection.closed()).await;
            connection.close(close::REJECTED, detail.as_bytes());
            if expected {
                info!(peer = %name, "no lane: {detail}");
                Ok(None)
            } else {
                Err(format!("peer {name}: {detail}"))
            }
        }
    }
}

/// Our end of a lane that the peer dialled.
fn accepted(context: &NodeContext, connection: &Connection, port: u16) -> Accepted {
    // Linux tells to which of our addresses a packet came; other systems may not.
    let ip = connection.local_ip();
    let local = ip.unwrap_or_else(|| Ipv4Addr::UNSPECIFIED.into()).to_canonical();
    Accepted { uplink: ip.and_then(|_| context.uplink_of(local)), local: (local, port).into() }
}
