//! What an ingress speaks, and what it is called: both may change while it listens.

use std::sync::Arc;

use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;

use super::clients::Clients;
use super::credentials::Credentials;
use super::intercept::traffic::{Protocol, TrafficSelector};
use super::proxy_protocol::ProxyProtocol;
use crate::proxy::connections::Gate;
use throughline::Target;

/// The protocol of an ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IngressKind {
    /// SOCKS5 (RFC 1928), with these credentials if there are any.
    Socks5(Option<Credentials>),
    /// HTTP, as a proxy (RFC 9110 §3.7), with these credentials if there are any.
    Http(Option<Credentials>),
    /// SOCKS5, SOCKS4a or HTTP, as the client begins, with these credentials if there are any.
    Proxy(Option<Credentials>),
    /// None: every connection, or where the target is one of UDP every client's datagrams, go to this target.
    Forward(Target),
    /// None: what programs and other hosts send to anywhere, as far as this selects it.
    Intercept(Box<TrafficSelector>),
}

/// An ingress as its next connection, or request of HTTP, finds it.
#[derive(Clone, Debug)]
pub struct Now {
    /// Its name.
    pub name: Arc<str>,
    /// What it speaks.
    pub kind: IngressKind,
    /// Who says who its clients are, and who is told.
    pub proxy_protocol: ProxyProtocol,
    /// Who its clients may be.
    pub clients: Clients,
}

impl IngressKind {
    /// Returns whether its clients send datagrams, and do not connect.
    pub fn takes_datagrams(&self) -> bool {
        match self {
            Self::Forward(target) => target.takes_datagrams(),
            Self::Intercept(of) => of.protocol == Protocol::Udp,
            Self::Socks5(_) | Self::Http(_) | Self::Proxy(_) => false,
        }
    }

    /// Returns whose connections it intercepts, if it does so.
    pub fn intercepts(&self) -> Option<&TrafficSelector> {
        match self {
            Self::Intercept(selector) => Some(selector),
            _ => None,
        }
    }

    /// Returns what a client needs, if it needs any.
    pub fn credentials(&self) -> Option<&Credentials> {
        match self {
            Self::Socks5(credentials) | Self::Http(credentials) | Self::Proxy(credentials) => {
                credentials.as_ref()
            }
            Self::Forward(_) | Self::Intercept(_) => None,
        }
    }
}

/// An ingress that listens. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct LiveIngress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The lock is a leaf.
    now: RwLock<Now>,
    /// The connections that are served.
    served: Gate,
    closed: CancellationToken,
}

impl LiveIngress {
    /// Creates an ingress.
    pub fn new(now: Now) -> Self {
        Self(Arc::new(Shared {
            now: RwLock::new(now),
            served: Gate::default(),
            closed: CancellationToken::new(),
        }))
    }

    /// Returns what it is called.
    pub fn name(&self) -> Arc<str> {
        self.0.now.read().name.clone()
    }

    /// Returns what it is to the next connection, or request of HTTP.
    pub fn now(&self) -> Now {
        self.0.now.read().clone()
    }

    /// Sets what it is from the next connection, or request of HTTP, on.
    pub fn set(&self, now: Now) {
        *self.0.now.write() = now;
        self.0.served.limit_changed();
    }

    /// Returns what counts its connections.
    pub fn served(&self) -> &Gate {
        &self.0.served
    }

    /// Stops to listen; its connections go on.
    pub fn close(&self) {
        self.0.closed.cancel();
    }

    /// Returns whether it listens no more.
    pub fn is_closed(&self) -> bool {
        self.0.closed.is_cancelled()
    }

    /// Completes when it is to listen no more. Cancel-safe.
    pub async fn closed(&self) {
        self.0.closed.cancelled().await;
    }
}
