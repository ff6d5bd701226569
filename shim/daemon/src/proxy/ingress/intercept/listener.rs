//! The listener of intercepted connections: one socket for both versions of IP, at a port that the system chooses.
//!
//! Its address has to be every address: the kernel redirects a program to loopback, and a host behind a router to
//! the address of the router's interface. The rules let nobody else in, and the [mark](own_sockets) shows them
//! that the socket is ours.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{TcpListener, UdpSocket};

use crate::proxy::{own_sockets, udp};

/// The address as it is configured: any, at a port that the system chooses.
pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

/// Binds such a listener.
///
/// # Errors
/// Without CAP_NET_ADMIN the kernel refuses the mark.
pub fn bind(backlog: u32) -> io::Result<TcpListener> {
    let socket = dual_stack().or_else(|error| match error.kind() {
        // A host without IPv6 has no such address, or no such sockets.
        io::ErrorKind::PermissionDenied => Err(error),
        _ => bound(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, 0).into()),
    })?;
    socket.set_nonblocking(true)?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// Binds a listener of connections to every address of a namespace, which the kernel gives to it as they are (`tproxy`):
/// their local address is where they were to go. They have our [mark](own_sockets), as it has, and are reset when they are
/// closed, unless that is changed.
///
/// # Errors
/// Without CAP_NET_ADMIN the kernel refuses it.
pub fn bind_transparent(backlog: u32) -> io::Result<TcpListener> {
    let bind = |domain, addr| {
        let socket = Socket::new(domain, Type::STREAM, None)?;
        if domain == Domain::IPV6 {
            socket.set_only_v6(false)?;
        }
        set_transparent(&SockRef::from(&socket), domain)?;
        own_sockets::mark(&SockRef::from(&socket))?;
        // Its connections have that from their beginning: between their acceptance and what whoever accepts them can do
        // this process may be killed, and they would come to an end that looks whole.
        socket.set_linger(Some(Duration::ZERO))?;
        socket.bind(&addr)?;
        Ok(socket)
    };
    let socket =
        bind(Domain::IPV6, LISTEN.into()).or_else(|error: io::Error| match error.kind() {
            io::ErrorKind::PermissionDenied => Err(error),
            _ => bind(Domain::IPV4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into()),
        })?;
    socket.set_nonblocking(true)?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// Makes a listener of another process one of interceptions.
///
/// # Errors
/// As [`bind`].
pub fn inherit(listener: TcpListener) -> io::Result<TcpListener> {
    own_sockets::mark(&SockRef::from(&listener))?;
    Ok(listener)
}

/// Binds a socket of intercepted datagrams.
///
/// # Errors
/// Without CAP_NET_ADMIN the kernel refuses it.
pub fn bind_datagrams() -> io::Result<std::net::UdpSocket> {
    let socket = datagrams(Domain::IPV6, LISTEN).or_else(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => Err(error),
        _ => datagrams(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, 0).into()),
    })?;
    Ok(socket.into())
}

/// Makes a socket of another process one of intercepted datagrams.
///
/// # Errors
/// As [`bind_datagrams`].
pub fn inherit_datagrams(socket: std::net::UdpSocket) -> io::Result<std::net::UdpSocket> {
    let domain = Domain::for_address(socket.local_addr()?);
    receive_transparently(&SockRef::from(&socket), domain)?;
    Ok(socket)
}

/// Binds a socket to a destination's address, which is another host's, to answer from there.
///
/// # Errors
/// A program has the port at every address; or as [`bind_datagrams`].
pub fn bind_answers(destination: SocketAddr) -> io::Result<UdpSocket> {
    let domain = Domain::for_address(destination);
    let socket = Socket::new(domain, Type::DGRAM, None)?;
    set_transparent(&SockRef::from(&socket), domain)?;
    own_sockets::mark(&SockRef::from(&socket))?;
    // Beside a program that allows it.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&destination.into())?;
    UdpSocket::from_std(socket.into())
}

fn datagrams(domain: Domain, addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, None)?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(false)?;
    }
    receive_transparently(&SockRef::from(&socket), domain)?;
    udp::enlarge_buffer(&socket);
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// Has a socket take what is for other hosts, and say where to that was.
#[cfg(target_os = "linux")]
fn receive_transparently(socket: &SockRef<'_>, domain: Domain) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    set_transparent(socket, domain)?;
    if domain == Domain::IPV6 {
        setsockopt(&**socket, sockopt::Ipv6OrigDstAddr, &true)?;
    }
    // One of IPv6 takes both.
    setsockopt(&**socket, sockopt::Ipv4OrigDstAddr, &true)?;
    Ok(())
}

/// Has a socket take and send with addresses that are not this host's.
#[cfg(target_os = "linux")]
fn set_transparent(socket: &SockRef<'_>, domain: Domain) -> io::Result<()> {
    match domain == Domain::IPV6 {
        true => socket.set_ip_transparent_v6(true),
        false => socket.set_ip_transparent_v4(true),
    }
}

/// Fails: nothing is intercepted here.
#[cfg(not(target_os = "linux"))]
fn receive_transparently(_: &SockRef<'_>, _: Domain) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: nothing is intercepted here.
#[cfg(not(target_os = "linux"))]
fn set_transparent(_: &SockRef<'_>, _: Domain) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn dual_stack() -> io::Result<Socket> {
    bound(Domain::IPV6, LISTEN)
}

fn bound(domain: Domain, addr: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::STREAM, None)?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(false)?;
    }
    own_sockets::mark(&SockRef::from(&socket))?;
    socket.bind(&addr.into())?;
    Ok(socket)
}
