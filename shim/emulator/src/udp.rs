//! UDP: locators, and a relay socket per client address, as a carrier's NAT would hold.

mod outbox;
mod socket;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_udp::{EcnCodepoint, RecvMeta, Transmit};
use tracing::debug;

use super::ids::{IspId, LinkId, Site};
use super::links::Links;
use super::parcel::{Packet, Parcel, Toward};
use outbox::Outbox;
pub(super) use socket::Socket;

/// A relay that carried nothing for so long is looked at only every [`IDLE_TICKS`] ticks...
const IDLE_AFTER: Duration = Duration::from_secs(5);
/// ...so that the sockets of past connections cost nothing to speak of.
const IDLE_TICKS: u64 = 16;
/// A relay is forgotten after this time, longer than any outage a test plays.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// An address that clients dial.
struct Locator {
    socket: Socket,
    server: SocketAddr,
    remote: Option<IspId>,
    relays: HashMap<SocketAddr, u64>,
}

/// One client address at one locator.
struct Relay {
    socket: Socket,
    locator: usize,
    client: SocketAddr,
    server: SocketAddr,
    local: IspId,
    remote: Option<IspId>,
    last_used: Instant,
}

/// Everything UDP.
pub(super) struct UdpSide {
    sites: HashMap<IpAddr, Site>,
    unrouted: Arc<AtomicU64>,
    locators: Vec<Locator>,
    relays: HashMap<u64, Relay>,
    next_relay: u64,
    ticks: u64,
    buffer: Vec<u8>,
    outbox: Outbox,
}

impl UdpSide {
    pub(super) fn new(sites: HashMap<IpAddr, Site>, unrouted: Arc<AtomicU64>) -> Self {
        Self {
            sites,
            unrouted,
            locators: Vec::new(),
            relays: HashMap::new(),
            next_relay: 0,
            ticks: 0,
            buffer: Socket::buffer(),
            outbox: Outbox::default(),
        }
    }

    pub(super) fn add_locator(
        &mut self,
        socket: Socket,
        server: SocketAddr,
        remote: Option<IspId>,
    ) {
        self.locators.push(Locator { socket, server, remote, relays: HashMap::new() });
    }

    /// Takes what has come to any socket and sends it on its way.
    pub(super) fn receive(&mut self, links: &mut Links) {
        self.ticks += 1;
        for index in 0..self.locators.len() {
            self.receive_from_clients(index, links);
        }
        self.receive_from_servers(links);
        self.forget_idle();
    }

    fn receive_from_clients(&mut self, index: usize, links: &mut Links) {
        let Self { sites, unrouted, locators, relays, next_relay, buffer, .. } = self;
        let Locator { socket, server, remote, relays: known } = &mut locators[index];
        let now = Instant::now();
        socket.receive(buffer, |meta, batch| {
            let client = meta.addr;
            let id = match known.get(&client) {
                Some(&id) => id,
                None => {
                    let Some(site) = sites.get(&client.ip()) else {
                        unrouted.fetch_add(1, Ordering::Relaxed);
                        return;
                    };
                    let socket = match Socket::bind(SocketAddr::new(site.seen_as, 0)) {
                        Ok(socket) => socket,
                        Err(error) => {
                            debug!(%client, seen_as = %site.seen_as, %error, "no relay socket");
                            unrouted.fetch_add(1, Ordering::Relaxed);
                            return;
                        }
                    };
                    let id = *next_relay;
                    *next_relay += 1;
                    known.insert(client, id);
                    let (server, local, remote) = (*server, site.isp, *remote);
                    let locator = index;
                    relays.insert(
                        id,
                        Relay { socket, locator, client, server, local, remote, last_used: now },
                    );
                    id
                }
            };
            let Some(relay) = relays.get_mut(&id) else { return };
            relay.last_used = now;
            let (first, next) = (relay.local.up(), relay.remote.map(IspId::down));
            send_on(links, now, meta, batch, first, |data, ecn| Packet {
                relay: id,
                toward: Toward::Server,
                data,
                ecn,
                next,
            });
        });
    }

    fn receive_from_servers(&mut self, links: &mut Links) {
        let Self { relays, buffer, ticks, .. } = self;
        let now = Instant::now();
        let all = ticks.is_multiple_of(IDLE_TICKS);
        for (&id, relay) in relays {
            if !all && now.duration_since(relay.last_used) > IDLE_AFTER {
                continue;
            }
            let down = relay.local.down();
            let (first, next) = match relay.remote {
                Some(remote) => (remote.up(), Some(down)),
                None => (down, None),
            };
            let Relay { socket, server, last_used, .. } = relay;
            socket.receive(buffer, |meta, batch| {
                // Like a NAT that filters by address: nobody else gets in.
                if meta.addr != *server {
                    return;
                }
                *last_used = now;
                send_on(links, now, meta, batch, first, |data, ecn| Packet {
                    relay: id,
                    toward: Toward::Client,
                    data,
                    ecn,
                    next,
                });
            });
        }
    }

    fn forget_idle(&mut self) {
        // Once in a while is enough for what happens after minutes.
        if !self.ticks.is_multiple_of(1 << 14) {
            return;
        }
        let now = Instant::now();
        self.relays.retain(|_, relay| now.duration_since(relay.last_used) < FORGET_AFTER);
        for locator in &mut self.locators {
            locator.relays.retain(|_, id| self.relays.contains_key(id));
        }
    }

    /// Puts a datagram that has passed its last link into the outbox.
    pub(super) fn deliver(&mut self, packet: &Packet) {
        let head = (packet.relay, packet.toward, packet.ecn);
        if !self.outbox.fits(head, packet.data.len(), self.max_segments(packet.relay)) {
            self.flush();
        }
        self.outbox.push(head, &packet.data);
    }

    fn max_segments(&self, relay: u64) -> usize {
        self.relays.get(&relay).map_or(1, |relay| relay.socket.max_segments())
    }

    /// Sends what is in the outbox.
    pub(super) fn flush(&mut self) {
        let Self { outbox, relays, locators, .. } = self;
        let Some((relay, toward, ecn)) = outbox.head.take() else { return };
        if let Some(relay) = relays.get(&relay) {
            let (socket, destination) = match toward {
                Toward::Server => (&relay.socket, relay.server),
                Toward::Client => (&locators[relay.locator].socket, relay.client),
            };
            let transmit = Transmit {
                destination,
                ecn,
                contents: &outbox.bytes,
                segment_size: (outbox.segments > 1).then_some(outbox.stride),
                src_ip: None,
            };
            socket.send(&transmit);
        }
        outbox.clear();
    }
}

/// Cuts a batch into its datagrams and hands them to the first link.
fn send_on(
    links: &mut Links,
    now: Instant,
    meta: &RecvMeta,
    mut batch: Bytes,
    first: LinkId,
    packet: impl Fn(Bytes, Option<EcnCodepoint>) -> Packet,
) {
    let link = links.of(first);
    while !batch.is_empty() {
        let data = batch.split_to(meta.stride.clamp(1, batch.len()));
        let packet = packet(data, meta.ecn);
        // Its fate is counted by the link.
        let _ = link.admit(now, packet.wire_bytes(), Parcel::Udp(packet));
    }
}
