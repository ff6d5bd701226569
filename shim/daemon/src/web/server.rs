//! Answers for the status page over HTTP/1: the page, its event stream, and changes.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::board::Board;
use super::body::Answered;
use super::guard::{Access, Purpose, Refusal};
use super::page;
use crate::admin::{UplinkAnswer, UplinkChange};
use crate::http_listener::HttpListener;
use crate::places::{Place, Places};

/// Connections that are served at a time besides those of viewers; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 16;

/// Viewers at a time; the next one is told.
pub(super) const MAX_VIEWERS: usize = 16;

/// The time for a request's head, and for its body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// The time for everything but viewing: longer than a drain waits for another lane.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest head of a request, and what waits in this process for a viewer that reads slowly.
const MAX_BUFFER: usize = 16 * 1024;

/// What the kernel keeps for a viewer that reads slowly: the plots of two uplinks and a few frames.
const SEND_BUFFER: usize = 128 * 1024;

/// The longest body of a request.
const MAX_BODY: usize = 4096;

/// A viewer that has read nothing for so long is dropped.
const STALLED: Duration = Duration::from_secs(10);

/// How long whoever has a wrong token waits: with 16 connections nobody tries many.
const WRONG_TOKEN_DELAY: Duration = Duration::from_millis(300);

/// What changes the use of an uplink, or says why not.
pub(crate) type ChangeUplink = Arc<
    dyn Fn(
            String,
            UplinkChange,
        ) -> Pin<Box<dyn Future<Output = Result<UplinkAnswer, String>> + Send>>
        + Send
        + Sync,
>;

/// What answers. Clones are handles to the same one.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) board: Arc<Board>,
    pub(super) access: Arc<Access>,
    pub(super) change: ChangeUplink,
    viewers: Arc<Semaphore>,
    stalled: Duration,
}

/// A connection's part of the answer.
struct Connection {
    service: Service,
    /// Among those that are not viewers; a viewer gives it back.
    place: Mutex<Option<Place>>,
    /// It is a viewer, and has the time that it wants.
    is_viewer: CancellationToken,
    /// It does not read.
    is_stalled: CancellationToken,
}

/// What is to be changed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeRequest {
    uplink: String,
}

/// Why something is not done.
#[derive(Serialize)]
struct Refused<'a> {
    error: &'a str,
}

impl Service {
    pub(super) fn new(board: Arc<Board>, access: Access, change: ChangeUplink) -> Self {
        let viewers = Arc::new(Semaphore::new(MAX_VIEWERS));
        Self { board, access: Arc::new(access), change, viewers, stalled: STALLED }
    }

    /// Serves whoever connects until `stop`; `spawn` runs a connection.
    pub(super) async fn serve(
        self,
        listener: HttpListener,
        stop: CancellationToken,
        spawn: impl Fn(Pin<Box<dyn Future<Output = ()> + Send>>),
    ) {
        let places = Places::new(MAX_CONNECTIONS);
        let accepting = listener.accept_each("the status page", &places, |tcp, client, place| {
            let (service, stop) = (self.clone(), stop.clone());
            spawn(Box::pin(async move {
                limit_buffer(&tcp);
                let serving = service.connection(tcp, client, place);
                stop.run_until_cancelled(serving).await;
            }));
        });
        stop.run_until_cancelled(accepting).await;
    }

    /// Answers the one request of a connection.
    async fn connection(
        self,
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        client: SocketAddr,
        place: Place,
    ) {
        let (is_viewer, is_stalled) = (CancellationToken::new(), CancellationToken::new());
        let lost = place.lost();
        let connection = Arc::new(Connection {
            service: self,
            place: Mutex::new(Some(place)),
            is_viewer: is_viewer.clone(),
            is_stalled: is_stalled.clone(),
        });
        let handler = service_fn(|request: Request<Incoming>| {
            let connection = connection.clone();
            async move { Ok::<_, Infallible>(connection.answer(request).await) }
        });
        let mut builder = http1::Builder::new();
        builder.keep_alive(false).timer(TokioTimer::new());
        builder.header_read_timeout(REQUEST_TIMEOUT).max_buf_size(MAX_BUFFER);
        let serving = builder.serve_connection(TokioIo::new(io), handler);
        let too_long = async {
            sleep(EXCHANGE_TIMEOUT).await;
            if is_viewer.is_cancelled() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            served = serving => if let Err(error) = served {
                debug!(%client, %error, "a connection for the status page failed");
            },
            () = is_stalled.cancelled() => {
                debug!(%client, "a viewer of the status page does not read, and is dropped");
            }
            () = lost.cancelled() => {
                debug!(%client, "another client came for the status page while this one was silent");
            }
            () = too_long => debug!(%client, "a request to the status page took too long"),
        }
    }
}

