//! Plain TCP through an ISP.
//!
//! A userspace relay ends TCP on both sides, and the kernel's loopback TCP never sees the
//! blackhole. So the relay plays the sender's part itself, as Linux does it (RFC 6298):
//!
//! - The dial reaches the server after the SYN has passed the link, and the client's bytes are
//!   read when the SYN-ACK has come back. (The client's own `connect` returns earlier: that
//!   handshake is the kernel's.)
//! - What meets a blackhole is kept, and the direction *stalls*: it tries again one
//!   retransmission timeout after the loss, then after twice that, and so on. Only at such an
//!   instant are bytes let through again, in order, from the first that was lost. That is what
//!   makes real connections stay stuck after the path has healed. It is the kinder half of the
//!   truth: no slow start afterwards, and a tail loss probe (RFC 8985) is left out, which could
//!   help only if the blackhole ended within two round trips.
//! - A full queue makes the sender wait instead of losing a segment, and random loss does not
//!   touch TCP: both are kinder than the real thing.

mod connection;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::time::Instant;

use super::ids::IspId;
use super::links::Links;
use super::parcel::Chunk;
use connection::Connection;

/// A listener and where what it accepts is taken.
struct Relay {
    listener: TcpListener,
    server: SocketAddr,
    isp: IspId,
}

/// Everything TCP.
#[derive(Default)]
pub(super) struct TcpSide {
    relays: Vec<Relay>,
    connections: HashMap<u64, Connection>,
    next_connection: u64,
    buffer: Vec<u8>,
}

impl TcpSide {
    pub(super) fn add_relay(&mut self, listener: TcpListener, server: SocketAddr, isp: IspId) {
        self.relays.push(Relay { listener, server, isp });
        self.buffer.resize(connection::MAX_CHUNK, 0);
    }

    /// Takes new connections and new bytes, and lets stalled directions try again.
    pub(super) fn receive(&mut self, now: Instant, links: &mut Links) {
        for relay in &self.relays {
            while let Ok((client, _)) = relay.listener.accept() {
                let id = self.next_connection;
                self.next_connection += 1;
                if let Ok(connection) = Connection::new(id, client, relay.server, relay.isp) {
                    self.connections.insert(id, connection);
                }
            }
        }
        for connection in self.connections.values_mut() {
            connection.receive(now, &mut self.buffer, links);
        }
    }

    /// A chunk has passed its link.
    pub(super) fn deliver(&mut self, chunk: Chunk, now: Instant, links: &mut Links) {
        if let Some(connection) = self.connections.get_mut(&chunk.connection) {
            connection.deliver(chunk, now, links);
        }
    }

    /// A chunk was lost to a blackhole.
    pub(super) fn lost(&mut self, chunk: Chunk, now: Instant) {
        if let Some(connection) = self.connections.get_mut(&chunk.connection) {
            connection.lost(chunk, now);
        }
    }

    /// Writes what was delivered, and forgets what has ended.
    pub(super) fn write(&mut self) {
        self.connections.retain(|_, connection| connection.write());
    }
}
