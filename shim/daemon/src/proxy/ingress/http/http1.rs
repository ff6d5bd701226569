//! A client that speaks HTTP/1: its requests one after the other, and a tunnel as the last.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tracing::debug;

use super::client::Client;
use super::client_io::ClientIo;
use super::head::MAX_HEAD;
use super::service::{Handled, Reply, Service};
use super::upstream::{BodyError, RequestBody};
use crate::proxy::freezer::{Setup, Stays};
use crate::proxy::ingress::outbound::{Arrival, Outbound};
use crate::proxy::relay::{close_with_reset, tcp_failure};
use crate::proxy::stream::{ClientAddr, Stream};
use throughline::Target;

/// The time from an answer to the whole head of the next request; the head of the first one is bounded
/// apart. As long as browsers and apt keep idle connections to proxies.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);

/// A tunnel that has been opened, once the client's connection is free of HTTP.
struct Tunnel {
    outbound: Outbound,
    target: Target,
    upgrade: OnUpgrade,
}

/// Serves a connection, of which `read` has been read.
pub(super) async fn serve(
    tcp: Stream,
    read: Bytes,
    client: (ClientAddr, Option<SocketAddr>),
    service: Arc<Service>,
    Arrival { ingress, freezer, set_up }: Arrival,
) {
    let tcp = Arc::new(tcp);
    let staying = freezer.stays(Stays::Requests);
    drop(set_up);
    match Box::pin(serve_requests(Arc::clone(&tcp), read, client, Arc::clone(&service))).await {
        Served::Tunnel(tunnel) => {
            let set_up = freezer.setting_up(Setup::Connection);
            let arrival = Arrival { ingress, freezer, set_up };
            drop(staying);
            let Ok(upgraded) = tunnel.upgrade.await else { return };
            let early = early_bytes(upgraded);
            // hyper has let go of it.
            let Some(tcp) = Arc::into_inner(tcp) else { return };
            tunnel.outbound.relay_after(early, tcp, arrival, &tunnel.target).await;
        }
        Served::Cut => {
            // Where the answer has no length of its own, an ordinary end would make it look whole.
            if let Some(tcp) = Arc::into_inner(tcp) {
                close_with_reset(tcp);
            }
        }
        Served::Ended => {}
    }
}

/// How the requests of a connection ended.
enum Served {
    /// With a tunnel.
    Tunnel(Tunnel),
    /// An answer was cut off.
    Cut,
    /// With the connection.
    Ended,
}

async fn serve_requests(
    tcp: Arc<Stream>,
    read: Bytes,
    client: (ClientAddr, Option<SocketAddr>),
    service: Arc<Service>,
) -> Served {
    let opened = Arc::new(Mutex::new(None));
    let client = Arc::new(Client::new(client));
    let handler = service_fn(|request: Request<Incoming>| {
        let (service, client) = (Arc::clone(&service), Arc::clone(&client));
        let opened = Arc::clone(&opened);
        async move { Ok::<_, Infallible>(handle(&service, &client, request, &opened).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        // A client may end its direction behind its request, and read on.
        .half_close(true)
        .preserve_header_case(true)
        .title_case_headers(true)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(ClientIo::new(read, Arc::clone(&tcp))), handler)
        .with_upgrades();
    let mut connection = pin!(connection);
    let served = async {
        tokio::select! {
            // First, so that what the client has asked for already is answered.
            biased;
            served = connection.as_mut() => served,
            () = service.ending() => {
                connection.as_mut().graceful_shutdown();
                connection.as_mut().await
            }
        }
    };
    let (ingress, from) = (service.ingress.name(), client.from);
    let served = tokio::select! {
        served = served => served,
        // hyper, which lets a client end its direction, does not read while it waits for an answer.
        error = tcp_failure(&tcp) => {
            debug!(%ingress, %from, %error, "a client is gone");
            return Served::Ended;
        }
        () = service.dispatcher.connections().freezer.given() => return Served::Cut,
    };
    let tunnel = opened.lock().take();
    match (served, tunnel) {
        (Ok(()), Some(tunnel)) => Served::Tunnel(tunnel),
        (Ok(()), None) => Served::Ended,
        (Err(error), _) => {
            debug!(%ingress, %from, %error, "a client's connection failed");
            if error.is_user() { Served::Cut } else { Served::Ended }
        }
    }
}

async fn handle(
    service: &Service,
    client: &Client,
    mut request: Request<Incoming>,
    opened: &Mutex<Option<Tunnel>>,
) -> Reply {
    let upgrade = hyper::upgrade::on(&mut request);
    match service.handle(client, request.map(boxed)).await {
        Handled::Answered(reply) => reply,
        Handled::Tunnel(outbound, target) => {
            *opened.lock() = Some(Tunnel { outbound, target, upgrade });
            // Any 2xx makes it a tunnel, and has no body (RFC 9110 §9.3.6).
            Response::new(Either::Left(Full::default()))
        }
    }
}

fn boxed(body: Incoming) -> RequestBody {
    body.map_err(BodyError::from).boxed_unsync()
}

/// Returns what the client sent behind its request.
fn early_bytes(upgraded: Upgraded) -> Bytes {
    match upgraded.downcast::<TokioIo<ClientIo>>() {
        Ok(parts) => {
            let unread = parts.io.into_inner().into_early();
            if unread.is_empty() {
                return parts.read_buf;
            }
            let mut early = BytesMut::from(parts.read_buf);
            early.extend_from_slice(&unread);
            early.freeze()
        }
        Err(_) => unreachable!("it is what hyper was given"),
    }
}
