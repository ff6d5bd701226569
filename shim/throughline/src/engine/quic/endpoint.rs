//! Endpoints that take packets as large as loopback's and those of jumbo frames.
//!
//! How large a packet may be is decided three times: by the link ([`payload_of`]), by what the receiver
//! announces ([`receivable`]), and by the search for the path's MTU in between (RFC 8899).
//!
//! **Buffers.** quinn receives into 32 buffers, each of as many datagrams of the largest size as the system
//! may hand over at once. The system never hands over more than 64 KiB together, whatever the size of the
//! datagrams; so [`LaneSocket`] says how many fit in that, or 32 buffers of 64 datagrams of 64 KiB would
//! be 128 MiB for each endpoint. One that dials has shorter ones still ([`shared_buffer`]). In the same way the system
//! takes at most 64 KiB at once to send.

mod shared_buffer;

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use parking_lot::Mutex;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{
    AsyncTimer, AsyncUdpSocket, Endpoint, EndpointConfig, Runtime, ServerConfig, TokioRuntime,
    UdpPoller,
};
use socket2::SockRef;
use tokio::sync::Notify;

use super::cuts::Cuts;
use super::meter::Meter;
use throughline_proto::wire::restart_notice;

/// The most bytes of a UDP datagram in an IPv4 packet of 64 KiB.
const MAX_PAYLOAD: u16 = 65_507;

/// The largest packet that is searched for: the first congestion window (64 KiB) holds four, and so does
/// what the system takes at once. quinn sends nothing while the window has no room for a whole packet, the
/// end of a connection included.
const LARGEST_PACKET: u16 = MAX_PAYLOAD / 4;

/// The most datagrams that quinn makes at once.
const MAX_BATCH: usize = 10;

/// What an Ethernet frame holds beside the headers of IPv4 and UDP.
const ETHERNET_PAYLOAD: u16 = 1472;

/// The payload that is searched for on every path: an Ethernet frame with the headers of IPv6.
pub(crate) const STANDARD_PAYLOAD: u16 = 1452;

/// The headers of IPv4 and UDP; of IPv6 and UDP.
const IPV4_HEADERS: u32 = 28;
const IPV6_HEADERS: u32 = 48;

/// The packets of the largest size that a socket's receive buffer has to hold. The kernel counts some
/// hundred bytes more for each, and its buffer twice (socket(7)).
const PACKETS_IN_BUFFER: usize = 32;

/// Opens an endpoint on `socket`.
///
/// # Errors
/// The system's.
pub(crate) fn open(
    mut config: EndpointConfig,
    server: Option<ServerConfig>,
    socket: UdpSocket,
    reception: Reception,
    (cuts, meter): (Cuts, Meter),
) -> io::Result<Endpoint> {
    let payload = receivable(&socket);
    config.max_udp_payload_size(payload).map_err(io::Error::other)?;
    Endpoint::new(config, server, socket, Arc::new(LaneRuntime { payload, reception, cuts, meter }))
}

/// What becomes of what arrives at a socket, besides that the endpoint has it.
#[derive(Clone, Debug)]
pub(crate) enum Reception {
    /// Nothing: lanes are accepted there, while the gate is open.
    Accepting(ReadGate),
    /// Notices of a restart are heard: a lane is dialed there.
    Dialing(Notices),
}

/// Whether an endpoint reads its socket. One that has been given to another process is left to that one,
/// while this one still sends on it: that its connections are over. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadGate(Arc<Mutex<GateState>>);

#[derive(Debug, Default)]
struct GateState {
    is_shut: bool,
    /// The task that would have read the socket.
    waiting: Option<Waker>,
}

impl ReadGate {
    /// Creates one that is shut.
    pub(crate) fn shut() -> Self {
        Self(Arc::new(Mutex::new(GateState { is_shut: true, waiting: None })))
    }

