//! The transport settings of lanes, and why each is what it is.
//!
//! Every connection has a transport configuration of its own, because the factory of its congestion
//! controllers holds its [`LaneSensor`]: make a client configuration per dial, and a server
//! configuration per `Incoming`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    AckFrequencyConfig, ClientConfig, EndpointConfig, IdleTimeout, NoneTokenStore, ServerConfig,
    TransportConfig, ValidationTokenConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;

use crate::engine::quic::tls::{self, PeerSet};
use crate::identity::Identity;
use throughline_congestion::LaneControllerFactory;
use throughline_congestion::{INITIAL_RTT, LaneSensor};
use throughline_proto::types::PeerId;

/// The transport settings that may differ from node to node.
#[derive(Clone, Debug)]
pub(crate) struct LaneTransport {
    /// A lane is closed after this long without a packet from the peer. It is no failure detector:
    /// the lane's monitor has acted long before. 30 s (RFC 9308 §3.2) outlives a short outage, so that a
    /// lane that heals in it need not be dialed.
    pub(crate) max_idle_timeout: Duration,
    /// An idle lane sends a packet this often: half the timeout, and less than the 30 s after which
    /// some NATs forget a UDP mapping (RFC 4787 REQ-5 asks for 2 minutes). Only its initiator
    /// does: every packet from the peer starts the clock anew, so that both ends' timers would always
    /// fire at once, and it is the initiator's NAT that matters.
    pub(crate) keep_alive_interval: Duration,
    /// The congestion window of a new path in bytes: that of DESIGN.md §5 for a lane that is
    /// validated and known. A lane's path is one: both ends hold pinned keys, and a small window
    /// would be the next delay after a failure.
    pub(crate) initial_window: u64,
}

impl Default for LaneTransport {
    fn default() -> Self {
        Self {
            max_idle_timeout: Duration::from_secs(30),
            keep_alive_interval: Duration::from_secs(15),
            initial_window: 64 << 10,
        }
    }
}

/// The peer opens one bidirectional stream, the control stream.
const PEER_BIDI_STREAMS: u32 = 1;

/// Streams of segments the peer may have open: each of its 1024 flows on either of two lanes, and
/// as many again for hedges of all of them. A flow must never wait for the stream limit.
const PEER_UNI_STREAMS: u32 = 4096;

/// Twice the largest segment, so that a stream's own window never binds.
const STREAM_WINDOW: u32 = 2 << 20;

/// Unread bytes of all streams. Lane readers never wait for a flow, so it fills only while a reader
/// waits for the processor; at 2 Gbit/s that is a quarter of a second.
const CONNECTION_WINDOW: u32 = 64 << 20;

/// Bytes that a connection may hold for sending. The lane lowers it before each write
/// (`set_send_window`) to a little more than the congestion window.
const SEND_WINDOW: u64 = 64 << 20;

/// Datagrams wait above quinn, in a queue per flow; here only pings and what is about to leave.
const DATAGRAM_BUFFER: usize = 64 << 10;

/// How long the peer may hold an acknowledgement back (default: 25 ms). A lone packet of a thin flow
/// is then known to have arrived within a round trip and 5 ms, which the retransmission timeout of
/// 30 ms at 20 ms round trip just holds.
pub(crate) const MAX_ACK_DELAY: Duration = Duration::from_millis(5);

/// The peer acknowledges every eighth packet (default: every second). At 200 Mbit/s that is every
/// 0.5 ms, far finer than any rule of the monitor needs; at gigabits it spares both ends three quarters of the
/// acknowledgements. Below 16 Mbit/s the delay above is what decides.
const ACK_ELICITING_THRESHOLD: u32 = 7;

/// Connection attempts that wait to be accepted. Each is one packet and ours answer within
/// a millisecond; a flood is refused rather than queued (default: 65536).
const MAX_INCOMING: usize = 256;

/// Bytes kept for one attempt before it is accepted. A client sends no 0-RTT, so only the rest of a
/// ClientHello with a post-quantum key share (default: 10 MiB).
const INCOMING_BUFFER: u64 = 16 << 10;

/// The same for all attempts together.
const INCOMING_BUFFER_TOTAL: u64 = 1 << 20;

