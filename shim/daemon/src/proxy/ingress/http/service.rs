//! What an HTTP ingress does with a request, whichever version of HTTP it came by.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderValue, TRANSFER_ENCODING,
};
use hyper::{Method, Request, Response, StatusCode, Uri};
use tracing::{debug, info};

use super::answer::Answer;
use super::authorization::Authorization;
use super::client::Client;
use super::fields::{add_via, may_forward, remove_hop_by_hop};
use super::pac;
use super::request::{Asked, asked};
use super::upstream::{ForwardError, RequestBody};
use crate::proxy::connections::{Gate, Place};
use crate::proxy::ingress::dispatcher::Dispatcher;
use crate::proxy::ingress::kind::{IngressKind, LiveIngress, Now};
use crate::proxy::ingress::outbound::Outbound;
use crate::proxy::refusals::RefusalLog;
use crate::proxy::stream::ClientAddr;
use crate::proxy::tasks::Tasks;
use throughline::Target;

/// An ingress as its requests find it.
pub(in crate::proxy::ingress) struct Service {
    /// Itself.
    pub(in crate::proxy::ingress) ingress: LiveIngress,
    /// Where requests go.
    pub(in crate::proxy::ingress) dispatcher: Arc<Dispatcher>,
    /// The tasks that connections to origins are among.
    pub(in crate::proxy::ingress) tasks: Tasks,
    /// The streams of HTTP/2 that may be served at once: as many as connections.
    pub(in crate::proxy::ingress) streams: Gate,
    /// Which refusals are logged.
    pub(in crate::proxy::ingress) refusals: Arc<RefusalLog>,
}

/// The answer to a request: the proxy's own, or an origin's.
pub(super) type Reply = Response<Either<Full<Bytes>, Incoming>>;

/// What becomes of a request.
pub(super) enum Handled {
    /// It is answered.
    Answered(Reply),
    /// It is a tunnel, which is open.
    Tunnel(Outbound, Target),
}

impl Service {
    /// Handles a request of a client, as the ingress is configured now.
    pub(super) async fn handle(&self, client: &Client, request: Request<RequestBody>) -> Handled {
        match self.try_handle(client, request).await {
            Ok(handled) => handled,
            Err(answer) => {
                self.log(client.from, &answer);
                Handled::Answered(answer.response().map(Either::Left))
            }
        }
    }

    /// Completes when a connection is to take no further request: the ingress is closed, the tasks are
    /// draining, or the daemon is about to be handed over. Cancel-safe.
    pub(super) async fn ending(&self) {
        tokio::select! {
            () = self.tasks.draining() => {}
            () = self.ingress.closed() => {}
            () = self.dispatcher.connections().freezer.winding_down() => {}
        }
    }

    /// Takes a place for a stream, where there is one.
    pub(super) fn place(&self) -> Option<Place> {
        self.streams.try_enter(self.dispatcher.connections().limits().per_ingress)
    }

    /// Logs an answer that is a refusal.
    pub(super) fn log(&self, from: ClientAddr, answer: &Answer) {
        if let Some(suppressed) = self.refusals.admit() {
            let (ingress, status, text) =
                (self.ingress.name(), answer.status.as_u16(), &answer.text);
            info!(%ingress, %from, status, suppressed, "client refused: {text}");
        }
    }

    async fn try_handle(
        &self,
        client: &Client,
        request: Request<RequestBody>,
    ) -> Result<Handled, Answer> {
        let Now { name: ingress, kind, .. } = self.ingress.now();
        if !matches!(kind, IngressKind::Http(_) | IngressKind::Proxy(_)) {
            return Err(Answer::is_no_more(&ingress));
        }
        let asked = asked(request.method(), request.uri());
        if matches!(asked, Ok(Asked::Own)) {
            // Before the password: a browser asks for the PAC file before it knows of one.
            return self.own(&ingress, &request, client.reached);
        }
        let authorization = client.tries.authorize(request.headers(), kind.credentials()).await;
        may_pass(authorization)?;
        let from = client.from;
        match asked.map_err(|error| Answer::bad_request(&error.to_string()))? {
            Asked::Own => Err(no_web_server(&ingress)),
            Asked::Tunnel(target) => {
                debug!(%ingress, %from, %target, "tunnel requested");
                let opening = self.dispatcher.open(&ingress, target.clone());
                match Box::pin(opening).await {
                    Ok(outbound) => Ok(Handled::Tunnel(outbound, target)),
                    Err(error) => Err(Answer::of_dispatch(&target, &error)),
                }
            }
            Asked::Forward(target) => {
                debug!(%ingress, %from, %target, "request to forward");
                self.forward(&ingress, target, request, client).await
            }
        }
    }

