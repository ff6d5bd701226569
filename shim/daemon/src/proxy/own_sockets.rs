//! The mark of this process's own sockets, by which an interception leaves their connections alone.
//!
//! The mark is the socket's, not its user's or its cgroup's: a daemon may share both with the programs whose
//! connections it intercepts. A socket that cannot be marked is not used while anything is intercepted, so
//! that no connection of ours can come back to us.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

/// The mark (`SO_MARK`). No common mask has these bits: Kubernetes masks 0xc000, Tailscale 0xff0000, Cilium
/// 0x0f00, Calico the upper half. Every throughline has the same, so that two on one host do not intercept
/// each other.
pub const OWN_MARK: u32 = 0x54;

/// Whether sockets are marked. Of the process, as its sockets are: whichever daemon in it intercepts.
static MARKING: AtomicBool = AtomicBool::new(false);

/// Has the sockets marked that connect from now on, or not.
pub fn set_marking(marking: bool) {
    MARKING.store(marking, Ordering::SeqCst);
}

/// Connects to `address`, and is not intercepted.
pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if MARKING.load(Ordering::SeqCst) {
        mark(&SockRef::from(&socket))?;
    }
    socket.connect(address).await
}

/// Returns a socket of UDP that is connected to `address`, and is not intercepted.
pub async fn connect_udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    if MARKING.load(Ordering::SeqCst) {
        mark(&SockRef::from(&socket))?;
    }
    socket.connect(address).await?;
    Ok(socket)
}

/// Marks a socket as one of our own.
///
/// # Errors
/// Without CAP_NET_ADMIN the kernel refuses it.
#[cfg(target_os = "linux")]
pub fn mark(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_mark(OWN_MARK)
}

/// Marks a socket as one of our own, which only Linux can.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn mark(_: &SockRef<'_>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