    /// Leaves the socket unread from now on, or reads it again.
    pub(crate) fn set_shut(&self, shut: bool) {
        let waiting = {
            let mut state = self.0.lock();
            state.is_shut = shut;
            state.waiting.take_if(|_| !shut)
        };
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Returns whether the socket is not to be read; wakes the task when it is again.
    fn is_shut(&self, cx: &Context<'_>) -> bool {
        let mut state = self.0.lock();
        if state.is_shut {
            state.waiting = Some(cx.waker().clone());
        }
        state.is_shut
    }
}

/// Whose notices of a restart ([`restart_notice`]) are heard at a lane's socket, and who is woken by one.
#[derive(Clone, Debug)]
pub(crate) struct Notices {
    pub(crate) from: SocketAddr,
    pub(crate) heard: Arc<Notify>,
}

impl Notices {
    /// Wakes who waits for notices where a datagram is one. What the system received together is of one size,
    /// so that the first says what all are.
    fn take_note(&self, buffer: &[u8], meta: &RecvMeta) {
        let datagram = &buffer[..meta.len.min(meta.stride).min(buffer.len())];
        if restart_notice::is_notice(datagram) && meta.addr == self.from {
            self.heard.notify_one();
        }
    }
}

/// Returns the largest datagram that we let a peer send us: with the default buffers of Linux (208 KiB)
/// jumbo frames, with megabytes what loopback takes.
fn receivable(socket: &UdpSocket) -> u16 {
    let buffer = SockRef::from(socket).recv_buffer_size().unwrap_or(0);
    let payload = u16::try_from(buffer / PACKETS_IN_BUFFER).unwrap_or(u16::MAX);
    payload.clamp(ETHERNET_PAYLOAD, LARGEST_PACKET)
}

/// Returns the largest payload to search for on a path to `remote`, whose link has this MTU where both ends
/// are on it. Through a router the internet's is assumed: a search above it costs packets every minute.
pub(crate) fn payload_of(link_mtu: Option<u32>, remote: IpAddr) -> u16 {
    let payload = link_mtu.map_or(0, |mtu| mtu.saturating_sub(headers(remote)));
    u16::try_from(payload).unwrap_or(LARGEST_PACKET).clamp(STANDARD_PAYLOAD, LARGEST_PACKET)
}

/// Returns the size of the headers of IP and UDP before a payload to `remote`.
pub(crate) fn headers(remote: IpAddr) -> u32 {
    if remote.to_canonical().is_ipv4() { IPV4_HEADERS } else { IPV6_HEADERS }
}

/// Tokio, with [`LaneSocket`]s.
#[derive(Debug)]
struct LaneRuntime {
    /// The largest datagram that is received.
    payload: u16,
    reception: Reception,
    cuts: Cuts,
    meter: Meter,
}

impl Runtime for LaneRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        TokioRuntime.new_timer(at)
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        TokioRuntime.spawn(future);
    }

    fn wrap_udp_socket(&self, socket: UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let inner = TokioRuntime.wrap_udp_socket(socket)?;
        let (payload, reception) = (self.payload, self.reception.clone());
        let (local, cuts) = (inner.local_addr()?.ip(), self.cuts.clone());
        let meter = self.meter.clone();
        let segment = AtomicUsize::new(0);
        Ok(Arc::new(LaneSocket { inner, local, payload, segment, reception, cuts, meter }))
    }

    fn now(&self) -> Instant {
        TokioRuntime.now()
    }
}

/// A socket that knows how much the system takes and hands over at once.
#[derive(Debug)]
struct LaneSocket {
    inner: Arc<dyn AsyncUdpSocket>,
    /// Its address, which may be unspecified.
    local: IpAddr,
    payload: u16,
    /// The length of the datagrams of the last batch.
    segment: AtomicUsize,
    reception: Reception,
    cuts: Cuts,
    meter: Meter,
}

impl LaneSocket {
    fn count(&self, ours: Option<IpAddr>, len: usize, segment: Option<usize>) {
        self.meter.count(ours.unwrap_or(self.local), len, segment);
    }

    fn is_cut(&self, ours: Option<IpAddr>) -> bool {
        self.cuts.is_cut(ours.unwrap_or(self.local), Instant::now)
    }

    fn receive(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        match self.receives_shared() {
            true => shared_buffer::receive(|bufs, meta| self.poll(cx, bufs, meta), bufs, meta),
            false => self.poll(cx, bufs, meta),
        }
    }

    /// Returns whether datagrams come by the thread's buffer: where one message may be many of them.
    fn receives_shared(&self) -> bool {
        matches!(self.reception, Reception::Dialing(_)) && self.inner.max_receive_segments() > 1
    }