impl Connection {
    async fn answer(&self, request: Request<Incoming>) -> Response<Answered> {
        let mut response = match self.route(request).await {
            Ok(response) => response,
            Err(refusal) => {
                if refusal == Refusal::Token {
                    sleep(WRONG_TOKEN_DELAY).await;
                }
                refused(refusal.status(), refusal.text())
            }
        };
        if response.status() == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"throughline\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        page::protect(response.headers_mut());
        response
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Response<Answered>, Refusal> {
        let path = request.uri().path();
        let (purpose, allowed) = match path {
            "/" => (Purpose::Page, "GET, HEAD"),
            "/events" => (Purpose::Read, "GET"),
            "/drain" | "/resume" => (Purpose::Change, "POST"),
            _ => (Purpose::Page, ""),
        };
        let access = &self.service.access;
        access.check(purpose, (request.method(), request.uri(), request.headers()))?;
        Ok(match (request.method(), path) {
            (&Method::GET | &Method::HEAD, "/") => {
                with_type(StatusCode::OK, "text/html; charset=utf-8", page::html())
            }
            (&Method::GET, "/events") => self.view(),
            (&Method::POST, "/drain") => self.change(request, UplinkChange::Drain).await,
            (&Method::POST, "/resume") => self.change(request, UplinkChange::Resume).await,
            (_, "/" | "/events" | "/drain" | "/resume") => {
                let mut other = refused(StatusCode::METHOD_NOT_ALLOWED, "Not by this method.");
                other.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
                other
            }
            _ => refused(StatusCode::NOT_FOUND, "This is Throughline's status page; it is at /."),
        })
    }

    /// Begins the event stream.
    fn view(&self) -> Response<Answered> {
        let Ok(viewing) = self.service.viewers.clone().try_acquire_owned() else {
            let text =
                format!("{MAX_VIEWERS} viewers look at this page already; close one of them.");
            let mut full = refused(StatusCode::SERVICE_UNAVAILABLE, &text);
            full.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
            return full;
        };
        self.is_viewer.cancel();
        drop(self.place.lock().take());
        let (messages, body) = mpsc::channel(1);
        let (board, stalled) = (self.service.board.clone(), self.service.stalled);
        let is_stalled = self.is_stalled.clone();
        // It ends with the connection, which is served by one of the daemon's tasks.
        tokio::spawn(async move {
            let _viewing = viewing;
            tokio::select! {
                reads = feed(&board, &messages, stalled) => if !reads {
                    is_stalled.cancel();
                },
                () = messages.closed() => {}
            }
        });
        let mut response = Response::new(Answered::Messages(body));
        let media_type = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert(CONTENT_TYPE, media_type);
        response
    }

    async fn change(&self, request: Request<Incoming>, change: UplinkChange) -> Response<Answered> {
        let body = Limited::new(request.into_body(), MAX_BODY).collect();
        let body = match timeout(REQUEST_TIMEOUT, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(_)) | Err(_) => {
                return refused(StatusCode::BAD_REQUEST, "The request is too long, or incomplete.");
            }
        };
        let Ok(ChangeRequest { uplink }) = serde_json::from_slice(&body) else {
            return refused(StatusCode::BAD_REQUEST, "Name the uplink, as {\"uplink\":\"isp-a\"}.");
        };
        if self.place.lock().as_ref().is_some_and(|place| !place.keep()) {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "Too many others ask at once.");
        }
        match (self.service.change)(uplink, change).await {
            Ok(answer) => as_json(StatusCode::OK, &answer),
            Err(reason) => refused(StatusCode::CONFLICT, &reason),
        }
    }
}

/// Sends what is new to a viewer, for as long as it reads. Returns false once it does not.
async fn feed(board: &Board, messages: &mpsc::Sender<Bytes>, stalled: Duration) -> bool {
    let send =
        async |text: Bytes| matches!(timeout(stalled, messages.send(text)).await, Ok(Ok(())));
    let mut frames = board.subscribe();
    if !send(board.plots()).await {
        return false;
    }
    let mut log_shown = 0;
    while frames.changed().await.is_ok() {
        let frame = frames.borrow_and_update().clone();
        let (number, log) = frame.log;
        if number != log_shown && !send(log).await {
            return false;
        }
        log_shown = number;
        if !send(frame.state).await {
            return false;
        }
    }
    true
}

/// Bounds what the kernel keeps for a client that does not read.
fn limit_buffer(tcp: &TcpStream) {
    // Else it is some megabytes, and it takes longer to notice.
    let _ = SockRef::from(tcp).set_send_buffer_size(SEND_BUFFER);
}

fn refused(status: StatusCode, reason: &str) -> Response<Answered> {
    as_json(status, &Refused { error: reason })
}

fn as_json(status: StatusCode, value: &impl Serialize) -> Response<Answered> {
    let text = serde_json::to_string(value).unwrap_or_default() + "\n";
    with_type(status, "application/json", text)
}

fn with_type(
    status: StatusCode,
    media_type: &'static str,
    text: impl Into<Bytes>,
) -> Response<Answered> {
    let mut response = Response::new(Answered::Text(Full::new(text.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

#[cfg(test)]
mod tests;
