//! Sends an answer on a stream.

use h2::Reason;
use h2::server::SendResponse;
use http_body_util::BodyExt;
use hyper::body::Body;
use hyper::{Method, Response};

use super::sending::{Chunk, Sending};
use crate::proxy::ingress::http::service::Reply;

/// Sends the answer to a request of this method. One that is cut off resets the stream.
pub(super) async fn send(
    respond: &mut SendResponse<Chunk>,
    method: &Method,
    reply: Reply,
) -> Result<(), h2::Error> {
    let (head, mut body) = reply.into_parts();
    // Our own answer to HEAD has a body, which hyper would leave out (RFC 9110 §9.3.2).
    let ends = body.is_end_stream() || method == Method::HEAD;
    let stream = respond.send_response(Response::from_parts(head, ()), ends)?;
    if ends {
        return Ok(());
    }
    let mut sending = Sending::new(stream);
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            error = sending.is_reset() => return Err(error),
        };
        match frame {
            None => return sending.end(),
            Some(Err(_)) => {
                sending.reset(Reason::INTERNAL_ERROR).await;
                return Ok(());
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => sending.data(data).await?,
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return sending.trailers(trailers);
                    }
                }
            },
        }
    }
}
