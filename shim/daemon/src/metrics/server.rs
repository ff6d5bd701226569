//! Answers `GET /metrics` over HTTP/1.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tracing::debug;

use super::families;
use crate::http_listener::HttpListener;
use crate::places::Places;
use crate::proxy::tasks::Tasks;
use crate::report::{Detail, ReportSource};

/// Connections that are served at a time; more wait in the kernel's queue. A scraper has one.
const MAX_CONNECTIONS: usize = 16;

/// The time for a request and its answer. A connection has one request.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Whoever asks again within this time gets the same answer: a report looks at every lane.
const CACHED_FOR: Duration = Duration::from_millis(500);

/// A TCP address at which metrics can be read.
pub struct MetricsServer(HttpListener);

impl MetricsServer {
    /// Binds the address.
    ///
    /// # Errors
    /// It cannot be bound.
    pub fn bind(addr: SocketAddr) -> io::Result<Self> {
        HttpListener::bind(addr).map(Self)
    }

    /// Goes on with a socket that another process has bound.
    ///
    /// # Errors
    /// The system's.
    pub fn of(listener: TcpListener) -> io::Result<Self> {
        HttpListener::of(listener).map(Self)
    }

    /// Returns the socket, for as long as it is served: another process may go on with it.
    pub fn socket(&self) -> Weak<TcpListener> {
        self.0.socket()
    }

    /// Returns the address that it has.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr()
    }

    /// Answers with the metrics of what `report` returns, until the tasks are draining.
    pub async fn serve(self, report: ReportSource, tasks: Tasks) {
        let places = Places::new(MAX_CONNECTIONS);
        let text = Arc::new(Text { report, last: Mutex::new(None) });
        let accepting = self.0.accept_each("metrics", &places, |tcp, client, place| {
            let (text, draining) = (text.clone(), tasks.clone());
            tasks.spawn(async move {
                tokio::select! {
                    _ = timeout(EXCHANGE_TIMEOUT, connection(tcp, client, text)) => {}
                    () = place.lost().cancelled_owned() => {
                        debug!(%client, "another client came for metrics while this one was silent");
                    }
                    () = draining.draining() => {}
                }
                drop(place);
            });
        });
        tokio::select! {
            () = accepting => {}
            () = tasks.draining() => {}
        }
    }
}

/// The text of the metrics.
struct Text {
    report: ReportSource,
    /// The last one, and when it was made.
    last: Mutex<Option<(Instant, Bytes)>>,
}

impl Text {
    fn get(&self) -> Result<Bytes, fmt::Error> {
        // Held meanwhile: who comes in between waits for the same answer.
        let mut last = self.last.lock();
        match &*last {
            Some((at, text)) if at.elapsed() < CACHED_FOR => Ok(text.clone()),
            _ => {
                let text = Bytes::from(families::text(&(self.report)(Detail::Lanes))?);
                *last = Some((Instant::now(), text.clone()));
                Ok(text)
            }
        }
    }
}

async fn connection(tcp: TcpStream, client: SocketAddr, text: Arc<Text>) {
    let handler = service_fn(|request: Request<Incoming>| {
        let answer = answer(&request, &text);
        async move { Ok::<_, Infallible>(answer) }
    });
    let mut builder = http1::Builder::new();
    builder.keep_alive(false).timer(TokioTimer::new());
    if let Err(error) = builder.serve_connection(TokioIo::new(tcp), handler).await {
        debug!(%client, %error, "a connection for metrics failed");
    }
}

fn answer<B>(request: &Request<B>, text: &Text) -> Response<Full<Bytes>> {
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/metrics") => match text.get() {
            Ok(text) => with_type(StatusCode::OK, families::MEDIA_TYPE, text),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        (_, "/metrics") => {
            let text = "Only GET is answered here.\n".to_owned();
            let mut refused = plain(StatusCode::METHOD_NOT_ALLOWED, text);
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            refused
        }
        _ => {
            let hint = "This is Throughline's address for metrics; they are at /metrics.\n";
            plain(StatusCode::NOT_FOUND, hint.to_owned())
        }
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    with_type(status, "text/plain; charset=utf-8", text)
}

fn with_type(
    status: StatusCode,
    media_type: &'static str,
    text: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
