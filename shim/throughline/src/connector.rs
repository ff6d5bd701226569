//! Lets HTTP clients open flows as they open TCP connections: hyper-util's client, and tonic's channels.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tower_service::Service;

use crate::node::{ConnectError, Node};
use crate::stream::FlowStream;
use throughline_proto::types::{Mode, ParseTargetError, PeerId, Target};

/// Opens a flow to a peer for each connection of an HTTP client: a `tower::Service<Uri>`, for
/// `hyper_util::client::legacy::Client` and tonic's `Endpoint::connect_with_connector`.
///
/// A flow leads to the host and port of the URI, behind the peer; or to what [`to`](Self::to) says, whatever the URI
/// names. It has no TLS of its own, as lanes are encrypted; for an origin that wants `https` put hyper-rustls'
/// connector around this one. A client that keeps connections alive keeps flows, which outlive an ISP.
///
/// ```
/// use http_body_util::Empty;
/// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
/// use throughline::{Connector, Node, PeerId, Target};
///
/// fn client(node: &Node, peer: PeerId) -> Client<Connector, Empty<bytes::Bytes>> {
///     let connector = Connector::new(node.clone(), peer).to(Target::service("web"));
///     Client::builder(TokioExecutor::new()).build(connector)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Connector {
    node: Node,
    peer: PeerId,
    to: Option<Target>,
    mode: Mode,
}

/// Why a connection of an HTTP client could not be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectorError {
    /// The URI does not say where to connect.
    #[error("`{0}` has no host to connect to; write the whole URI, or give the connector a target")]
    NoHost(Uri),
    /// The URI has no port, nor a scheme with a usual one.
    #[error("`{0}` has no port, and neither scheme `http` nor `https`; add the port")]
    NoPort(Uri),
    /// The URI's host is neither an address nor a name.
    #[error("cannot connect to `{uri}`: {source}")]
    Host {
        /// The URI.
        uri: Uri,
        /// What is wrong with the host.
        source: ParseTargetError,
    },
    /// The flow could not be opened.
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

impl Connector {
    /// Makes a connector whose flows leave `node` for `peer`, in [`Mode::Auto`].
    #[must_use]
    pub fn new(node: Node, peer: PeerId) -> Self {
        Self { node, peer, to: None, mode: Mode::Auto }
    }

    /// Opens all flows to `target`, such as a service of the peer, whatever host a URI names.
    #[must_use]
    pub fn to(mut self, target: Target) -> Self {
        self.to = Some(target);
        self
    }

    /// Opens flows in this mode, which says how they use lanes.
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<FlowStream>;
    type Error = ConnectorError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectorError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectorError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { node, peer, to, mode } = self.clone();
        Box::pin(async move {
            let target = to.map_or_else(|| target_of(&uri), Ok)?;
            Ok(TokioIo::new(node.connect_with(peer, target, mode).await?))
        })
    }
}

impl Connection for FlowStream {
    /// Returns the [`FlowInfo`](crate::FlowInfo), which clients find among the extensions of a response.
    fn connected(&self) -> Connected {
        Connected::new().extra(self.info().clone())
    }
}

/// Returns where a URI leads.
fn target_of(uri: &Uri) -> Result<Target, ConnectorError> {
    let Some(host) = uri.host().filter(|host| !host.is_empty()) else {
        return Err(ConnectorError::NoHost(uri.clone()));
    };
    let usual = match uri.scheme_str() {
        Some("http") => Some(80),
        Some("https") => Some(443),
        _ => None,
    };
    let Some(port) = uri.port_u16().or(usual) else {
        return Err(ConnectorError::NoPort(uri.clone()));
    };
    match host.parse() {
        Ok(host) => Ok(Target::Tcp { host, port }),
        Err(source) => Err(ConnectorError::Host { uri: uri.clone(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> String {
        match target_of(&uri.parse().unwrap()) {
            Ok(target) => target.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_uri_leads_to_its_host_and_port() {
        assert_eq!(target("http://web.example/x"), "web.example:80");
        assert_eq!(target("https://web.example"), "web.example:443");
        assert_eq!(target("http://192.0.2.1:8080/"), "192.0.2.1:8080");
        assert_eq!(target("http://[2001:db8::1]:8080/"), "[2001:db8::1]:8080");
        assert_eq!(target("grpc://web.example:50051"), "web.example:50051");
        assert_eq!(
            target("grpc://web.example"),
            "`grpc://web.example/` has no port, and neither scheme `http` nor `https`; add the port"
        );
        assert!(target("http://a~b/").starts_with("cannot connect to `http://a~b/`: "));
        assert_eq!(
            target("/only/a/path"),
            "`/only/a/path` has no host to connect to; write the whole URI, or give the connector a target"
        );
    }
}
