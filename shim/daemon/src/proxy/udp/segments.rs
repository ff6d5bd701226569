//! Sends datagrams, each of its traffic class, and many with few calls: on Linux the kernel takes those that follow each
//! other and are of one length and class, as a bulk transfer's are, as one piece that it cuts (UDP_SEGMENT).
//!
//! The class goes with each call, and is no option of the socket: what another task sends by the same socket has its own.

use std::io;
use std::net::SocketAddr;

#[cfg(not(target_os = "linux"))]
use socket2::SockRef;
use tokio::net::UdpSocket;

use throughline::Datagram;

/// The most that the kernel cuts of one piece (UDP_MAX_SEGMENTS of Linux before 6.9), and the bytes of it, which are
/// those of one datagram of IPv4.
#[cfg(target_os = "linux")]
const MAX_SEGMENTS: usize = 64;
#[cfg(target_os = "linux")]
const MAX_BYTES: usize = 65_507;

/// Sends datagrams, each after `header`, to the socket's peer or to an address, and leaves the list empty. What the kernel
/// does not take is lost, as in the network.
///
/// # Errors
/// The first that is [final](super::is_final); the datagrams that follow it are lost.
pub async fn send_many(
    socket: &UdpSocket,
    to: Option<SocketAddr>,
    header: &[u8],
    datagrams: &mut Vec<Datagram>,
) -> io::Result<()> {
    let sent = send_all(socket, to, header, datagrams).await;
    datagrams.clear();
    sent
}

