//! A single datagram that every acceptor answers, on a connected socket: so the kernel says what routers, hosts and
//! packet filters have answered in its place.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::time::{Instant, sleep};

use crate::doctor::observation::{Refusal, Refused, UdpAnswer};
use throughline_proto::wire::path_probe::PathProbe;

/// How often the socket is looked at. An error alone wakes nobody who waits for it to be readable.
const POLL: Duration = Duration::from_millis(10);

/// When the datagram is sent again, since it may be lost, and a neighbour's address has to be asked for first.
const RESEND_TIMES: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(900)];

/// Sends a probe from an address, over an interface if one is named, and waits for what comes of it; with it comes the
/// largest packet that leaves, where the kernel knows.
pub(super) async fn probe(
    (local, device): (IpAddr, Option<&str>),
    remote: SocketAddr,
    limit: Duration,
) -> (UdpAnswer, Option<u32>) {
    let socket = match open(local, device, remote) {
        Ok(socket) => socket,
        Err(error) => return (UdpAnswer::Failed(error.to_string()), None),
    };
    let answer = ask(&socket, limit).await;
    // By now routers have said what they do not let pass.
    (answer, path_mtu(&socket))
}

async fn ask(socket: &UdpSocket, limit: Duration) -> UdpAnswer {
    let probe = PathProbe::new(rand::random(), rand::random());
    let began = Instant::now();
    let mut again = RESEND_TIMES.iter().peekable();
    if let Err(error) = socket.send(&probe.to_bytes()) {
        return failure(socket, &error);
    }
    let mut datagram = [0; 256];
    while began.elapsed() < limit {
        match socket.recv(&mut datagram) {
            Ok(length) if probe.is_answered_by(&datagram[..length]) => return UdpAnswer::Answered,
            Ok(_) => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return failure(socket, &error),
        }
        if again.next_if(|at| began.elapsed() >= **at).is_some()
            && let Err(error) = socket.send(&probe.to_bytes())
        {
            return failure(socket, &error);
        }
        sleep(POLL).await;
    }
    UdpAnswer::Silent
}

/// Returns the MTU of a connected socket's path: that of the interface, or what routers have said (ip(7), `IP_MTU`).
#[cfg(target_os = "linux")]
fn path_mtu(socket: &UdpSocket) -> Option<u32> {
    use nix::sys::socket::{getsockopt, sockopt};
    if socket.local_addr().ok()?.is_ipv6() {
        return None;
    }
    getsockopt(socket, sockopt::IpMtu).ok()?.try_into().ok()
}

#[cfg(not(target_os = "linux"))]
fn path_mtu(_: &UdpSocket) -> Option<u32> {
    None
}

/// Opens a socket that does not block, from an address, over an interface if one is named, to `remote`.
pub(super) fn open(
    local: IpAddr,
    device: Option<&str>,
    remote: SocketAddr,
) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(remote), Type::DGRAM, Some(Protocol::UDP))?;
    #[cfg(target_os = "linux")]
    socket.bind_device(device.map(str::as_bytes))?;
    #[cfg(not(target_os = "linux"))]
    let _ = device;
    queue_errors(&socket, remote.is_ipv4());
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(SocketAddr::new(local, 0)))?;
    socket.connect(&SockAddr::from(remote))?;
    Ok(socket.into())
}

/// Says what an error of the socket means; who has sent an ICMP error is in the socket's queue of errors.
fn failure(socket: &UdpSocket, error: &io::Error) -> UdpAnswer {
    // "Operation not permitted" is a packet filter's; a route that prohibits is "permission denied".
    if error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error()) {
        return UdpAnswer::NotPermitted;
    }
    if let Some(refusal) = queued(socket) {
        return UdpAnswer::Refused(refusal);
    }
    let what = match error.kind() {
        io::ErrorKind::ConnectionRefused => Refused::Port,
        io::ErrorKind::PermissionDenied => Refused::Prohibited,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Refused::Unreachable,
        _ => return UdpAnswer::Failed(error.to_string()),
    };
    UdpAnswer::Refused(Refusal { by: None, what })
}

/// Has the kernel keep who sent an error (ip(7), `IP_RECVERR`).
#[cfg(target_os = "linux")]
fn queue_errors(socket: &Socket, v4: bool) {
    use nix::sys::socket::{setsockopt, sockopt};
    // Without it the error is known, and not whose it is.
    let _ = match v4 {
        true => setsockopt(socket, sockopt::Ipv4RecvErr, &true),
        false => setsockopt(socket, sockopt::Ipv6RecvErr, &true),
    };
}

#[cfg(not(target_os = "linux"))]
fn queue_errors(_: &Socket, _: bool) {}

/// Returns the first error of the queue that an ICMP message has caused.
#[cfg(target_os = "linux")]
fn queued(socket: &UdpSocket) -> Option<Refusal> {
    use nix::libc::{sock_extended_err, sockaddr_in6};
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
    use std::os::fd::AsRawFd;

    let mut payload = [0; 64];
    let mut parts = [io::IoSliceMut::new(&mut payload)];
    let mut control = nix::cmsg_space!(sock_extended_err, sockaddr_in6);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)
            .ok()?;
    message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, by) => {
            let by = by.map(|by| IpAddr::from(u32::from_be(by.sin_addr.s_addr).to_be_bytes()));
            Some(Refusal { by, what: refused_v4(error.ee_origin, error.ee_type, error.ee_code)? })
        }
        ControlMessageOwned::Ipv6RecvErr(error, by) => {
            let by = by.map(|by| IpAddr::from(by.sin6_addr.s6_addr));
            Some(Refusal { by, what: refused_v6(error.ee_origin, error.ee_type, error.ee_code)? })
        }
        _ => None,
    })
}

#[cfg(not(target_os = "linux"))]
fn queued(_: &UdpSocket) -> Option<Refusal> {
    None
}

/// `SO_EE_ORIGIN_ICMP` and `SO_EE_ORIGIN_ICMP6` (linux/errqueue.h).
#[cfg(target_os = "linux")]
const ICMP: u8 = 2;
#[cfg(target_os = "linux")]
const ICMP6: u8 = 3;

/// What "destination unreachable" says (RFC 792; RFC 1812 §5.2.7.1). That a packet is too large is no refusal.
#[cfg(target_os = "linux")]
fn refused_v4(origin: u8, kind: u8, code: u8) -> Option<Refused> {
    match (origin, kind, code) {
        (ICMP, 3, 3) => Some(Refused::Port),
        (ICMP, 3, 9 | 10 | 13) => Some(Refused::Prohibited),
        (ICMP, 3, code) if code != 4 => Some(Refused::Unreachable),
        _ => None,
    }
}

/// The same with ICMPv6 (RFC 4443 §3.1).
#[cfg(target_os = "linux")]
fn refused_v6(origin: u8, kind: u8, code: u8) -> Option<Refused> {
    match (origin, kind, code) {
        (ICMP6, 1, 4) => Some(Refused::Port),
        (ICMP6, 1, 1 | 5 | 6) => Some(Refused::Prohibited),
        (ICMP6, 1, _) => Some(Refused::Unreachable),
        _ => None,
    }
}
