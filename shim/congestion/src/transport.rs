//! The transport settings of lanes, and why each is what it is.
//!
//! Both ends of a lane and the simulation use these. Every connection has a transport configuration of its
//! own, because the factory of its congestion controllers holds its [`LaneSensor`].

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::{AckFrequencyConfig, IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};

use crate::controller::LaneControllerFactory;
use crate::sensor::{INITIAL_RTT, LaneSensor};

/// The peer opens one bidirectional stream, the control stream.
const PEER_BIDI_STREAMS: u32 = 1;

/// Streams of segments that the peer may have open whatever flows there are: a window of 64 MiB is as many
/// segments of 1 MiB. QUIC keeps a record of each stream that may be opened, so a lane begins with few.
const SPARE_STREAMS: u32 = 64;

/// Streams for datagrams that are longer than a packet, where there are datagram flows: as many as a sender has under
/// way, twice, as the records of those that have ended come back a round trip later.
const LONG_DATAGRAM_STREAMS: u32 = 256;

/// Returns how many streams of segments the peer may have open while there are up to `flows` flows: each
/// may have one that is written and one that ends. A flow must never wait for the stream limit.
pub fn peer_streams(flows: usize, has_datagram_flows: bool) -> VarInt {
    let streams = u32::try_from(flows).unwrap_or(u32::MAX).saturating_mul(2);
    let long = if has_datagram_flows { LONG_DATAGRAM_STREAMS } else { 0 };
    VarInt::from_u32(streams.saturating_add(SPARE_STREAMS + long))
}

/// Twice the largest segment, so that a stream's own window never binds.
const STREAM_WINDOW: u32 = 2 << 20;

/// Unread bytes of all streams, at the most: lanes begin with less and grow to it. Lane readers never
/// wait for a flow, so it fills only while a reader waits for the processor; at 2 Gbit/s that is a
/// quarter of a second.
const CONNECTION_WINDOW: u32 = 64 << 20;

/// Bytes that a connection may hold for sending. The lane lowers it before each write
/// (`set_send_window`) to a little more than the congestion window.
const SEND_WINDOW: u64 = 64 << 20;

/// Datagrams wait above quinn, in a queue per flow; here only pings and what is about to leave, of which half of this
/// at the most is of flows: 5 ms at 200 Mbit/s.
pub const DATAGRAM_BUFFER: usize = 256 << 10;

/// Datagrams that arrived and that the lane's reader has not taken, the oldest of which go: at 1 Gbit/s it may be
/// kept from the processor for two milliseconds.
const DATAGRAM_RECEIVE_BUFFER: usize = 256 << 10;

/// How long the peer may hold an acknowledgement back (default: 25 ms). A lone packet of a thin flow
/// is then known to have arrived within a round trip and 5 ms, which the retransmission timeout of
/// 30 ms at 20 ms round trip just holds.
const MAX_ACK_DELAY: Duration = throughline_proto::lane::MAX_ACK_DELAY;

/// The peer acknowledges every sixth packet (default: every second). At 200 Mbit/s that is every
/// 0.35 ms, far finer than any rule of the monitor needs; at gigabits it spares both ends two thirds of the
/// acknowledgements. Not more: what is acknowledged together is sent together, and a queue of 5 ms at 20 Mbit/s has
/// ten packets. Below 12 Mbit/s the delay above is what decides.
const ACK_ELICITING_THRESHOLD: u32 = 5;

/// How long after a search for the path's MTU the next one begins, where a larger one is possible.
///
/// RFC 8899 §5.1.1 has 600 s (PMTU_RAISE_TIMER), for which a lane that was set up while a tunnel or
/// a backup path was in the way would keep small packets. A search costs six to nine packets, so a
/// path that stays narrow costs up to 13 kB a minute each way; one that takes 1,452 bytes is not
/// searched again.
const MTU_SEARCH_INTERVAL: Duration = Duration::from_secs(60);

/// The payload that an Ethernet frame has for UDP over IPv6.
const ETHERNET_PAYLOAD: u16 = 1452;

/// How long after large packets vanished the next search begins. Bursts of loss look like that, too,
/// and would cost a fifth of the packets' size for a minute (quinn's default).
const MTU_BLACK_HOLE_COOLDOWN: Duration = Duration::from_secs(10);

/// Interval of the probes by which a lane with bulk measures its path's delay: five in 20 ms.
pub const DELAY_PROBE_INTERVAL: Duration = Duration::from_millis(4);

/// Returns the settings of the search for a path's MTU, for packets of up to `payload` bytes of UDP.
pub fn mtu_discovery(payload: u16) -> MtuDiscoveryConfig {
    let mut config = MtuDiscoveryConfig::default();
    config.interval(MTU_SEARCH_INTERVAL).black_hole_cooldown(MTU_BLACK_HOLE_COOLDOWN);
    config.upper_bound(payload);
    config
}

/// Returns the transport settings of one connection and its sensor. A connection without a packet from
/// the peer for `max_idle_timeout` is closed; a new path begins with a congestion window of
/// `initial_window` bytes.
pub fn lane_transport(
    max_idle_timeout: Duration,
    initial_window: u64,
) -> (TransportConfig, Arc<LaneSensor>) {
    let sensor = Arc::new(LaneSensor::new());
    let factory = LaneControllerFactory::new(Arc::clone(&sensor), initial_window);
    let mut acks = AckFrequencyConfig::default();
    acks.max_ack_delay(Some(MAX_ACK_DELAY))
        .ack_eliciting_threshold(VarInt::from_u32(ACK_ELICITING_THRESHOLD));
    let mut config = TransportConfig::default();
    config
        .mtu_discovery_config(Some(mtu_discovery(ETHERNET_PAYLOAD)))
        .max_concurrent_bidi_streams(VarInt::from_u32(PEER_BIDI_STREAMS))
        .max_concurrent_uni_streams(peer_streams(0, false))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        // Segments of one priority take turns: in the order of writing, a thick flow's backlog would
        // stand before every other flow of its class.
        .send_fairness(true)
        .max_idle_timeout(IdleTimeout::try_from(max_idle_timeout).ok())
        // A lost Initial is repeated after 3 × this (RFC 9002 §6.2.2 with a smaller kInitialRtt:
        // 300 ms, not 1 s); on slower paths that costs a spurious repetition and no more.
        .initial_rtt(INITIAL_RTT)
        // 1200 passes everywhere (RFC 9000 §14); discovery (RFC 8899) raises it within round trips.
        .initial_mtu(1200)
        .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .ack_frequency_config(Some(acks))
        .congestion_controller_factory(Arc::new(factory));
    (config, sensor)
}
