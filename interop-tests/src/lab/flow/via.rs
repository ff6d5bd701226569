//! How a flow gets to the server: through Throughline, or by a socket of the kernel.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use fast_socks5::client::{Config, Socks5Stream};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::Congestion;

/// A way to the server.
#[derive(Clone, Debug)]
pub enum Via {
    /// The SOCKS5 ingress at this address; servers are the far daemon's neighbours.
    Socks(SocketAddr),
    /// Plain TCP.
    Tcp(TcpRoute),
    /// Multipath TCP (RFC 8684), as the kernel does it.
    Mptcp(IpAddr),
}

/// Between which addresses plain TCP runs, and how it controls congestion.
#[derive(Clone, Copy, Debug)]
pub struct TcpRoute {
    /// The client's address; nothing where routing picks it.
    pub from: Option<IpAddr>,
    /// The server's.
    pub to: IpAddr,
    /// Of both ends.
    pub congestion: Congestion,
}

/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;

impl Via {
    /// Opens a port for one flow, on all of the server's addresses.
    pub(super) fn listen(&self) -> io::Result<TcpListener> {
        let socket = self.socket(Domain::IPV6)?;
        socket.set_only_v6(false)?;
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    }

    /// Connects to a port of the server.
    pub(super) async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        let stream = match self {
            Self::Socks(proxy) => {
                let stream =
                    Socks5Stream::connect(proxy, "127.0.0.1".into(), port, Config::default());
                stream.await.map_err(io::Error::other)?.get_socket()
            }
            Self::Tcp(TcpRoute { to, .. }) | Self::Mptcp(to) => {
                let domain = if to.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
                let socket = self.socket(domain)?;
                if let Self::Tcp(TcpRoute { from: Some(from), .. }) = self {
                    socket.bind(&SocketAddr::from((*from, 0)).into())?;
                }
                match socket.connect(&SocketAddr::from((*to, port)).into()) {
                    Err(error) if error.raw_os_error() != Some(IN_PROGRESS) => return Err(error),
                    _ => {}
                }
                let stream = TcpStream::from_std(socket.into())?;
                stream.writable().await?;
                if let Some(error) = stream.take_error()? {
                    return Err(error);
                }
                stream
            }
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    fn socket(&self, domain: Domain) -> io::Result<Socket> {
        let protocol = match self {
            Self::Mptcp(_) => Protocol::MPTCP,
            Self::Socks(_) | Self::Tcp(_) => Protocol::TCP,
        };
        let socket = Socket::new(domain, Type::STREAM, Some(protocol))?;
        if let Self::Tcp(TcpRoute { congestion, .. }) = self
            && let Some(name) = congestion.name()
        {
            // Sockets that are accepted have it from the one that listens.
            socket.set_tcp_congestion(name.as_bytes())?;
        }
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

/// `EINPROGRESS`: what a non-blocking connect says.
const IN_PROGRESS: i32 = nix::errno::Errno::EINPROGRESS as i32;
