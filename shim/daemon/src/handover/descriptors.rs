//! What the descriptors are that come with a state.

use std::io;
use std::os::fd::OwnedFd;

use tokio::net::{TcpStream, UdpSocket};

use crate::proxy::stream::{Stream, StreamKind};

/// Returns the next of `sockets`, an application's connection of this kind.
pub(super) fn stream(
    sockets: &mut impl Iterator<Item = OwnedFd>,
    kind: StreamKind,
) -> io::Result<Stream> {
    Stream::inherit(next(sockets, "a relay has no connection")?, kind)
}

/// Returns the next of `sockets`, a connection by TCP.
pub(super) fn tcp_stream(sockets: &mut impl Iterator<Item = OwnedFd>) -> io::Result<TcpStream> {
    let tcp =
        std::net::TcpStream::from(next(sockets, "a relay or an association has no connection")?);
    tcp.set_nonblocking(true)?;
    TcpStream::from_std(tcp)
}

/// Returns the next of `sockets`, one of UDP.
pub(super) fn udp_socket(sockets: &mut impl Iterator<Item = OwnedFd>) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::from(next(sockets, "a flow of datagrams has no socket")?);
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn next(sockets: &mut impl Iterator<Item = OwnedFd>, missing: &str) -> io::Result<OwnedFd> {
    sockets.next().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, missing))
}
