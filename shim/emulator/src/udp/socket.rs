//! A UDP socket drained in batches: GRO in, GSO out.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};

use bytes::Bytes;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};

/// Asked of the kernel for every socket, so that nothing is lost beside the emulated queues while
/// the thread waits for a CPU: at 1 Gbit/s it lasts 30 ms. Linux grants what `rmem_max` allows.
const SOCKET_BUFFER: usize = 4 << 20;
/// Buffers of one `recvmmsg`, each for a batch of up to 64 KiB that GRO has put together.
const BATCHES: usize = 8;
/// The longest UDP payload.
const BATCH_BYTES: usize = 65_536;

/// A UDP socket with its offloads.
pub(in super::super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    local_addr: SocketAddr,
}

impl Socket {
    pub(in super::super) fn bind(addr: SocketAddr) -> io::Result<Self> {
        use socket2::{Domain, Protocol, Socket, Type};
        let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
        // A smaller buffer than asked for is no error.
        let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
        socket.bind(&addr.into())?;
        let io: UdpSocket = socket.into();
        let state = UdpSocketState::new((&io).into())?;
        let local_addr = io.local_addr()?;
        Ok(Self { io, state, local_addr })
    }

    pub(in super::super) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Drains the socket; `take` gets each batch with the length of its datagrams.
    pub(in super::super) fn receive(
        &self,
        buffer: &mut [u8],
        mut take: impl FnMut(&RecvMeta, Bytes),
    ) {
        loop {
            let mut meta = [RecvMeta::default(); BATCHES];
            let mut chunks = buffer.chunks_exact_mut(BATCH_BYTES);
            let mut slices: [_; BATCHES] =
                std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            let count = match self.state.recv((&self.io).into(), &mut slices, &mut meta) {
                Ok(count) => count,
                Err(_) => return,
            };
            for (slice, meta) in slices.iter().zip(&meta).take(count) {
                if meta.len > 0 {
                    take(meta, Bytes::copy_from_slice(&slice[..meta.len]));
                }
            }
            // Fewer than asked for: the socket is empty, and need not say so in another call.
            if count < BATCHES {
                return;
            }
        }
    }

    /// Sends; a datagram that cannot be sent is lost, as datagrams are.
    pub(in super::super) fn send(&self, transmit: &Transmit<'_>) {
        let _ = self.state.send((&self.io).into(), transmit);
    }

    /// Returns how many datagrams one send may hold.
    pub(in super::super) fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Returns a buffer for [`receive`](Self::receive).
    pub(in super::super) fn buffer() -> Vec<u8> {
        vec![0; BATCHES * BATCH_BYTES]
    }
}
