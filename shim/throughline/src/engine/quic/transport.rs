//! The QUIC configurations of dialing and accepting ends. The transport settings that both share are
//! `throughline_congestion::lane_transport`.
//!
//! Every connection has a transport configuration of its own, because the factory of its congestion
//! controllers holds its [`LaneSensor`]: make a client configuration per dial, and a server
//! configuration per `Incoming`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    ClientConfig, EndpointConfig, NoneTokenStore, ServerConfig, ValidationTokenConfig, VarInt,
};
use quinn_proto::HashedConnectionIdGenerator;

use crate::engine::qlog::Trace;
use crate::engine::quic::tls::{self, PeerSet};
use crate::identity::Identity;
use throughline_congestion::{LaneSensor, lane_transport, mtu_discovery};
use throughline_proto::flow::memory::Memory;
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
    /// The receive window with which a lane begins.
    pub(crate) receive_window: u64,
}

/// How often an idle lane sends a packet.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

impl Default for LaneTransport {
    fn default() -> Self {
        Self {
            max_idle_timeout: Duration::from_secs(30),
            keep_alive_interval: KEEP_ALIVE_INTERVAL,
            initial_window: 64 << 10,
            receive_window: 2 << 20,
        }
    }
}

impl LaneTransport {
    /// Returns the settings of a node whose flows may hold `memory` bytes.
    pub(crate) fn of_memory(memory: u64) -> Self {
        let receive_window = Memory::new(memory).first_lane_window();
        Self { receive_window, ..Self::default() }
    }
}

/// Connection attempts that wait to be accepted. Each is one packet and ours answer within
/// a millisecond; a flood is refused rather than queued (default: 65536).
const MAX_INCOMING: usize = 256;

/// Bytes kept for one attempt before it is accepted. A client sends no 0-RTT, so only the rest of a
/// ClientHello with a post-quantum key share (default: 10 MiB).
const INCOMING_BUFFER: u64 = 16 << 10;

/// The same for all attempts together.
const INCOMING_BUFFER_TOTAL: u64 = 1 << 20;

/// Returns the configuration of one dial, as `identity`, to who has one of the keys `expected`, with the
/// sensor of its connection; its packets may have up to `payload` bytes, and its qlog goes to `trace`. One call per
/// dial.
pub(crate) fn client_config(
    settings: &LaneTransport,
    identity: &Identity,
    expected: Vec<PeerId>,
    payload: u16,
    trace: &Trace,
) -> (ClientConfig, Arc<LaneSensor>) {
    let (mut transport, sensor) =
        lane_transport(settings.max_idle_timeout, settings.initial_window);
    transport.mtu_discovery_config(Some(mtu_discovery(payload)));
    transport.receive_window(varint(settings.receive_window));
    transport.keep_alive_interval(Some(settings.keep_alive_interval));
    trace.write_into(&mut transport);
    let mut config = ClientConfig::new(Arc::new(tls::client(identity, expected)));
    config.transport_config(Arc::new(transport));
    // An address-validation token would link our addresses to each other (RFC 9000 §8.1.4).
    config.token_store(Arc::new(NoneTokenStore));
    (config, sensor)
}

/// What a dialer may send before its lane is attached: a `Hello`, and no more than costs little. The
/// window and the streams of a lane are granted with our `Welcome`.
const SETUP_WINDOW: u32 = 16 << 10;
const SETUP_STREAMS: u32 = 16;

fn varint(value: u64) -> VarInt {
    VarInt::from_u64(value).unwrap_or(VarInt::MAX)
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
    /// Returns the configuration for one `Incoming::accept_with`, with the sensor of its connection, whose
    /// packets may have up to `payload` bytes, and whose qlog goes to `trace`.
    pub(crate) fn for_connection(
        &self,
        payload: u16,
        trace: &Trace,
    ) -> (Arc<ServerConfig>, Arc<LaneSensor>) {
        let (mut transport, sensor) =
            lane_transport(self.settings.max_idle_timeout, self.settings.initial_window);
        transport.mtu_discovery_config(Some(mtu_discovery(payload)));
        transport
            .receive_window(VarInt::from_u32(SETUP_WINDOW))
            .max_concurrent_uni_streams(VarInt::from_u32(SETUP_STREAMS));
        trace.write_into(&mut transport);
        let mut config = self.bare();
        config.transport_config(Arc::new(transport));
        (Arc::new(config), sensor)
    }

    /// Returns the key that it shows.
    pub(crate) fn key(&self) -> PeerId {
        self.identity.peer_id()
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

/// How far apart stateless resets are at least (default: 20 ms, with which those of 1,000 lanes take 20 s).
const MIN_RESET_INTERVAL: Duration = Duration::from_millis(1);

/// Returns the configuration of the endpoint that accepts lanes on `listen`. Its stateless-reset tokens and connection IDs derive
/// from the identity and the address, so that after a restart it resets the lanes of its earlier
/// life at once (RFC 9000 §10.3) instead of leaving them to time out.
pub(crate) fn endpoint_config(identity: &Identity, listen: SocketAddr) -> EndpointConfig {
    let name = listen.to_string();
    let mut config = EndpointConfig::new(Arc::new(identity.reset_key(&name)));
    // After a restart as many resets as there were lanes are due at once; none is larger than what it answers.
    config.min_reset_interval(MIN_RESET_INTERVAL);
    let key = identity.connection_id_key(&name);
    // By default quinn ignores connection IDs that it did not make in this life.
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(key)));
    config
}

/// Returns the configuration of the endpoint of a dialed lane. Its port is as short-lived as the process, so its keys are random.
pub(crate) fn dialing_endpoint_config() -> EndpointConfig {
    EndpointConfig::default()
}

#[cfg(test)]
mod tests;
