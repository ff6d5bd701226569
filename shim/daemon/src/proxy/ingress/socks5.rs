//! The SOCKS5 ingress (RFC 1928): CONNECT and UDP ASSOCIATE, with a password (RFC 1929) if one is configured.
//!
//! A name is not resolved here but where the flow leaves. The reply to CONNECT waits for the outcome
//! at the far end and carries it, so that no application learns of a connection that does not exist.

pub(super) mod associate;
mod target;

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use fast_socks5::server::{
    NoAuthentication, PasswordAuthentication, Socks5ServerProtocol, SocksServerError, states,
};
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{ReplyError, Socks5Command};
use tokio::net::UdpSocket;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tracing::{debug, info};

use self::target::tcp_target;
use super::credentials::Credentials;
use super::dispatcher::DispatchError;
use super::handshake::{HANDSHAKE_TIMEOUT, REJECT_DELAY, close_gracefully};
use super::http::Service;
use super::outbound::Arrival;
use crate::proxy::connections::Descriptors;
use crate::proxy::relay::close_with_reset;
use crate::proxy::stream::{ClientAddr, Stream};
use crate::proxy::udp;
use throughline::{FailureCode, Target};
use throughline_proto::types::printable;

/// Serves a client.
pub(super) async fn serve(
    mut tcp: Stream,
    from: ClientAddr,
    arrival: Arrival,
    credentials: Option<&Credentials>,
    service: &Service,
) {
    let (ingress, dispatcher) = (&*Arc::clone(&arrival.ingress), &*service.dispatcher);
    let open = |target| dispatcher.open_requested(ingress, from, target);
    // Boxed: what the handshake takes is not kept for the life of the connection.
    let descriptors = &dispatcher.connections().descriptors;
    let negotiating = Box::pin(negotiate(&mut tcp, credentials, descriptors, open));
    match arrival.freezer.unless_given(negotiating).await {
        None => close_with_reset(tcp),
        Some(Ok(Served::Connected((outbound, target)))) => {
            outbound.relay(tcp, arrival, &target).await;
        }
        Some(Ok(Served::Associated { socket, port, _descriptor })) => {
            debug!(%ingress, %from, "datagrams associated");
            let entering = arrival.freezer.unless_given(arrival.freezer.enter());
            let (Some(place), Some(tcp)) = (entering.await, tcp.into_tcp()) else { return };
            // A hand-over waits for it no more, and finds it at its place.
            drop(arrival);
            let socket = (socket, port);
            Box::pin(associate::serve(tcp, socket, credentials, service, place)).await;
        }
        Some(Err(error)) => {
            drop(arrival);
            close_gracefully(tcp).await;
            if let Some(suppressed) = service.refusals.admit() {
                // It may quote the client.
                let error = error.to_string();
                let error = printable(&error);
                info!(%ingress, %from, %error, suppressed, "client refused");
            }
        }
    }
}

/// What a client got.
enum Served<T> {
    /// The way out that it asked for.
    Connected(T),
    /// A socket for its datagrams, which come from this port if it said so.
    Associated { socket: UdpSocket, port: Option<u16>, _descriptor: OwnedSemaphorePermit },
}

/// A client gets no connection.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the client violates SOCKS5 or is not authenticated: {0}")]
    Protocol(#[from] SocksServerError),
    #[error("the client sent no complete request within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
    #[error("the command {0:?} is not supported; use CONNECT or UDP ASSOCIATE")]
    Command(Socks5Command),
    #[error(
        "UDP ASSOCIATE needs an ingress at an IP address: whose datagrams they are cannot be told of a client of a \
         Unix socket; let it use one at 127.0.0.1"
    )]
    AssociateWithoutAddress,
    #[error("no socket for datagrams: {0}")]
    Associate(String),
    #[error("{0} is not a valid destination")]
    Destination(TargetAddr),
    #[error("{target}: {}", target.strip_from(&error.to_string()))]
    Dispatch { target: Target, error: DispatchError },
}