async fn send_all(
    socket: &UdpSocket,
    to: Option<SocketAddr>,
    header: &[u8],
    mut datagrams: &[Datagram],
) -> io::Result<()> {
    while !datagrams.is_empty() {
        let (run, rest) = datagrams.split_at(run_len(header.len(), datagrams));
        datagrams = rest;
        if run.len() > 1 {
            match send_run(socket, to, header, run).await {
                // Nothing of it has left: the error is of an earlier datagram, or the kernel, the device or the path
                // does not take such a piece.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                Err(error) if super::is_final(&error) => return Err(error),
                Err(error) if !may_have_left(&error) => {}
                Ok(()) | Err(_) => continue,
            }
        }
        for datagram in run {
            if let Err(error) = send(socket, to, header, datagram).await
                && super::is_final(&error)
            {
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Returns whether a part of a piece may have left although the kernel had no room for all of it: none is sent twice.
#[cfg(target_os = "linux")]
fn may_have_left(error: &io::Error) -> bool {
    use nix::libc::{ENOBUFS, ENOMEM};
    error.raw_os_error().is_some_and(|code| [ENOBUFS, ENOMEM].contains(&code))
}

#[cfg(not(target_os = "linux"))]
fn may_have_left(_: &io::Error) -> bool {
    false
}

/// Sends a datagram after `header`, to the socket's peer or to an address.
///
/// # Errors
/// The system's.
pub async fn send(
    socket: &UdpSocket,
    to: Option<SocketAddr>,
    header: &[u8],
    datagram: &Datagram,
) -> io::Result<()> {
    if !datagram.class.is_default() {
        return send_run(socket, to, header, std::slice::from_ref(datagram)).await;
    }
    let with_header;
    let bytes = match header.is_empty() {
        true => &datagram.payload[..],
        false => {
            with_header = [header, &datagram.payload[..]].concat();
            &with_header
        }
    };
    match to {
        Some(to) => socket.send_to(bytes, to).await.map(drop),
        None => socket.send(bytes).await.map(drop),
    }
}

/// Sends a datagram to the socket's peer, if there is room for it at once.
///
/// # Errors
/// The system's, `WouldBlock` among them.
pub fn try_send(socket: &UdpSocket, datagram: &Datagram) -> io::Result<()> {
    if datagram.class.is_default() {
        return socket.try_send(&datagram.payload).map(drop);
    }
    let run = std::slice::from_ref(datagram);
    socket.try_io(tokio::io::Interest::WRITABLE, || send_now(socket, None, &[], run))
}

/// Returns how many go in one piece: all of one class, and of one length but the last, which may be shorter.
#[cfg(target_os = "linux")]
fn run_len(header: usize, datagrams: &[Datagram]) -> usize {
    use std::sync::LazyLock;

    use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};

    /// A kernel before 4.18 does not know what it is to cut, and would send one long datagram.
    static KERNEL_CUTS: LazyLock<bool> = LazyLock::new(|| {
        let socket = std::net::UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0));
        socket.is_ok_and(|socket| setsockopt(&socket, UdpGsoSegment, &1200).is_ok())
    });
    match *KERNEL_CUTS {
        true => cut_len(header, datagrams),
        false => datagrams.len().min(1),
    }
}

#[cfg(target_os = "linux")]
fn cut_len(header: usize, datagrams: &[Datagram]) -> usize {
    let Some(Datagram { payload, class }) = datagrams.first() else { return 0 };
    let first = payload.len();
    // An empty one has nothing to cut.
    if header + first == 0 {
        return 1;
    }
    let most = (MAX_BYTES / (header + first)).clamp(1, MAX_SEGMENTS);
    let of_class = datagrams.iter().take(most).take_while(|next| next.class == *class);
    let mut lengths = of_class.map(|datagram| datagram.payload.len());
    let mut same = 0;
    loop {
        match lengths.next() {
            Some(len) if len == first => same += 1,
            Some(shorter) if shorter < first && header + shorter > 0 => return same + 1,
            _ => return same,
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn run_len(_: usize, datagrams: &[Datagram]) -> usize {
    datagrams.len().min(1)
}

async fn send_run(
    socket: &UdpSocket,
    to: Option<SocketAddr>,
    header: &[u8],
    run: &[Datagram],
) -> io::Result<()> {
    let send = || send_now(socket, to, header, run);
    socket.async_io(tokio::io::Interest::WRITABLE, send).await
}

/// Sends datagrams of one class and length, with one call.
#[cfg(target_os = "linux")]
fn send_now(
    socket: &UdpSocket,
    to: Option<SocketAddr>,
    header: &[u8],
    run: &[Datagram],
) -> io::Result<()> {
    use std::io::IoSlice;
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};

    let Some(Datagram { payload, class }) = run.first() else { return Ok(()) };
    let len = u16::try_from(header.len() + payload.len()).map_err(io::Error::other)?;
    let to = to.map(SockaddrStorage::from);
    let parts = run.iter().flat_map(|datagram| [header, &datagram.payload[..]]);
    let parts: Vec<_> = parts.filter(|part| !part.is_empty()).map(IoSlice::new).collect();
    let (v4, v6) = (class.to_byte(), i32::from(class.to_byte()));
    // The class for both versions of IP, of which the kernel takes that of the address: a socket of IPv6 may have either.
    let all = [
        ControlMessage::UdpGsoSegments(&len),
        ControlMessage::Ipv4Tos(&v4),
        ControlMessage::Ipv6TClass(&v6),
    ];
    let control = &all[usize::from(run.len() == 1)..if class.is_default() { 1 } else { 3 }];
    let (fd, none) = (socket.as_raw_fd(), MsgFlags::empty());
    sendmsg(fd, &parts, control, none, to.as_ref()).map(drop).map_err(io::Error::from)
}

/// Sends one datagram. Nobody is told of which class it is.
#[cfg(not(target_os = "linux"))]
fn send_now(
    socket: &UdpSocket,
    to: Option<SocketAddr>,
    header: &[u8],
    run: &[Datagram],
) -> io::Result<()> {
    let Some(Datagram { payload, .. }) = run.first() else { return Ok(()) };
    let bytes = [header, &payload[..]].concat();
    match to {
        Some(to) => SockRef::from(socket).send_to(&bytes, &to.into()).map(drop),
        None => SockRef::from(socket).send(&bytes).map(drop),
    }
}

#[cfg(test)]
#[path = "segments/tests.rs"]
mod tests;
