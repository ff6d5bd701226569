//! UDP sockets: how datagrams are read from them, and written, many at once where there are many.

mod segments;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::LazyLock;

use bytes::Bytes;
use socket2::SockRef;
use tokio::net::UdpSocket;

pub use self::segments::send_many;

/// The longest datagram that UDP has.
const MAX_DATAGRAM: usize = 65_535;

thread_local! {
    /// Where a datagram is read before it is known how long it is: one for each thread, as thousands of flows have a
    /// socket each.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; MAX_DATAGRAM].into());
}

/// The ports that Linux gives to sockets that ask for none, where it does not say which.
const USUAL_PORTS: usize = 28_232;

/// Returns how many sockets of UDP a peer may have, and all together: a quarter and half of the ports that the system
/// gives out, so that this host's own programs find one.
pub fn socket_limits() -> (usize, usize) {
    static PORTS: LazyLock<usize> = LazyLock::new(|| {
        let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
        let range = text.ok().and_then(|text| {
            let mut ports = text.split_whitespace().map(|port| port.parse::<usize>().ok());
            Some((ports.next()??, ports.next()??))
        });
        range.map_or(USUAL_PORTS, |(first, last)| last.saturating_sub(first) + 1)
    });
    (*PORTS / 4, *PORTS / 2)
}

/// What a socket of many clients asks of the kernel for datagrams that wait to be read; the kernel gives at most
/// `net.core.rmem_max`. With its own records, for which it doubles this, a datagram of 1,200 bytes counts 2,300: 8 ms at
/// 1 Gbit/s, as long as a busy machine may keep us from reading.
const CLIENTS_BUFFER: usize = 1 << 20;

/// Has datagrams of clients wait rather than be dropped while we are busy. The sockets of the egress, of which there may
/// be thousands, keep what the system gives.
pub fn enlarge_buffer<S: AsFd>(socket: &S) {
    // A small buffer loses datagrams under load but works; so this may fail.
    let _ = SockRef::from(socket).set_recv_buffer_size(CLIENTS_BUFFER);
}

/// Returns whether a connected socket is of no more use after an error: nobody listens at the destination, or the
/// source address or the route that it was connected with is gone. Other errors of ICMP pass (RFC 1122 §3.2.2.1).
pub fn is_final(error: &io::Error) -> bool {
    use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, InvalidInput, NetworkUnreachable};
    let kinds = [ConnectionRefused, NetworkUnreachable, AddrNotAvailable, InvalidInput];
    kinds.contains(&error.kind())
}

/// Waits for a datagram on a connected socket. Cancel-safe.
///
/// # Errors
/// What ICMP said of an earlier datagram, such as `ConnectionRefused`; a later call may succeed.
pub async fn receive(socket: &UdpSocket) -> io::Result<Bytes> {
    loop {
        socket.readable().await?;
        let received = BUFFER.with_borrow_mut(|buffer| {
            let len = socket.try_recv(buffer)?;
            io::Result::Ok(Bytes::copy_from_slice(&buffer[..len]))
        });
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => return received,
        }
    }
}

/// Waits for a datagram, and returns who sent it. Cancel-safe.
///
/// # Errors
/// The system's.
pub async fn receive_from(socket: &UdpSocket) -> io::Result<(Bytes, SocketAddr)> {
    loop {
        socket.readable().await?;
        let received = BUFFER.with_borrow_mut(|buffer| {
            let (len, from) = socket.try_recv_from(buffer)?;
            io::Result::Ok((Bytes::copy_from_slice(&buffer[..len]), from))
        });
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => return received,
        }
    }
}

/// The most that is read, and passed on, at once: other tasks of this thread have their turn in between.
pub const AT_ONCE: usize = 32;

/// Waits for datagrams on a connected socket, and adds those that are there to the list. Cancel-safe.
///
/// # Errors
/// As [`receive`], after what was read before it, which is in the list.
pub async fn receive_many(socket: &UdpSocket, received: &mut Vec<Bytes>) -> io::Result<()> {
    all_there(socket, received, |buffer| {
        let len = socket.try_recv(buffer)?;
        Ok(Bytes::copy_from_slice(&buffer[..len]))
    })
    .await
}

/// Waits for datagrams, and adds those that are there to the list, with who sent them. Cancel-safe.
///
/// # Errors
/// The system's, after what was read before it, which is in the list.
pub async fn receive_many_from(
    socket: &UdpSocket,
    received: &mut Vec<(Bytes, SocketAddr)>,
) -> io::Result<()> {
    all_there(socket, received, |buffer| {
        let (len, from) = socket.try_recv_from(buffer)?;
        Ok((Bytes::copy_from_slice(&buffer[..len]), from))
    })
    .await
}

