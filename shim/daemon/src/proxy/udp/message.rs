//! One datagram of a socket, with what the kernel says of it: who sent it, of which traffic class it is, and where to it
//! was sent that was intercepted.

use std::io;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio::net::UdpSocket;

use throughline::{Datagram, TrafficClass};

/// The longest datagram that UDP has.
const MAX_DATAGRAM: usize = 65_535;

/// A datagram as a socket gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The datagram, with its class where the socket [reports](super::report_class) it.
    pub datagram: Datagram,
    /// Who sent it.
    pub from: SocketAddr,
    /// To where it was sent, where a socket that intercepts is told so.
    pub to: Option<SocketAddr>,
}

/// Where a datagram is read, and what the kernel says of it.
pub(super) struct Buffers {
    payload: Box<[u8]>,
    #[cfg(target_os = "linux")]
    control: Vec<u8>,
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            payload: vec![0; MAX_DATAGRAM].into(),
            #[cfg(target_os = "linux")]
            control: control(),
        }
    }
}

/// Returns the datagram that is next, if the runtime knows of one.
///
/// # Errors
/// The system's, `WouldBlock` among them.
#[cfg(target_os = "linux")]
pub(super) fn receive(socket: &UdpSocket, buffers: &mut Buffers) -> io::Result<Received> {
    socket.try_io(tokio::io::Interest::READABLE, || receive_now(socket, buffers))
}

/// Returns the datagram that is next, if the runtime knows of one. Nobody says of which class it is.
///
/// # Errors
/// The system's, `WouldBlock` among them.
#[cfg(not(target_os = "linux"))]
pub(super) fn receive(socket: &UdpSocket, buffers: &mut Buffers) -> io::Result<Received> {
    let (len, from) = socket.try_recv_from(&mut buffers.payload)?;
    let payload = Bytes::copy_from_slice(&buffers.payload[..len]);
    let datagram = Datagram { payload, class: TrafficClass::DEFAULT };
    Ok(Received { datagram, from, to: None })
}

/// Room for what the kernel may say of a datagram: its class, as either version of IP has it, and where to it was sent.
#[cfg(target_os = "linux")]
fn control() -> Vec<u8> {
    use nix::libc::{sockaddr_in, sockaddr_in6};
    nix::cmsg_space!(u8, i32, sockaddr_in, sockaddr_in6)
}

/// Returns the datagram that is next, whatever the runtime knows of it.
///
/// # Errors
/// The system's, `WouldBlock` among them.
#[cfg(target_os = "linux")]
pub(super) fn receive_now(socket: &UdpSocket, buffers: &mut Buffers) -> io::Result<Received> {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};

    let (fd, none) = (socket.as_raw_fd(), MsgFlags::empty());
    let mut parts = [io::IoSliceMut::new(&mut buffers.payload)];
    let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut buffers.control), none)?;
    let from = message.address.as_ref().and_then(|from| {
        let v4 = from.as_sockaddr_in().map(|v4| SocketAddrV4::from(*v4).into());
        v4.or_else(|| from.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into()))
    });
    let (mut class, mut to) = (TrafficClass::DEFAULT, None);
    // One that does not fit is none of those: the rest holds.
    for control in message.cmsgs().into_iter().flatten() {
        match control {
            ControlMessageOwned::Ipv4Tos(byte) => class = TrafficClass::from_byte(byte),
            ControlMessageOwned::Ipv6TClass(byte) => class = TrafficClass::from_byte(byte as u8),
            ControlMessageOwned::Ipv4OrigDstAddr(addr) => {
                let ip = Ipv4Addr::from(u32::from_be(addr.sin_addr.s_addr));
                to = Some(SocketAddr::from((ip, u16::from_be(addr.sin_port))));
            }
            ControlMessageOwned::Ipv6OrigDstAddr(addr) => {
                let ip = Ipv6Addr::from(addr.sin6_addr.s6_addr);
                to = Some(SocketAddr::from((ip, u16::from_be(addr.sin6_port))));
            }
            _ => {}
        }
    }
    let len = message.bytes;
    // The kernel names the sender of each datagram.
    let from = from.ok_or(io::ErrorKind::InvalidData)?;
    let payload = Bytes::copy_from_slice(&buffers.payload[..len]);
    Ok(Received { datagram: Datagram { payload, class }, from, to })
}
