//! Where an intercepted connection was to go.

use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::TcpStream;

/// Why nothing goes to an address that stands for no name.
pub(super) const FORGOTTEN: &str =
    "no name is known that this address stands for; the program has kept it for too long";

/// Returns the destination that a program had asked for; none for a connection that was not intercepted.
///
/// The kernel's connection tracking remembers it. Whoever connects to the port itself has asked for just that.
#[cfg(target_os = "linux")]
pub fn original(tcp: &TcpStream) -> Option<SocketAddr> {
    let (local, socket) = (canonical(tcp.local_addr().ok()?), SockRef::from(tcp));
    let original = match local {
        SocketAddr::V4(_) => socket.original_dst_v4(),
        SocketAddr::V6(_) => socket.original_dst_v6(),
    };
    let original = canonical(original.ok()?.as_socket()?);
    (original != local).then_some(original)
}

/// Returns none, as nothing is intercepted here.
#[cfg(not(target_os = "linux"))]
pub fn original(_: &TcpStream) -> Option<SocketAddr> {
    None
}

/// Returns an address as what it is: the listener takes both versions of IP, and sees IPv4 as mapped addresses.
pub fn canonical(addr: SocketAddr) -> SocketAddr {
    // Without the scope of a link, which is not the destination's.
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_nobody_intercepted_has_no_other_destination() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert_eq!(original(&accepted), None);
        drop(client);
    }
}
