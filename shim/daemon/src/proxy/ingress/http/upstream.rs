//! The connections to origins of one client, by which its plain requests are forwarded.
//!
//! One that is idle is kept, because a client asks for many things of one origin (apt, a browser); never
//! more, and never for another client, since some origins authenticate connections.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use thiserror::Error;
use tokio_util::either::Either;
use tracing::debug;

use super::head::MAX_HEAD;
use crate::proxy::ingress::dispatcher::{DispatchError, Dispatcher};
use crate::proxy::ingress::outbound::Outbound;
use crate::proxy::tasks::Tasks;
use throughline::Target;

/// A body on its way to an origin.
pub(super) type RequestBody = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body ended too early.
pub(super) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The connections to origins of one client.
#[derive(Default)]
pub(super) struct Upstreams {
    idle: Mutex<Option<(Target, SendRequest<RequestBody>)>>,
}

/// A request could not be forwarded.
#[derive(Debug, Error)]
pub(super) enum ForwardError {
    /// There is no way to the origin.
    #[error(transparent)]
    Dispatch(#[from] DispatchError),
    /// The origin, or the way to it, failed before its answer began.
    #[error("the origin did not answer as HTTP/1.1 has it: {0}")]
    Http(#[from] hyper::Error),
}

impl Upstreams {
    /// Sends a request to `target` and returns the head of its answer.
    pub(super) async fn send(
        &self,
        (dispatcher, ingress, tasks): (&Dispatcher, &str, &Tasks),
        target: Target,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, ForwardError> {
        if let Some(mut sender) = self.take_idle(&target) {
            // An origin may close an idle connection just now. What it has not seen is sent on another
            // one; what it may have seen, only where that does no harm (RFC 9110 §9.2.2).
            let again = repeatable(&request);
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.keep(target, sender);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message().or(again) {
                    Some(unsent) => request = unsent,
                    None => return Err(error.into_error().into()),
                },
            }
        }
        let mut sender = connect(dispatcher, ingress, tasks, target.clone()).await?;
        let response = sender.send_request(request).await?;
        self.keep(target, sender);
        Ok(response)
    }

    fn take_idle(&self, target: &Target) -> Option<SendRequest<RequestBody>> {
        let (of, sender) = self.idle.lock().take()?;
        // One whose answer is still being read would make this request wait for it.
        (of == *target && sender.is_ready()).then_some(sender)
    }

    fn keep(&self, target: Target, sender: SendRequest<RequestBody>) {
        *self.idle.lock() = Some((target, sender));
    }
}

/// Returns a copy of a request that asks for nothing but an answer.
fn repeatable(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if !safe || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(RequestBody::default());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}

/// Opens the way to an origin and begins HTTP/1.1 on it.
async fn connect(
    dispatcher: &Dispatcher,
    ingress: &str,
    tasks: &Tasks,
    target: Target,
) -> Result<SendRequest<RequestBody>, ForwardError> {
    let (stream, descriptor) = match Box::pin(dispatcher.open(ingress, target.clone())).await? {
        Outbound::Flow(flow) => (Either::Left(flow), None),
        Outbound::Direct(tcp, descriptor) => (Either::Right(tcp), Some(descriptor)),
    };
    let (sender, connection) = http1::Builder::new()
        .preserve_header_case(true)
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await?;
    let ingress = ingress.to_owned();
    tasks.spawn(async move {
        let result = connection.await;
        drop(descriptor);
        debug!(ingress, %target, ?result, "connection to an origin ended");
    });
    Ok(sender)
}
