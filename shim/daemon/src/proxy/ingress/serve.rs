//! Serves an ingress: each connection by what the ingress takes and what the client speaks.
//!
//! | | SOCKS5 | SOCKS4a | HTTP | TLS |
//! |---|---|---|---|---|
//! | `socks5` | served | rejected | told in HTTP | told in HTTP |
//! | `http` | told: no method | rejected | served | told in HTTP |
//! | `proxy` | served | served | served | told in HTTP |

use std::sync::Arc;

use bytes::Bytes;
use tracing::info;

use super::accept::accept_loop;
use super::dispatcher::Dispatcher;
use super::handshake::refuse;
use super::http::{Answer, Service};
use super::kind::{IngressKind, LiveIngress, Now};
use super::listener::Listener;
use super::opening::{OpeningError, Protocol, protocol_of};
use super::outbound::Arrival;
use super::proxy_protocol::Ends;
use super::{forward, http, intercept, socks4, socks5};
use crate::proxy::connections::Gate;
use crate::proxy::refusals::RefusalLog;
use crate::proxy::relay::close_with_reset;
use crate::proxy::stream::{ClientAddr, Stream};
use crate::proxy::tasks::Tasks;

/// No method of authentication is acceptable (RFC 1928 §3): the one thing that can be said in SOCKS5 to
/// whoever reached something else.
const NO_METHOD: [u8; 2] = [5, 0xff];

/// Serves the listener until the ingress is closed or the tasks are draining: each connection as the ingress
/// is configured when it is accepted.
pub async fn serve(
    listener: Arc<Listener>,
    ingress: LiveIngress,
    dispatcher: Arc<Dispatcher>,
    tasks: Tasks,
) {
    let (refusals, streams) = (Arc::new(RefusalLog::default()), Gate::default());
    let connections = dispatcher.connections().clone();
    accept_loop(listener, &ingress, &connections, &tasks, |mut tcp, from, set_up| {
        let Now { name, kind, proxy_protocol, clients } = ingress.now();
        let arrival = Arrival { ingress: name, freezer: connections.freezer.clone(), set_up };
        let service = Arc::new(Service {
            ingress: ingress.clone(),
            dispatcher: Arc::clone(&dispatcher),
            tasks: tasks.clone(),
            streams: streams.clone(),
            refusals: Arc::clone(&refusals),
        });
        async move {
            if !clients.admit(from.ip().map(|from| from.ip())) {
                log(&service, from, "its address is in none of the networks of `allow-from`");
                return close_with_reset(tcp);
            }
            let ends = Box::pin(proxy_protocol.ends(&mut tcp, from));
            match arrival.freezer.unless_given(ends).await {
                None => close_with_reset(tcp),
                Some(Ok(ends)) => {
                    let first = proxy_protocol.first_bytes(ends);
                    Box::pin(serve_client(tcp, (ends, first), &kind, service, arrival)).await;
                }
                // Nothing can be said to whoever sits before the client.
                Some(Err(error)) => {
                    log(&service, from, &error.to_string());
                    close_with_reset(tcp);
                }
            }
        }
    })
    .await;
}

/// Serves a client by what it speaks. Each way is boxed: a connection has room for its own, and not for the
/// largest of all.
async fn serve_client(
    tcp: Stream,
    (ends, first): (Ends, Bytes),
    kind: &IngressKind,
    service: Arc<Service>,
    arrival: Arrival,
) {
    let from = ends.from;
    tcp.set_nodelay();
    let (ingress, credentials) = (&*service.ingress.name(), kind.credentials());
    let (dispatcher, refusals) = (&*service.dispatcher, &*service.refusals);
    if let IngressKind::Forward(to) = kind {
        return Box::pin(forward::serve(tcp, (from, first), arrival, to, dispatcher, refusals))
            .await;
    }
    if kind.intercepts().is_some() {
        return Box::pin(intercept::serve(tcp, from, arrival, dispatcher, refusals)).await;
    }
    let protocol = match arrival.freezer.unless_given(Box::pin(protocol_of(&tcp))).await {
        None => return close_with_reset(tcp),
        Some(Ok(protocol)) => protocol,
        Some(Err(error)) => {
            return Box::pin(say_nothing_came(tcp, from, kind, &service, &error)).await;
        }
    };
    match (kind, protocol) {
        (IngressKind::Socks5(_) | IngressKind::Proxy(_), Protocol::Socks5) => {
            Box::pin(socks5::serve(tcp, from, arrival, credentials, &service)).await;
        }
        (IngressKind::Proxy(_), Protocol::Socks4) => {
            Box::pin(socks4::serve(tcp, from, arrival, credentials, dispatcher, refusals)).await;
        }
        (IngressKind::Http(_) | IngressKind::Proxy(_), Protocol::Http) => {
            Box::pin(http::serve(tcp, (from, ends.reached), service, arrival)).await;
        }
        (IngressKind::Http(_) | IngressKind::Proxy(_), Protocol::Tls) => {
            Box::pin(http::refuse_with(tcp, from, &service, &Answer::not_tls())).await;
        }
        (_, Protocol::Http | Protocol::Tls) => {
            Box::pin(http::refuse_with(tcp, from, &service, &Answer::is_socks(ingress))).await;
        }
        (_, Protocol::Socks5) => {
            log(&service, from, "it speaks SOCKS5, and this port HTTP only");
            Box::pin(refuse(tcp, &NO_METHOD)).await;
        }
        (_, Protocol::Socks4) => {
            log(&service, from, "it speaks SOCKS4, which only the kind \"proxy\" takes");
            Box::pin(refuse(tcp, &socks4::REJECTED)).await;
        }
    }
}

/// Lets a client go that sent nothing; one that may speak HTTP is told so.
async fn say_nothing_came(
    tcp: Stream,
    from: ClientAddr,
    kind: &IngressKind,
    service: &Service,
    error: &OpeningError,
) {
    match (kind, error) {
        (IngressKind::Http(_) | IngressKind::Proxy(_), OpeningError::Timeout) => {
            http::refuse_with(tcp, from, service, &Answer::timed_out(&error.to_string())).await;
        }
        _ => log(service, from, &error.to_string()),
    }
}

fn log(service: &Service, from: ClientAddr, error: &str) {
    if let Some(suppressed) = service.refusals.admit() {
        info!(ingress = %service.ingress.name(), %from, %error, suppressed, "client refused");
    }
}
