//! Which sockets of UDP the namespace has: whether one of the program's is still there nobody tells.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where the kernel lists those of the namespace of the thread that reads it.
const LISTS: [&str; 2] = ["/proc/thread-self/net/udp", "/proc/thread-self/net/udp6"];

/// The addresses at which there are sockets.
#[derive(Debug, Default)]
pub(super) struct UdpSockets(HashSet<SocketAddr>);

impl UdpSockets {
    /// Returns those of this thread's namespace.
    ///
    /// # Errors
    /// The system does not list those of IPv4.
    pub(super) fn of_this_thread() -> io::Result<Self> {
        let [v4, v6] = LISTS.map(fs::read_to_string);
        // A host without IPv6 has no such list.
        let text = v4? + &v6.unwrap_or_default();
        Ok(Self(text.lines().filter_map(local_addr).collect()))
    }

    /// Returns whether one may have sent from this address: it is bound to it, or to all.
    pub(super) fn has(&self, from: SocketAddr) -> bool {
        let any = [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)];
        let mut at = any.into_iter().chain([from.ip()]);
        at.any(|ip| self.0.contains(&SocketAddr::new(ip, from.port())))
    }
}

/// Returns the second field of a line: an address as 32 bits in this machine's order each, and a port.
fn local_addr(line: &str) -> Option<SocketAddr> {
    let (ip, port) = line.split_whitespace().nth(1)?.split_once(':')?;
    let mut parts = ip.as_bytes().chunks(8).map(|part| {
        let part = u32::from_str_radix(std::str::from_utf8(part).ok()?, 16).ok()?;
        Some(part.to_ne_bytes())
    });
    let first = parts.next()??;
    let ip = match ip.len() {
        8 => IpAddr::from(first),
        32 => {
            let [second, third, last] = [parts.next()??, parts.next()??, parts.next()??];
            let bytes: [u8; 16] = [first, second, third, last].concat().try_into().ok()?;
            IpAddr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_socket_is_there_until_it_is_closed() {
        let at = |ip: &str| UdpSocket::bind((ip, 0));
        let Ok(loopback) = at("127.0.0.1") else { panic!("no loopback") };
        let any = at("0.0.0.0").unwrap();
        let v6 = at("::1");
        let of = |socket: &UdpSocket| socket.local_addr().unwrap();
        let sockets = UdpSockets::of_this_thread().unwrap();
        assert!(sockets.has(of(&loopback)));
        assert!(!sockets.has(SocketAddr::from(([127, 0, 0, 2], of(&loopback).port()))));
        assert!(sockets.has(SocketAddr::from(([192, 0, 2, 1], of(&any).port()))));
        assert!(v6.is_ok_and(|v6| sockets.has(of(&v6))) || at("::1").is_err());
        let mapped = "  12: 0000000000000000FFFF00000100007F:14E9 0:0 07";
        if cfg!(target_endian = "little") {
            assert_eq!(local_addr(mapped), Some(SocketAddr::from(([127, 0, 0, 1], 5353))));
        }
        let gone = of(&loopback);
        drop(loopback);
        assert!(!UdpSockets::of_this_thread().unwrap().has(gone));
        assert_eq!(local_addr("  sl  local_address rem_address   st tx_queue rx_queue"), None);
    }
}