/// Handles a client's request: opens its target with `open` and replies with the outcome.
async fn negotiate<T, F, Fut>(
    tcp: &mut Stream,
    credentials: Option<&Credentials>,
    descriptors: &Descriptors,
    open: F,
) -> Result<Served<T>, Refusal>
where
    F: FnOnce(Target) -> Fut,
    Fut: Future<Output = Result<T, DispatchError>>,
{
    let local = tcp.local_addr().map(|addr| addr.ip().to_canonical());
    let request = timeout(HANDSHAKE_TIMEOUT, async {
        authenticate(tcp, credentials).await?.read_command().await
    });
    let (protocol, command, address) = request.await.map_err(|_| Refusal::Timeout)??;
    if matches!(command, Socks5Command::UDPAssociate) {
        return associated(protocol, local, descriptors, &address).await;
    }
    if !matches!(command, Socks5Command::TCPConnect) {
        protocol.reply_error(&ReplyError::CommandNotSupported).await?;
        return Err(Refusal::Command(command));
    }
    let Some(target) = tcp_target(&address) else {
        protocol.reply_error(&ReplyError::HostUnreachable).await?;
        return Err(Refusal::Destination(address));
    };
    match open(target.clone()).await {
        Ok(opened) => {
            // The address is the far end's business, and clients of CONNECT do not use it.
            protocol.reply_success(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).await?;
            Ok(Served::Connected(opened))
        }
        Err(error) => {
            protocol.reply_error(&reply(error.code())).await?;
            Err(Refusal::Dispatch { target, error })
        }
    }
}

/// Gives a client a socket for its datagrams, at the address at which it reached this host.
async fn associated<T>(
    protocol: Socks5ServerProtocol<&mut Stream, states::CommandRead>,
    local: Option<IpAddr>,
    descriptors: &Descriptors,
    client: &TargetAddr,
) -> Result<Served<T>, Refusal> {
    let Some(local) = local else {
        protocol.reply_error(&ReplyError::CommandNotSupported).await?;
        return Err(Refusal::AssociateWithoutAddress);
    };
    let bound = async {
        let socket = UdpSocket::bind((local, 0)).await?;
        udp::enlarge_buffer(&socket);
        udp::report_class(&socket);
        let addr = socket.local_addr()?;
        io::Result::Ok((socket, addr))
    };
    let refusal = match (descriptors.try_acquire(), bound.await) {
        (Some(_descriptor), Ok((socket, addr))) => {
            protocol.reply_success(addr).await?;
            let port = match client {
                TargetAddr::Ip(addr) => addr.port(),
                TargetAddr::Domain(_, port) => *port,
            };
            return Ok(Served::Associated {
                socket,
                port: (port != 0).then_some(port),
                _descriptor,
            });
        }
        (None, _) => descriptors.exhausted(),
        (_, Err(error)) => error.to_string(),
    };
    protocol.reply_error(&ReplyError::GeneralFailure).await?;
    Err(Refusal::Associate(refusal))
}

type Authenticated<'a> = Socks5ServerProtocol<&'a mut Stream, states::Authenticated>;

async fn authenticate<'a>(
    tcp: &'a mut Stream,
    credentials: Option<&Credentials>,
) -> Result<Authenticated<'a>, SocksServerError> {
    let protocol = Socks5ServerProtocol::start(tcp);
    match credentials {
        None => {
            let accepted = protocol.negotiate_auth(&[NoAuthentication]).await?;
            Ok(Socks5ServerProtocol::finish_auth(accepted))
        }
        Some(credentials) => {
            let started = protocol.negotiate_auth(&[PasswordAuthentication]).await?;
            let (username, password, received) = started.read_username_password().await?;
            if credentials.matches(&username, &password) {
                Ok(Socks5ServerProtocol::finish_auth(received.accept().await?))
            } else {
                tokio::time::sleep(REJECT_DELAY).await;
                received.reject().await?;
                Err(SocksServerError::AuthenticationRejected)
            }
        }
    }
}

/// Returns the reply code (RFC 1928 §6) that fits a failure best.
fn reply(code: FailureCode) -> ReplyError {
    match code {
        FailureCode::Refused => ReplyError::ConnectionRefused,
        FailureCode::HostUnreachable | FailureCode::NameNotFound => ReplyError::HostUnreachable,
        FailureCode::NetworkUnreachable => ReplyError::NetworkUnreachable,
        FailureCode::NotAllowed => ReplyError::ConnectionNotAllowed,
        FailureCode::TimedOut => ReplyError::TtlExpired,
        // There is no code for a limit. The way is closed for now, and the destination is not to blame.
        FailureCode::LimitReached => ReplyError::NetworkUnreachable,
        _ => ReplyError::GeneralFailure,
    }
}

#[cfg(test)]
mod tests;
