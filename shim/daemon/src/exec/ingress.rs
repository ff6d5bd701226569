//! The ingress of the running daemon, as a client of SOCKS5.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use fast_socks5::client::{Config, Socks5Stream};
use fast_socks5::util::target_addr::TargetAddr;
use fast_socks5::{AuthenticationMethod, Socks5Command, SocksError};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::error::ExecError;
use super::files;
use crate::proxy::ingress::credentials::Credentials;
use crate::proxy::udp;

/// How long the ingress has to answer what it can say by itself.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What to do where no ingress answers.
const HINT: &str =
    "start the daemon, or name an ingress of kind \"socks5\" or \"proxy\" by -c or --proxy";

/// What to do where none answers to a program of another `exec`.
const NESTED_HINT: &str = "this is a program of another `throughline exec`, and goes through the daemon already: leave \
    this `exec` out, or run it outside";

/// An ingress: where it is, and what it wants of its clients.
#[derive(Clone, Debug)]
pub struct Ingress {
    /// Its address.
    pub addr: SocketAddr,
    /// Its password, if it has one.
    pub credentials: Option<Credentials>,
}

impl Ingress {
    /// Checks whether it would serve us.
    ///
    /// # Errors
    /// It would not, or is not there.
    pub(super) async fn check(&self) -> Result<(), ExecError> {
        let addr = self.addr;
        let hint = if files::is_in_place() { NESTED_HINT } else { HINT };
        let no_ingress = |source| ExecError::NoIngress { addr, source, hint };
        let elapsed = || no_ingress(io::ErrorKind::TimedOut.into());
        let connecting = timeout(TIMEOUT, TcpStream::connect(addr)).await;
        let connection = connecting.map_err(|_| elapsed())?.map_err(no_ingress)?;
        // One that is let in and asks for nothing would be in the daemon's log as if it had failed.
        let asking = timeout(TIMEOUT, self.associate_over(connection)).await;
        let associated = asking.map_err(|_| elapsed())?;
        associated
            .map(drop)
            .map_err(|error| ExecError::NotSocks5 { addr, reason: error.to_string() })
    }

    /// Returns a connection to a destination, whose outcome this waits for.
    pub(super) async fn connect(&self, target: TargetAddr) -> Result<TcpStream, SocksError> {
        let mut stream = self.greet(TcpStream::connect(self.addr).await?).await?;
        stream.request(Socks5Command::TCPConnect, target).await?;
        Ok(stream.get_socket())
    }

    /// Returns an association for datagrams: its connection, and a socket that is connected to it.
    pub(super) async fn associate(&self) -> Result<(TcpStream, UdpSocket), SocksError> {
        let associating = async { self.associate_over(TcpStream::connect(self.addr).await?).await };
        let elapsed = |_| SocksError::Io(io::ErrorKind::TimedOut.into());
        timeout(TIMEOUT, associating).await.map_err(elapsed)?
    }

    async fn associate_over(
        &self,
        connection: TcpStream,
    ) -> Result<(TcpStream, UdpSocket), SocksError> {
        let mut stream = self.greet(connection).await?;
        let socket = UdpSocket::bind((stream.get_socket_ref().local_addr()?.ip(), 0)).await?;
        udp::report_class(&socket);
        let ours = TargetAddr::Ip(socket.local_addr()?);
        match stream.request(Socks5Command::UDPAssociate, ours).await? {
            TargetAddr::Ip(theirs) => socket.connect(theirs).await?,
            TargetAddr::Domain(..) => {
                return Err(io::Error::from(io::ErrorKind::InvalidData).into());
            }
        }
        Ok((stream.get_socket(), socket))
    }

    async fn greet(&self, connection: TcpStream) -> Result<Socks5Stream<TcpStream>, SocksError> {
        let _ = connection.set_nodelay(true);
        let method = self.credentials.clone().map(|Credentials { username, password }| {
            AuthenticationMethod::Password { username, password }
        });
        Socks5Stream::use_stream(connection, method, Config::default()).await
    }
}
