//! UDP sockets bound to their source: a lane never leaves from another address than its own
//! (BCP 38: the wrong ISP would drop it).

use std::io;
use std::net::{SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Buffer size asked of the kernel for each direction; it gives at most `net.core.{r,w}mem_max` (212 kB unless
/// raised). 4 MiB is 16 ms at 2 Gbit/s: as long as a busy machine may keep us from reading.
const BUFFER_SIZE: usize = 4 << 20;

/// The options of a lane's socket besides its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SocketOptions {
    /// Bind to this interface too (`SO_BINDTODEVICE`), so that the route is its own whatever the
    /// routing table says. Linux only; needs no privilege since Linux 5.7.
    pub(crate) device: Option<String>,
}

/// Opens a non-blocking UDP socket bound to `local`.
///
/// The DF bit (RFC 8899 needs it) is set by `quinn-udp` when it takes the socket.
///
/// # Errors
/// The system's; `AddrNotAvailable` where `local` is not ours (any more), `AddrInUse` where its
/// port is taken, `Unsupported` where this system cannot bind to an interface.
pub(crate) fn bind(local: SocketAddr, options: &SocketOptions) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    if local.is_ipv6() {
        // Or `[::]` and `0.0.0.0` could not both be listened on.
        socket.set_only_v6(true)?;
    }
    if let Some(device) = &options.device {
        bind_to_device(&socket, device)?;
    }
    // Small buffers lose packets under load but work; so this may fail.
    let _ = socket.set_recv_buffer_size(BUFFER_SIZE);
    let _ = socket.set_send_buffer_size(BUFFER_SIZE);
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(local))?;
    Ok(socket.into())
}

#[cfg(target_os = "linux")]
fn bind_to_device(socket: &Socket, device: &str) -> io::Result<()> {
    socket.bind_device(Some(device.as_bytes()))
}

#[cfg(not(target_os = "linux"))]
fn bind_to_device(_: &Socket, device: &str) -> io::Result<()> {
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        format!("cannot bind to interface {device} on this system; name the uplink by its prefix"),
    ))
}

/// Returns what to do about an address that cannot be listened on.
pub(crate) fn bind_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "stop the program that has it, or choose another port",
        io::ErrorKind::AddrNotAvailable => "choose an address of this host",
        io::ErrorKind::PermissionDenied => {
            "choose a port above 1023, or run with CAP_NET_BIND_SERVICE"
        }
        _ => "choose another address",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_socket_is_bound_to_its_source_and_does_not_block() {
        let socket = bind(local("127.0.0.9:0"), &SocketOptions::default()).unwrap();
        assert_eq!(socket.local_addr().unwrap().ip().to_string(), "127.0.0.9");
        let error = socket.recv(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn both_families_can_listen_on_one_port() {
        let Ok(v6) = bind(local("[::]:0"), &SocketOptions::default()) else {
            eprintln!("skipped: no IPv6 here");
            return;
        };
        let port = v6.local_addr().unwrap().port();
        bind(SocketAddr::new([0, 0, 0, 0].into(), port), &SocketOptions::default()).unwrap();
    }

    #[test]
    fn an_address_that_is_not_ours_is_refused() {
        let error = bind(local("192.0.2.1:0"), &SocketOptions::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn a_taken_port_is_refused() {
        let first = bind(local("127.0.0.1:0"), &SocketOptions::default()).unwrap();
        let error = bind(first.local_addr().unwrap(), &SocketOptions::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_can_be_bound_to_an_interface() {
        let on = |device: &str| SocketOptions { device: Some(device.to_owned()) };
        bind(local("127.0.0.1:0"), &on("lo")).unwrap();
        bind(local("127.0.0.1:0"), &on("no-such-if0")).unwrap_err();
    }
}