/// Waits for one at least, and reads those that are there, at most [`AT_ONCE`].
async fn all_there<T>(
    socket: &UdpSocket,
    received: &mut Vec<T>,
    mut receive: impl FnMut(&mut [u8]) -> io::Result<T>,
) -> io::Result<()> {
    let before = received.len();
    loop {
        socket.readable().await?;
        let ended: io::Result<()> = BUFFER.with_borrow_mut(|buffer| {
            while received.len() - before < AT_ONCE {
                received.push(receive(buffer)?);
            }
            Ok(())
        });
        match ended {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if received.len() > before {
                    return Ok(());
                }
            }
            ended => return ended,
        }
    }
}

/// Waits for a datagram, and returns who sent it and, where the kernel says so, to where. Cancel-safe.
///
/// # Errors
/// The system's.
#[cfg(target_os = "linux")]
pub async fn receive_original(
    socket: &UdpSocket,
) -> io::Result<(Bytes, SocketAddr, Option<SocketAddr>)> {
    loop {
        socket.readable().await?;
        let receive = || BUFFER.with_borrow_mut(|buffer| original(socket, buffer));
        match socket.try_io(tokio::io::Interest::READABLE, receive) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => return received,
        }
    }
}

/// Returns a datagram as [`receive_original`] does if the kernel has one, whatever the runtime knows of it.
///
/// # Errors
/// The system's, `WouldBlock` among them.
#[cfg(target_os = "linux")]
pub fn receive_original_now(
    socket: &UdpSocket,
) -> io::Result<(Bytes, SocketAddr, Option<SocketAddr>)> {
    BUFFER.with_borrow_mut(|buffer| original(socket, buffer))
}

#[cfg(target_os = "linux")]
fn original(
    socket: &UdpSocket,
    buffer: &mut [u8],
) -> io::Result<(Bytes, SocketAddr, Option<SocketAddr>)> {
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
    use std::os::fd::AsRawFd;

    use nix::libc::{sockaddr_in, sockaddr_in6};
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};

    let (fd, none) = (socket.as_raw_fd(), MsgFlags::empty());
    let mut control = nix::cmsg_space!(sockaddr_in, sockaddr_in6);
    let mut parts = [io::IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrStorage>(fd, &mut parts, Some(&mut control), none)?;
    let from = message.address.as_ref().and_then(|from| {
        let v4 = from.as_sockaddr_in().map(|v4| SocketAddrV4::from(*v4).into());
        v4.or_else(|| from.as_sockaddr_in6().map(|v6| SocketAddrV6::from(*v6).into()))
    });
    let to = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4OrigDstAddr(to) => {
            let ip = Ipv4Addr::from(u32::from_be(to.sin_addr.s_addr));
            Some(SocketAddr::from((ip, u16::from_be(to.sin_port))))
        }
        ControlMessageOwned::Ipv6OrigDstAddr(to) => {
            let ip = Ipv6Addr::from(to.sin6_addr.s6_addr);
            Some(SocketAddr::from((ip, u16::from_be(to.sin6_port))))
        }
        _ => None,
    });
    let len = message.bytes;
    // The kernel names the sender of each datagram.
    let from = from.ok_or(io::ErrorKind::InvalidData)?;
    Ok((Bytes::copy_from_slice(&buffer[..len]), from, to))
}

/// Waits for datagrams, and adds those that are there to the list, with who sent them and, where the kernel says so, to
/// where. Cancel-safe.
///
/// # Errors
/// The system's, after what was read before it, which is in the list.
#[cfg(target_os = "linux")]
pub async fn receive_many_original(
    socket: &UdpSocket,
    received: &mut Vec<(Bytes, SocketAddr, Option<SocketAddr>)>,
) -> io::Result<()> {
    all_there(socket, received, |buffer| {
        socket.try_io(tokio::io::Interest::READABLE, || original(socket, buffer))
    })
    .await
}

/// Fails: nothing is intercepted here.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub async fn receive_many_original(
    _: &UdpSocket,
    _: &mut Vec<(Bytes, SocketAddr, Option<SocketAddr>)>,
) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Fails: nothing is intercepted here.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub async fn receive_original(
    _: &UdpSocket,
) -> io::Result<(Bytes, SocketAddr, Option<SocketAddr>)> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_a_quarter_of_the_ports_and_all_have_half() {
        let (of_peer, of_all) = socket_limits();
        assert!(0 < of_peer && of_peer * 2 <= of_all, "{of_peer} of {of_all}");
        assert!(of_all <= 32_768);
    }

    #[test]
    fn a_route_that_is_gone_is_final_and_a_host_that_does_not_answer_is_not() {
        use io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, InvalidInput};
        for kind in [ConnectionRefused, AddrNotAvailable, InvalidInput] {
            assert!(is_final(&kind.into()), "{kind}");
        }
        assert!(!is_final(&HostUnreachable.into()));
    }
}
