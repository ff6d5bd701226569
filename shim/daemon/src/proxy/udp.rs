//! UDP sockets: how datagrams are read from them, and written, many at once where there are many.

mod message;
mod segments;

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::sync::LazyLock;

use socket2::SockRef;
use tokio::net::UdpSocket;

use self::message::Buffers;
pub use self::message::Received;
pub use self::segments::{send, send_many, try_send};
use throughline::Datagram;

thread_local! {
    /// Where a datagram is read before it is known how long it is: one for each thread, as thousands of flows have a
    /// socket each.
    static BUFFERS: RefCell<Buffers> = RefCell::default();
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

/// Has a socket say of which traffic class each datagram was that it gives, also of those that wait in it already.
pub fn report_class<S: AsFd>(socket: &S) {
    let socket = SockRef::from(socket);
    // One that cannot has an IP without such a byte, or a system that tells nobody: the default class. One of IPv6 may
    // take both versions.
    let _ = socket.set_recv_tclass_v6(true);
    let _ = socket.set_recv_tos_v4(true);
}

/// Waits for a datagram on a connected socket. Cancel-safe.
///
/// # Errors
/// What ICMP said of an earlier datagram, such as `ConnectionRefused`; a later call may succeed.
pub async fn receive(socket: &UdpSocket) -> io::Result<Datagram> {
    receive_from(socket).await.map(|received| received.datagram)
}

/// Waits for a datagram. Cancel-safe.
///
/// # Errors
/// The system's.
pub async fn receive_from(socket: &UdpSocket) -> io::Result<Received> {
    loop {
        socket.readable().await?;
        match BUFFERS.with_borrow_mut(|buffers| message::receive(socket, buffers)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => return received,
        }
    }
}

/// Returns a datagram if the kernel has one, whatever the runtime knows of it.
///
/// # Errors
/// The system's, `WouldBlock` among them.
#[cfg(target_os = "linux")]
pub fn receive_now(socket: &UdpSocket) -> io::Result<Received> {
    BUFFERS.with_borrow_mut(|buffers| message::receive_now(socket, buffers))
}

/// The most that is read, and passed on, at once: other tasks of this thread have their turn in between.
pub const AT_ONCE: usize = 32;

/// Waits for datagrams on a connected socket, and adds those that are there to the list. Cancel-safe.
///
/// # Errors
/// As [`receive`], after what was read before it, which is in the list.
pub async fn receive_many(socket: &UdpSocket, received: &mut Vec<Datagram>) -> io::Result<()> {
    all_there(socket, received, |received| received.datagram).await
}

/// Waits for datagrams, and adds those that are there to the list. Cancel-safe.
///
/// # Errors
/// The system's, after what was read before it, which is in the list.
pub async fn receive_many_from(socket: &UdpSocket, received: &mut Vec<Received>) -> io::Result<()> {
    all_there(socket, received, |received| received).await
}

/// Waits for one at least, and reads those that are there, at most [`AT_ONCE`].
async fn all_there<T>(
    socket: &UdpSocket,
    received: &mut Vec<T>,
    wanted: impl Fn(Received) -> T,
) -> io::Result<()> {
    let before = received.len();
    loop {
        socket.readable().await?;
        let ended: io::Result<()> = BUFFERS.with_borrow_mut(|buffers| {
            while received.len() - before < AT_ONCE {
                received.push(wanted(message::receive(socket, buffers)?));
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
