//! SOCKS5 (RFC 1928) ingress: CONNECT, with a password (RFC 1929) where one is configured.
//!
//! A name is never resolved here; it leaves as a name and is resolved at the far side. The reply to
//! CONNECT waits for the far side's outcome and carries it, so that an application is never told of
//! a connection that is not there.

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

use crate::proxy::accept::accept_loop;
use crate::proxy::route::{RouteError, Router, join};
use crate::proxy::tasks::Tasks;
use throughline_proto::types::{FailureCode, Host, Target, unrepeated};

/// From the connection to the whole request: seconds more than any honest client needs.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a refused client has to read why and to close.
const GOODBYE: Duration = Duration::from_secs(1);

/// The one user an ingress knows. Its `Debug` does not show the password.
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
    fn are(&self, username: &str, password: &str) -> bool {
        // Digests are compared so that the time taken tells nothing of the password.
        let digest = |text: &str| Sha256::digest(text.as_bytes());
        (digest(username) == digest(&self.username)) & (digest(password) == digest(&self.password))
    }
}

/// Serves the listener until the tasks are drained.
pub async fn serve(
    listener: TcpListener,
    ingress: Arc<str>,
    credentials: Option<Credentials>,
    router: Arc<Router>,
    tasks: Tasks,
) {
    let name = Arc::clone(&ingress);
    let credentials = Arc::new(credentials);
    accept_loop(listener, &name, &tasks, |tcp, from| {
        let (ingress, router) = (Arc::clone(&ingress), Arc::clone(&router));
        let credentials = Arc::clone(&credentials);
        async move {
            let open = |target: Target| {
                debug!(%ingress, %from, %target, "connection");
                let (ingress, router) = (&ingress, &router);
                async move { Ok((router.open(ingress, target.clone()).await?, target)) }
            };
            match serve_client(tcp, (*credentials).as_ref(), open).await {
                Ok((tcp, (outbound, target))) => join(tcp, outbound, &ingress, &target).await,
                Err(error) => info!(%ingress, %from, %error, "client turned away"),
            }
        }
    })
    .await;
}

/// Why a client got no connection.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the client speaks no SOCKS5 we accept: {0}")]
    Protocol(#[from] SocksServerError),
    #[error("the client sent no whole request within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Slow,
    #[error("{0:?} is not supported, only CONNECT")]
    Command(Socks5Command),
    #[error("{0} is no host name")]
    Name(TargetAddr),
    #[error("{target}: {}", unrepeated(&target.to_string(), &error.to_string()))]
    Route { target: Target, error: RouteError },
}

/// Speaks SOCKS5 with a client, opens what it asks for with `open`, and replies.
async fn serve_client<T, F, Fut>(
    mut tcp: TcpStream,
    credentials: Option<&Credentials>,
    open: F,
) -> Result<(TcpStream, T), Refusal>
where
    F: FnOnce(Target) -> Fut,
    Fut: Future<Output = Result<T, RouteError>>,
{
    // Fails only on a connection that is dead already, which the first read will tell.
    let _ = tcp.set_nodelay(true);
    match converse(&mut tcp, credentials, open).await {
        Ok(opened) => Ok((tcp, opened)),
        Err(refusal) => {
            say_goodbye(tcp).await;
            Err(refusal)
        }
    }
}

async fn converse<T, F, Fut>(
    tcp: &mut TcpStream,
    credentials: Option<&Credentials>,
    open: F,
) -> Result<T, Refusal>
where
    F: FnOnce(Target) -> Fut,
    Fut: Future<Output = Result<T, RouteError>>,
{
    let request = timeout(HANDSHAKE_TIMEOUT, async {
        authenticate(tcp, credentials).await?.read_command().await
    });
    let (protocol, command, address) = request.await.map_err(|_| Refusal::Slow)??;
    if !matches!(command, Socks5Command::TCPConnect) {
        protocol.reply_error(&ReplyError::CommandNotSupported).await?;
        return Err(Refusal::Command(command));
    }
    let Some(target) = target(&address) else {
        protocol.reply_error(&ReplyError::HostUnreachable).await?;
        return Err(Refusal::Name(address));
    };
    match open(target.clone()).await {
        Ok(opened) => {
            // The far side's address is none of ours; RFC 1928 clients do not use it.
            protocol.reply_success(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))).await?;
            Ok(opened)
        }
        Err(error) => {
            protocol.reply_error(&reply(error.code())).await?;
            Err(Refusal::Route { target, error })
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
            if credentials.are(&username, &password) {
                Ok(Socks5ServerProtocol::finish_auth(received.accept().await?))
            } else {
                received.reject().await?;
                Err(SocksServerError::AuthenticationRejected)
            }
        }
    }
}

/// Where the client wants to go. A name stays a name; an address written as a name is an address.
fn target(address: &TargetAddr) -> Option<Target> {
    let (host, port) = match address {
        TargetAddr::Ip(address) => (Host::Ip(address.ip()), address.port()),
        TargetAddr::Domain(name, port) => (Host::parse(name).ok()?, *port),
    };
    (port != 0).then_some(Target::Tcp { host, port })
}

/// The reply (RFC 1928 §6) that tells a failure best.
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

/// Closes so that the client can still read the reply: closing with unread bytes would reset the
/// connection, and the reset overtakes the reply.
async fn say_goodbye(mut tcp: TcpStream) {
    let drained = async {
        tcp.shutdown().await?;
        let mut scratch = [0; 1024];
        while tcp.read(&mut scratch).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Neither a slow nor a failed goodbye matters to anybody.
    let _ = timeout(GOODBYE, drained).await;
}

#[cfg(test)]
mod tests;