    /// Answers what is asked of the proxy itself: the PAC file, and else what this is.
    fn own(
        &self,
        ingress: &str,
        request: &Request<RequestBody>,
        reached: Option<SocketAddr>,
    ) -> Result<Handled, Answer> {
        let is_read = [Method::GET, Method::HEAD].contains(request.method());
        if !is_read || !pac::PATHS.contains(&request.uri().path()) {
            return Err(no_web_server(ingress));
        }
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let proxy = pac::reached_at(host, reached).ok_or_else(|| {
            Answer::bad_request("there is no Host by which this proxy is reached; send it")
        })?;
        let text = pac::pac(&self.dispatcher.policy(), ingress, &proxy);
        let mut response = Response::new(Either::Left(Full::from(text)));
        let fields = response.headers_mut();
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(pac::MEDIA_TYPE));
        // It follows the rules, which may change.
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        Ok(Handled::Answered(response))
    }

    async fn forward(
        &self,
        ingress: &str,
        target: Target,
        mut request: Request<RequestBody>,
        client: &Client,
    ) -> Result<Handled, Answer> {
        let method = request.method().clone();
        if !may_forward(&method, request.headers_mut()) {
            let text = format!("{method} ends here, as its Max-Forwards says; send a greater one");
            return Err(Answer::bad_request(&text));
        }
        to_origin_form(&mut request)?;
        let through = (&*self.dispatcher, ingress, &self.tasks);
        let mut response = match client.upstreams.send(through, target.clone(), request).await {
            Ok(response) => response,
            Err(ForwardError::Dispatch(error)) => {
                return Err(Answer::of_dispatch(&target, &error));
            }
            Err(ForwardError::Http(error)) => return Err(origin_failed(&target, &error)),
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let text = format!("{target} changed to another protocol unasked; use CONNECT for it");
            return Err(Answer::new(StatusCode::BAD_GATEWAY, "http_protocol_error", &text));
        }
        let version = response.version();
        remove_hop_by_hop(response.headers_mut());
        add_via(response.headers_mut(), version);
        Ok(Handled::Answered(response.map(Either::Right)))
    }
}

/// Says what is missing of a request that is not let through.
fn may_pass(authorization: Authorization) -> Result<(), Answer> {
    let text = match authorization {
        Authorization::Granted => return Ok(()),
        Authorization::Missing => {
            "this proxy wants a user name and a password; give them to the program, as in \
             http://USER:PASSWORD@HOST:PORT"
        }
        Authorization::Wrong => {
            "the user name or the password is wrong; they are in the ingress's table of the \
             configuration"
        }
    };
    Err(Answer::authentication_required(text))
}

/// Says what this is to somebody who takes it for a web server.
fn no_web_server(ingress: &str) -> Answer {
    let text = format!(
        "this is Throughline's HTTP proxy `{ingress}` and no web server; set it as the proxy of your \
         programs, as in http_proxy=http://HOST:PORT, or let them read /proxy.pac"
    );
    Answer::new(StatusCode::NOT_FOUND, "http_request_error", &text)
}

/// Makes a request what an origin gets: its target's path, `Host` of that target (RFC 9112 §3.2.2), and
/// nothing that was for us.
fn to_origin_form(request: &mut Request<RequestBody>) -> Result<(), Answer> {
    let wrong =
        |_| Answer::bad_request("the request's target cannot be read; write http://HOST/PATH");
    let uri = request.uri();
    let host = uri.authority().map_or("", |authority| authority.as_str());
    let host = HeaderValue::from_str(host).map_err(|_| Answer::bad_request("the host is wrong"))?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path: Uri = path.parse().map_err(wrong)?;
    *request.uri_mut() = path;
    let version = request.version();
    // hyper sends the version that a request has.
    *request.version_mut() = hyper::Version::HTTP_11;
    let has_body = !request.body().is_end_stream();
    let fields = request.headers_mut();
    remove_hop_by_hop(fields);
    if has_body && !fields.contains_key(CONTENT_LENGTH) {
        // hyper drops a body without a length where the method has none as a rule.
        fields.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    fields.insert(HOST, host);
    add_via(fields, version);
    Ok(())
}

/// Says that the origin broke off, or does not speak HTTP.
fn origin_failed(target: &Target, error: &hyper::Error) -> Answer {
    let is_cut = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    let (error_type, what) = match is_cut {
        true => ("connection_terminated", "closed the connection before it answered; try again"),
        false if error.is_parse() => {
            ("http_protocol_error", "did not answer in HTTP/1; check the port, or use CONNECT")
        }
        false => ("connection_terminated", "broke off before it answered; try again"),
    };
    Answer::new(StatusCode::BAD_GATEWAY, error_type, &format!("{target} {what} ({error})"))
}
