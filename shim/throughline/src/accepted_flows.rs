//! Lets HTTP servers take flows as they take TCP connections: `axum::serve`, and tonic's `serve_with_incoming`.

use std::task::{Context, Poll, ready};

use crate::info::FlowInfo;
use crate::node::Listener;
use crate::stream::FlowStream;

/// Accepts every flow of a [`Listener`], for servers that take TCP connections as well; from
/// [`Listener::accept_all`]. Dropping it ends the service.
///
/// With the feature `axum` it is a listener for `axum::serve`, and with `tonic` a stream for
/// `serve_with_incoming`. Handlers find who asks as `ConnectInfo<FlowInfo>` (axum, by
/// `into_make_service_with_connect_info`), or as [`FlowInfo`] among the request's extensions (tonic).
///
/// # When it ends
/// The stream ends when the node shuts down, and tonic's server with it. A listener of axum's cannot end: give its
/// `with_graceful_shutdown` what [`Node::shutting_down`](crate::Node::shutting_down) returns.
#[derive(Debug)]
#[must_use = "a listener that is dropped serves nothing"]
pub struct AcceptedFlows(Listener);

impl Listener {
    /// Accepts every flow, for a server that takes TCP connections as well.
    pub fn accept_all(self) -> AcceptedFlows {
        AcceptedFlows(self)
    }
}

impl AcceptedFlows {
    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Option<FlowStream>> {
        let incoming = ready!(self.0.poll_incoming(cx));
        Poll::Ready(incoming.map(crate::IncomingFlow::accept))
    }
}

#[cfg(feature = "axum")]
mod for_axum {
    use std::future::{pending, poll_fn};
    use std::io;

    use axum::extract::connect_info::Connected;
    use axum::serve::{IncomingStream, Listener};

    use super::{AcceptedFlows, FlowInfo, FlowStream};

    impl Listener for AcceptedFlows {
        type Io = FlowStream;
        type Addr = FlowInfo;

        async fn accept(&mut self) -> (FlowStream, FlowInfo) {
            match poll_fn(|cx| self.poll_accept(cx)).await {
                Some(flow) => {
                    let info = flow.info().clone();
                    (flow, info)
                }
                // The node shuts down, which the trait has no way to say.
                None => pending().await,
            }
        }

        fn local_addr(&self) -> io::Result<FlowInfo> {
            Err(io::Error::new(io::ErrorKind::Unsupported, "a service of a node has no address"))
        }
    }

    impl Connected<IncomingStream<'_, AcceptedFlows>> for FlowInfo {
        fn connect_info(stream: IncomingStream<'_, AcceptedFlows>) -> Self {
            stream.remote_addr().clone()
        }
    }
}

#[cfg(feature = "tonic")]
mod for_tonic {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use futures_core::Stream;
    use tonic::transport::server::Connected;

    use super::{AcceptedFlows, FlowInfo, FlowStream};

    impl Stream for AcceptedFlows {
        type Item = Result<FlowStream, Infallible>;

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.poll_accept(cx).map(|flow| flow.map(Ok))
        }
    }

    impl Connected for FlowStream {
        type ConnectInfo = FlowInfo;

        fn connect_info(&self) -> FlowInfo {
            self.info().clone()
        }
    }
}
