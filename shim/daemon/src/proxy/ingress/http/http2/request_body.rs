//! The body of a request that came by HTTP/2, on its way to an origin.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use hyper::body::{Body, Frame};

use crate::proxy::ingress::http::upstream::BodyError;

/// A body.
pub(super) struct RequestStream(RecvStream);

impl RequestStream {
    /// Creates the body of what is received on a stream.
    pub(super) fn new(stream: RecvStream) -> Self {
        Self(stream)
    }
}

impl Body for RequestStream {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match ready!(self.0.poll_data(context)) {
            Some(Ok(data)) => {
                // The client may send as much again: it is the origin's connection that waits.
                self.0.flow_control().release_capacity(data.len())?;
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
            None => Poll::Ready(match ready!(self.0.poll_trailers(context)) {
                Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
                Err(error) => Some(Err(error.into())),
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}
