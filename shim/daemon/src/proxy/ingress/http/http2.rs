//! A client that speaks HTTP/2 with prior knowledge (RFC 9113 §3.3): each stream a request or a tunnel.
//!
//! This is h2 itself and not hyper, which takes a tunnel that its client cancels for one that ended, and
//! ends one that we give up: either would make a part look like the whole.

mod idle;
mod reply;
mod request_body;
mod sending;
mod tunnel;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, SendResponse};
use http_body_util::{BodyExt, Either};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::{Instant, interval_at, timeout};
use tracing::debug;

use self::idle::{IDLE_CHECK, Idle, Verdict};
use self::request_body::RequestStream;
use self::sending::{Chunk, Sending};
use super::answer::Answer;
use super::client::Client;
use super::client_io::ClientIo;
use super::fields::join_cookies;
use super::head::{HeadError, MAX_FIELDS, MAX_HEAD};
use super::service::{Handled, Service};
use super::upstream::RequestBody;
use crate::proxy::connections::Place;
use crate::proxy::freezer::Stays;
use crate::proxy::ingress::handshake::HANDSHAKE_TIMEOUT;
use crate::proxy::ingress::outbound::Arrival;
use crate::proxy::stream::{ClientAddr, Stream};

/// Streams of a connection at once: the least that RFC 9113 §6.5.2 recommends.
const MAX_STREAMS: u32 = 100;

/// The receive window of a stream, in bytes: a client is on this host or near it.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The receive window of a connection, in bytes: every stream's, so that one that stands still takes
/// nothing from the others. It is what a client can have us hold.
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;

/// What of a stream's answer waits in h2, in bytes.
const SEND_BUFFER: usize = 64 * 1024;

/// Serves a connection, of which `read` has been read.
pub(super) async fn serve(
    tcp: Stream,
    read: Bytes,
    client: (ClientAddr, Option<SocketAddr>),
    service: Arc<Service>,
    Arrival { freezer, set_up, .. }: Arrival,
) {
    let (from, _) = client;
    let _stays = freezer.stays(Stays::Requests);
    drop(set_up);
    let handshake = Builder::new()
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD as u32)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .handshake::<_, Chunk>(ClientIo::new(read, Arc::new(tcp)));
    let mut connection = match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return service.log(from, &Answer::bad_request(&error.to_string())),
        Err(_) => {
            return service.log(from, &Answer::timed_out("the client's HTTP/2 did not begin"));
        }
    };
    let client = Arc::new(Client::new(client));
    // Each stream has a clone.
    let streams = Arc::new(());
    let mut idle = Idle::default();
    let mut checks = interval_at(Instant::now() + IDLE_CHECK, IDLE_CHECK);
    let mut ending = pin!(service.ending());
    let mut is_ending = false;
    loop {
        tokio::select! {
            accepted = connection.accept() => match accepted {
                None => return,
                Some(Err(error)) => {
                    return debug!(ingress = %service.ingress.name(), %from, %error, "a client's connection failed");
                }
                Some(Ok((request, respond))) => {
                    idle.used();
                    let (service, client) = (Arc::clone(&service), Arc::clone(&client));
                    let place = (Arc::clone(&streams), service.place());
                    let tasks = service.tasks.clone();
                    tasks.spawn(async move {
                        let served = serve_stream(&service, &client, request, respond, place.1);
                        if let Err(error) = Box::pin(served).await {
                            debug!(ingress = %service.ingress.name(), %from, %error, "a stream failed");
                        }
                        drop(place.0);
                    });
                }
            },
            _ = checks.tick() => match idle.check(Arc::strong_count(&streams) > 1) {
                Verdict::Stays => {}
                Verdict::AskedToGo => connection.graceful_shutdown(),
                Verdict::Ends => return,
            },
            () = ending.as_mut(), if !is_ending => {
                is_ending = true;
                connection.graceful_shutdown();
            }
            // What is cut off has no end of its stream.
            () = freezer.given() => return,
        }
    }
}

/// Serves a stream, unless its client resets it before it has an answer.
async fn serve_stream(
    service: &Service,
    client: &Client,
    request: Request<RecvStream>,
    mut respond: SendResponse<Chunk>,
    place: Option<Place>,
) -> Result<(), h2::Error> {
    let (mut head, body) = request.into_parts();
    let method = head.method.clone();
    join_cookies(&mut head.headers);
    if let Some(answer) = refusal(place.is_some(), head.headers.len()) {
        service.log(client.from, &answer);
        return reply::send(&mut respond, &method, answer.response().map(Either::Left)).await;
    }
    // The body of CONNECT is the tunnel.
    let (body, tunnel) = match method == Method::CONNECT {
        true => (RequestBody::default(), Some(body)),
        false => (RequestStream::new(body).boxed_unsync(), None),
    };
    let handled = tokio::select! {
        handled = service.handle(client, Request::from_parts(head, body)) => handled,
        reset = poll_fn(|context| respond.poll_reset(context)) => return reset.map(drop),
    };
    match (handled, tunnel) {
        (Handled::Tunnel(outbound, target), Some(received)) => {
            let sending = Sending::new(respond.send_response(Response::new(()), false)?);
            let freezer = &service.dispatcher.connections().freezer;
            let result = tunnel::relay(received, sending, outbound, freezer).await;
            debug!(ingress = %service.ingress.name(), %target, ?result, "tunnel ended");
            Ok(())
        }
        (Handled::Answered(answer), _) => reply::send(&mut respond, &method, answer).await,
        (Handled::Tunnel(..), None) => unreachable!("only CONNECT makes a tunnel"),
    }
}

/// Refuses a request for which there is no place, or with more fields than one by HTTP/1 may have.
fn refusal(has_place: bool, fields: usize) -> Option<Answer> {
    if !has_place {
        let text = "as many requests are served as this ingress may have; close some of them";
        return Some(Answer::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "connection_limit_reached",
            text,
        ));
    }
    (fields > MAX_FIELDS).then(|| Answer::of_head(&HeadError::TooManyFields)).flatten()
}