    fn poll(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let received = self.inner.poll_recv(cx, bufs, meta);
        if let Poll::Ready(Ok(count)) = received {
            for arrived in &mut meta[..count] {
                if self.is_cut(arrived.dst_ip) {
                    // quinn finds no datagram in it.
                    arrived.len = 0;
                }
                self.count(arrived.dst_ip, arrived.len, Some(arrived.stride));
            }
        }
        received
    }
}

impl AsyncUdpSocket for LaneSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    /// Sends a batch in parts that the system takes. Where it takes only the first ones, all are sent
    /// again: the peer drops what comes twice (RFC 9000 §12.3).
    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if self.is_cut(transmit.src_ip) {
            return Ok(());
        }
        if let Some(segment) = transmit.segment_size {
            self.segment.store(segment, Relaxed);
        }
        let part = batch_part(transmit.segment_size);
        if transmit.contents.len() <= part {
            self.inner.try_send(transmit)?;
            self.count(transmit.src_ip, transmit.contents.len(), transmit.segment_size);
            return Ok(());
        }
        for contents in transmit.contents.chunks(part) {
            self.inner.try_send(&Transmit {
                destination: transmit.destination,
                ecn: transmit.ecn,
                contents,
                segment_size: transmit.segment_size.filter(|size| *size < contents.len()),
                src_ip: transmit.src_ip,
            })?;
            self.count(transmit.src_ip, contents.len(), transmit.segment_size);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        match &self.reception {
            Reception::Accepting(gate) if gate.is_shut(cx) => Poll::Pending,
            Reception::Accepting(_) => self.receive(cx, bufs, meta),
            Reception::Dialing(notices) => {
                let received = self.receive(cx, bufs, meta);
                if let Poll::Ready(Ok(count)) = received {
                    let arrived = bufs.iter().zip(&*meta).take(count);
                    arrived.for_each(|(buf, meta)| notices.take_note(buf, meta));
                }
                received
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Of large datagrams the batch is as many as leave by whole sends: a rest would cost one of its own.
    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments().min(batch(self.segment.load(Relaxed)))
    }

    fn max_receive_segments(&self) -> usize {
        let buffer = match self.receives_shared() {
            true => shared_buffer::MIN_SHORT,
            false => usize::from(MAX_PAYLOAD),
        };
        self.inner.max_receive_segments().min(buffer.div_ceil(usize::from(self.payload)))
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

/// Returns how many bytes of a batch are sent at once: whole datagrams.
fn batch_part(segment_size: Option<usize>) -> usize {
    let most = usize::from(MAX_PAYLOAD);
    segment_size.map_or(most, |size| (most / size.max(1)).max(1) * size.max(1))
}

/// Returns how many datagrams of this length make a batch that leaves by whole sends.
fn batch(segment: usize) -> usize {
    let at_once = (usize::from(MAX_PAYLOAD) / segment.max(1)).clamp(1, MAX_BATCH);
    MAX_BATCH - MAX_BATCH % at_once
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_what_the_link_takes_and_an_ethernet_frame_through_routers() {
        let (v4, v6) = ([192, 0, 2, 1].into(), IpAddr::V6(std::net::Ipv6Addr::LOCALHOST));
        assert_eq!(payload_of(None, v4), STANDARD_PAYLOAD);
        assert_eq!(payload_of(Some(1280), v6), STANDARD_PAYLOAD, "the search ends below");
        assert_eq!(payload_of(Some(9000), v4), 8972);
        assert_eq!(payload_of(Some(9000), v6), 8952);
        assert_eq!(payload_of(Some(65_536), v4), LARGEST_PACKET);
    }

    #[test]
    fn a_batch_is_sent_in_parts_of_whole_datagrams() {
        assert_eq!(batch_part(Some(1452)), 45 * 1452);
        assert_eq!(batch_part(Some(40_000)), 40_000);
        assert_eq!(batch_part(None), 65_507);
    }

    #[test]
    fn a_batch_of_large_datagrams_leaves_by_whole_sends() {
        for (segment, batch_of) in [(0, 10), (1452, 10), (8_972, 7), (16_376, 8), (40_000, 10)] {
            assert_eq!(batch(segment), batch_of, "{segment} bytes");
            let sends = (batch_of * segment).div_ceil(batch_part(Some(segment)));
            assert!(segment < 8_000 || batch_of * segment == sends * batch_part(Some(segment)));
        }
    }
}
