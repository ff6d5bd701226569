//! The SOCKS5 ingress (RFC 1928): CONNECT, with a password (RFC 1929) if one is configured.
//!
//! A name is not resolved here but where the flow leaves. The reply to CONNECT waits for the outcome
//! at the far end and carries it, so that no application learns of a connection that does not exist.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fast_socks5::server::{
    NoAuthentication, PasswordAuthentication, Socks5ServerProtocol, SocksServerError, states,
};
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{ReplyError, Socks5Command};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tracing::{debug, info};

use super::accept::accept_loop;
use super::dispatcher::{DispatchError, Dispatcher};
use crate::proxy::tasks::Tasks;
use throughline::{FailureCode, Host, Target};

/// Bounds the time from the connection to the whole request: seconds more than any client needs.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Bounds the time that a refused client has to read the reply and to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The user of an ingress. `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user name, 1 to 255 bytes.
    pub username: String,
    /// The password, 1 to 255 bytes.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({})", self.username)
    }
}

impl Credentials {
    fn matches(&self, username: &str, password: &str) -> bool {
        // Digests are compared so that the duration reveals nothing about the password.
        let digest = |text: &str| Sha256::digest(text.as_bytes());
        (digest(username) == digest(&self.username)) & (digest(password) == digest(&self.password))
    }
}

/// Serves the listener until the tasks are draining.
pub async fn serve(
    listener: TcpListener,
    ingress: Arc<str>,
    credentials: Option<Credentials>,
    dispatcher: Arc<Dispatcher>,
    tasks: Tasks,
) {
    let name = Arc::clone(&ingress);
    let credentials = Arc::new(credentials);
    accept_loop(listener, &name, &tasks, |tcp, from| {
        let (ingress, dispatcher) = (Arc::clone(&ingress), Arc::clone(&dispatcher));
        let credentials = Arc::clone(&credentials);
        async move {
            let open = |target: Target| {
                debug!(%ingress, %from, %target, "connection requested");
                let (ingress, dispatcher) = (&ingress, &dispatcher);
                async move { Ok((dispatcher.open(ingress, target.clone()).await?, target)) }
            };
            match serve_client(tcp, (*credentials).as_ref(), open).await {
                Ok((tcp, (outbound, target))) => outbound.relay(tcp, &ingress, &target).await,
                Err(error) => info!(%ingress, %from, %error, "client refused"),
            }
        }
    })
    .await;
}

/// A client gets no connection.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the client violates SOCKS5 or is not authenticated: {0}")]
    Protocol(#[from] SocksServerError),
    #[error("the client sent no complete request within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
    #[error("the command {0:?} is not supported; use CONNECT")]
    Command(Socks5Command),
    #[error("{0} is not a valid destination")]
    Destination(TargetAddr),
    #[error("{target}: {}", target.strip_from(&error.to_string()))]
    Dispatch { target: Target, error: DispatchError },
}

/// Handles a client's request: opens its target with `open` and replies with the outcome.
async fn serve_client<T, F, Fut>(
    mut tcp: TcpStream,
    credentials: Option<&Credentials>,
    open: F,
) -> Result<(TcpStream, T), Refusal>
where
    F: FnOnce(Target) -> Fut,
    Fut: Future<Output = Result<T, DispatchError>>,
{
    // This fails only on a dead connection, which the first read reports.
    let _ = tcp.set_nodelay(true);
    match negotiate(&mut tcp, credentials, open).await {
        Ok(opened) => Ok((tcp, opened)),
        Err(refusal) => {
            close_gracefully(tcp).await;
            Err(refusal)
        }
    }
}

async fn negotiate<T, F, Fut>(
    tcp: &mut TcpStream,
    credentials: Option<&Credentials>,
    open: F,
) -> Result<T, Refusal>
where
    F: FnOnce(Target) -> Fut,
    Fut: Future<Output = Result<T, DispatchError>>,
{
    let request = timeout(HANDSHAKE_TIMEOUT, async {
        authenticate(tcp, credentials).await?.read_command().await
    });
    let (protocol, command, address) = request.await.map_err(|_| Refusal::Timeout)??;
    if !matches!(command, Socks5Command::TCPConnect) {
        protocol.reply_error(&ReplyError::CommandNotSupported).await?;
        return Err(Refusal::Command(command));
    }
    let Some(target) = target(&address) else {
        protocol.reply_error(&ReplyError::HostUnreachable).await?;
        return Err(Refusal::Destination(address));
    };
    match open(target.clone()).await {
        Ok(opened) => {
            // The address is the far end's business, and clients of CONNECT do not use it.
            protocol.reply_success(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).await?;
            Ok(opened)
        }
        Err(error) => {
            protocol.reply_error(&reply(error.code())).await?;
            Err(Refusal::Dispatch { target, error })
        }
    }
}

type Authenticated<'a> = Socks5ServerProtocol<&'a mut TcpStream, states::Authenticated>;

async fn authenticate<'a>(
    tcp: &'a mut TcpStream,
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
                received.reject().await?;
                Err(SocksServerError::AuthenticationRejected)
            }
        }
    }
}

/// Returns the requested target. A name stays a name; an address written as a name is an address.
fn target(address: &TargetAddr) -> Option<Target> {
    let (host, port) = match address {
        TargetAddr::Ip(address) => (Host::Ip(address.ip()), address.port()),
        TargetAddr::Domain(name, port) => (name.parse().ok()?, *port),
    };
    (port != 0).then_some(Target::Tcp { host, port })
}

/// Returns the reply code (RFC 1928 §6) that fits a failure best.
fn reply(code: FailureCode) -> ReplyError {
    match code {
        FailureCode::Refused => ReplyError::ConnectionRefused,
        FailureCode::HostUnreachable | FailureCode::NameNotFound => ReplyError::HostUnreachable,
        FailureCode::NetworkUnreachable => ReplyError::NetworkUnreachable,
        FailureCode::NotAllowed => ReplyError::ConnectionNotAllowed,
        FailureCode::TimedOut => ReplyError::TtlExpired,
        _ => ReplyError::GeneralFailure,
    }
}

/// Closes so that the client can still read the reply.
///
/// Closing with unread bytes would reset the connection, and the reset overtakes the reply.
async fn close_gracefully(mut tcp: TcpStream) {
    let drained = async {
        tcp.shutdown().await?;
        let mut scratch = [0; 1024];
        while tcp.read(&mut scratch).await? > 0 {}
        std::io::Result::Ok(())
    };
    // The client is refused already; whether it closes in time does not matter.
    let _ = timeout(CLOSE_TIMEOUT, drained).await;
}

#[cfg(test)]
mod tests;
