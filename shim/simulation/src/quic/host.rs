//! One endpoint with one connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn_proto::{
    Connection, ConnectionHandle, DatagramEvent, EcnCodepoint, Endpoint, ServerConfig, Transmit,
};
use throughline_congestion::LaneSensor;

/// Datagrams that one call of `poll_transmit` may return: as many as the `quinn` crate asks for.
const MAX_TRANSMIT_SEGMENTS: usize = 10;

/// The number of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub(super) usize);

/// A host: an endpoint, its connection once there is one, and the sensor if it has a lane's controller.
pub struct Host {
    pub(super) address: SocketAddr,
    pub(super) peer: HostId,
    pub(super) endpoint: Endpoint,
    /// The configuration that an incoming connection is accepted with.
    pub(super) server: Option<Arc<ServerConfig>>,
    handle: Option<ConnectionHandle>,
    connection: Option<Connection>,
    sensor: Option<Arc<LaneSensor>>,
    /// When the connection's next timer fires, at the timer's resolution.
    pub(super) timeout: Option<Instant>,
    /// When the application wants to be called.
    pub(super) wake: Option<Instant>,
    /// The host does nothing, and what comes waits in its socket.
    stalled: bool,
    waiting: Vec<Incoming>,
    buffer: Vec<u8>,
}

/// A datagram that comes to a host.
pub(super) struct Incoming {
    pub(super) from: SocketAddr,
    pub(super) ecn: Option<EcnCodepoint>,
    pub(super) payload: BytesMut,
}

/// A datagram that a host sends.
pub(super) struct Outgoing {
    pub(super) destination: SocketAddr,
    pub(super) ecn: Option<EcnCodepoint>,
    pub(super) payload: Bytes,
}

impl Host {
    pub(super) fn new(
        address: SocketAddr,
        peer: HostId,
        endpoint: Endpoint,
        server: Option<Arc<ServerConfig>>,
        sensor: Option<Arc<LaneSensor>>,
    ) -> Self {
        Self {
            address,
            peer,
            endpoint,
            server,
            handle: None,
            connection: None,
            sensor,
            timeout: None,
            wake: None,
            stalled: false,
            waiting: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// Returns the connection once there is one: at once at a client, at a server with the first packet.
    pub fn connection(&mut self) -> Option<&mut Connection> {
        self.connection.as_mut()
    }

    /// Returns the sensor, if the host has a lane's controller.
    pub fn sensor(&self) -> Option<&Arc<LaneSensor>> {
        self.sensor.as_ref()
    }

    pub(super) fn begin(&mut self, handle: ConnectionHandle, connection: Connection) {
        self.handle = Some(handle);
        self.connection = Some(connection);
    }

    /// Makes the host do nothing, or go on at `now`.
    pub fn set_stalled(&mut self, now: Instant, stalled: bool) {
        self.stalled = stalled;
        self.wake = (!stalled).then_some(now);
    }

    /// Takes a datagram, or keeps it while the host is stalled; returns what the endpoint answers by itself.
    pub(super) fn receive(&mut self, now: Instant, datagram: Incoming) -> Vec<Outgoing> {
        if self.stalled {
            self.waiting.push(datagram);
            return vec![];
        }
        self.take(now, datagram)
    }

    /// Takes what came while the host was stalled.
    pub(super) fn receive_waiting(&mut self, now: Instant) -> Vec<Outgoing> {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().flat_map(|datagram| self.take(now, datagram)).collect()
    }

    fn take(&mut self, now: Instant, Incoming { from, ecn, payload }: Incoming) -> Vec<Outgoing> {
        self.buffer.clear();
        match self.endpoint.handle(now, from, None, ecn, payload, &mut self.buffer) {
            Some(DatagramEvent::ConnectionEvent(_, event)) => {
                if let Some(connection) = &mut self.connection {
                    connection.handle_event(event);
                }
                vec![]
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                if self.connection.is_some() {
                    self.endpoint.ignore(incoming);
                    return vec![];
                }
                let config = self.server.clone();
                match self.endpoint.accept(incoming, now, &mut self.buffer, config) {
                    Ok((handle, connection)) => {
                        self.begin(handle, connection);
                        vec![]
                    }
                    Err(error) => match error.response {
                        Some(transmit) => split(&transmit, &self.buffer),
                        None => vec![],
                    },
                }
            }
            Some(DatagramEvent::Response(transmit)) => split(&transmit, &self.buffer),
            None => vec![],
        }
    }

    /// Fires the connection's timers that are due.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(connection) = &mut self.connection {
            connection.handle_timeout(now);
        }
    }

    /// Returns all that the connection sends now, and notes its next timer.
    pub(super) fn transmit(&mut self, now: Instant) -> Vec<Outgoing> {
        let (Some(connection), Some(handle)) = (&mut self.connection, self.handle) else {
            return vec![];
        };
        let mut out = vec![];
        if self.stalled {
            return out;
        }
        loop {
            while let Some(event) = connection.poll_endpoint_events() {
                if let Some(event) = self.endpoint.handle_event(handle, event) {
                    connection.handle_event(event);
                }
            }
            self.buffer.clear();
            match connection.poll_transmit(now, MAX_TRANSMIT_SEGMENTS, &mut self.buffer) {
                Some(transmit) => out.extend(split(&transmit, &self.buffer)),
                None => break,
            }
        }
        self.timeout = connection.poll_timeout();
        out
    }

    /// Returns when the host is next due by itself, timers rounded up to `resolution` from `epoch`.
    pub(super) fn next_due(&self, epoch: Instant, resolution: Duration) -> Option<Instant> {
        if self.stalled {
            return None;
        }
        let timeout = self.timeout.map(|at| {
            let ticks = (at.saturating_duration_since(epoch)).as_nanos();
            let ticks = ticks.div_ceil(resolution.as_nanos());
            epoch + Duration::from_nanos((ticks * resolution.as_nanos()) as u64)
        });
        [timeout, self.wake].into_iter().flatten().min()
    }
}

/// Returns the datagrams of one transmit.
fn split(transmit: &Transmit, buffer: &[u8]) -> Vec<Outgoing> {
    let bytes = &buffer[..transmit.size];
    let size = transmit.segment_size.unwrap_or(transmit.size).max(1);
    let outgoing = |payload: &[u8]| Outgoing {
        destination: transmit.destination,
        ecn: transmit.ecn,
        payload: Bytes::copy_from_slice(payload),
    };
    bytes.chunks(size).map(outgoing).collect()
}
