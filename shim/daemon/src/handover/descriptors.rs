//! What the descriptors are that come with a state.

use std::io;
use std::os::fd::OwnedFd;

use tokio::net::{TcpStream, UdpSocket};

use crate::proxy::stream::{Stream, StreamKind};
use crate::proxy::udp;

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
    // The process before may not have known of classes.
    udp::report_class(&socket);
    UdpSocket::from_std(socket)
}

fn next(sockets: &mut impl Iterator<Item = OwnedFd>, missing: &str) -> io::Result<OwnedFd> {
    sockets.next().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, missing))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use socket2::SockRef;

    use super::*;

    #[tokio::test]
    async fn a_socket_of_a_process_that_knew_of_no_classes_tells_them_from_now_on() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = std::net::UdpSocket::bind(at) else { continue };
            let of_process = socket.as_fd().try_clone_to_owned().unwrap();
            let handed = udp_socket(&mut [of_process].into_iter()).unwrap();
            let (socket, is_v6) = (SockRef::from(&handed), socket.local_addr().unwrap().is_ipv6());
            assert!(if is_v6 { socket.recv_tclass_v6() } else { socket.recv_tos_v4() }.unwrap());
        }
    }
}
