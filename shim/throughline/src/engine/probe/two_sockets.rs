//! Two sockets that QUIC takes for one: it sends from the first, and from the second once that is said.
//!
//! To the other end this is what a NAT does that forgets a mapping: the same connection comes from another port.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller};

/// The two sockets.
#[derive(Debug)]
pub(super) struct TwoSockets {
    sockets: [Arc<dyn AsyncUdpSocket>; 2],
    remote: SocketAddr,
    /// Whether the second one sends.
    switched: AtomicBool,
    /// Whether something has come from `remote` since then, at each.
    heard: [AtomicBool; 2],
}

impl TwoSockets {
    /// Takes two sockets of one family, bound to one address and different ports.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn new(sockets: [UdpSocket; 2], remote: SocketAddr) -> io::Result<Arc<Self>> {
        let [first, other] = sockets.map(|socket| TokioRuntime.wrap_udp_socket(socket));
        let sockets = [first?, other?];
        Ok(Arc::new(Self { sockets, remote, switched: <_>::default(), heard: <_>::default() }))
    }

    /// Sends from the second one from now on.
    pub(super) fn switch(&self) {
        self.switched.store(true, Ordering::Relaxed);
    }

    /// Returns whether something has come since the switch, at the first and at the second.
    pub(super) fn heard(&self) -> [bool; 2] {
        [0, 1].map(|which: usize| self.heard[which].load(Ordering::Relaxed))
    }
}

impl AsyncUdpSocket for TwoSockets {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        // A few packets fill no socket's buffer, so that nobody waits.
        Arc::clone(&self.sockets[0]).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.sockets[usize::from(self.switched.load(Ordering::Relaxed))].try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        for (socket, heard) in self.sockets.iter().zip(&self.heard) {
            if let Poll::Ready(received) = socket.poll_recv(cx, bufs, meta) {
                let count = *received.as_ref().unwrap_or(&0);
                if self.switched.load(Ordering::Relaxed)
                    && meta[..count].iter().any(|meta| meta.addr == self.remote)
                {
                    heard.store(true, Ordering::Relaxed);
                }
                return Poll::Ready(received);
            }
        }
        Poll::Pending
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.sockets[0].local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.sockets[0].max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.sockets[0].max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.sockets[0].may_fragment()
    }
}