/// Returns the configuration of one dial, as `identity`, to the peer `expected` and no other, with the
/// sensor of its connection. One call per dial.
pub(crate) fn client_config(
    settings: &LaneTransport,
    identity: &Identity,
    expected: PeerId,
) -> (ClientConfig, Arc<LaneSensor>) {
    let (mut transport, sensor) = transport(settings);
    transport.keep_alive_interval(Some(settings.keep_alive_interval));
    let mut config = ClientConfig::new(Arc::new(tls::client(identity, expected)));
    config.transport_config(Arc::new(transport));
    // An address-validation token would link our addresses to each other (RFC 9000 §8.1.4).
    config.token_store(Arc::new(NoneTokenStore));
    (config, sensor)
}

/// Makes the configuration of each accepted connection.
#[derive(Clone)]
pub(crate) struct ServerFactory {
    settings: LaneTransport,
    crypto: Arc<QuicServerConfig>,
    identity: Identity,
}

/// Returns what makes the configurations of a listener: as `identity`, dialed by the peers in `allowed`.
pub(crate) fn server_config(
    settings: &LaneTransport,
    identity: &Identity,
    allowed: Arc<PeerSet>,
) -> ServerFactory {
    ServerFactory {
        settings: settings.clone(),
        crypto: Arc::new(tls::server(identity, allowed)),
        identity: identity.clone(),
    }
}

impl ServerFactory {
    /// Returns the configuration for one `Incoming::accept_with`, with the sensor of its connection.
    pub(crate) fn for_connection(&self) -> (Arc<ServerConfig>, Arc<LaneSensor>) {
        let (transport, sensor) = transport(&self.settings);
        let mut config = self.bare();
        config.transport_config(Arc::new(transport));
        (Arc::new(config), sensor)
    }

    /// Returns the configuration for `Endpoint::new`: what it needs before a connection is accepted.
    pub(crate) fn for_endpoint(&self) -> ServerConfig {
        let mut config = self.bare();
        config
            .max_incoming(MAX_INCOMING)
            .incoming_buffer_size(INCOMING_BUFFER)
            .incoming_buffer_size_total(INCOMING_BUFFER_TOTAL);
        config
    }

    fn bare(&self) -> ServerConfig {
        let crypto = Arc::clone(&self.crypto);
        let mut config = ServerConfig::new(crypto, Arc::new(self.identity.token_key()));
        let mut tokens = ValidationTokenConfig::default();
        tokens.sent(0);
        config.migration(true).validation_token_config(tokens);
        config
    }
}

/// Returns the configuration of the endpoint that accepts lanes on `listen`. Its stateless-reset tokens and connection IDs derive
/// from the identity and the address, so that after a restart it resets the lanes of its earlier
/// life at once (RFC 9000 §10.3) instead of leaving them to time out.
pub(crate) fn endpoint_config(identity: &Identity, listen: SocketAddr) -> EndpointConfig {
    let name = listen.to_string();
    let mut config = EndpointConfig::new(Arc::new(identity.reset_key(&name)));
    let key = identity.connection_id_key(&name);
    // By default quinn ignores connection IDs that it did not make in this life.
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(key)));
    config
}

/// Returns the configuration of the endpoint of a dialed lane. Its port is as short-lived as the process, so its keys are random.
pub(crate) fn dialing_endpoint_config() -> EndpointConfig {
    EndpointConfig::default()
}

fn transport(settings: &LaneTransport) -> (TransportConfig, Arc<LaneSensor>) {
    let sensor = Arc::new(LaneSensor::new());
    let factory = LaneControllerFactory::new(Arc::clone(&sensor), settings.initial_window);
    let mut acks = AckFrequencyConfig::default();
    acks.max_ack_delay(Some(MAX_ACK_DELAY))
        .ack_eliciting_threshold(VarInt::from_u32(ACK_ELICITING_THRESHOLD));
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(PEER_BIDI_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(PEER_UNI_STREAMS))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        // Segments of one priority take turns: in the order of writing, a thick flow's backlog would
        // stand before every other flow of its class.
        .send_fairness(true)
        .max_idle_timeout(IdleTimeout::try_from(settings.max_idle_timeout).ok())
        // A lost Initial is repeated after 3 × this (RFC 9002 §6.2.2 with a smaller kInitialRtt:
        // 300 ms, not 1 s); on slower paths that costs a spurious repetition and no more.
        .initial_rtt(INITIAL_RTT)
        // 1200 passes everywhere (RFC 9000 §14); discovery (RFC 8899) raises it within round trips.
        .initial_mtu(1200)
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .ack_frequency_config(Some(acks))
        .congestion_controller_factory(Arc::new(factory));
    (config, sensor)
}

#[cfg(test)]
mod tests;
