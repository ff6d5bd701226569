//! What the kernel does for UDP sockets.

use std::io;
use std::net::UdpSocket;

use quinn::udp::UdpSocketState;

/// Returns how many datagrams one call sends (GSO) and receives (GRO): one where the kernel cannot.
///
/// # Errors
/// There is no socket.
pub(crate) fn offloads() -> io::Result<(usize, usize)> {
    let socket = UdpSocket::bind(("127.0.0.1", 0))?;
    let state = UdpSocketState::new((&socket).into())?;
    Ok((state.max_gso_segments(), state.gro_segments()))
}
