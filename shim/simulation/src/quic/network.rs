//! Hosts, links and the clock.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use quinn_proto::{ClientConfig, EcnCodepoint, Endpoint, EndpointConfig, ServerConfig};
use throughline_link::{Arrival, Link, LinkStats, Profile};

use super::congestion::Congestion;
use super::host::{Host, HostId, Incoming, Outgoing};
use super::tls::{SERVER_NAME, Tls};

/// IPv4 and UDP headers, which links count as well.
const HEADERS: usize = 28;

/// Timers fire at whole milliseconds, as tokio's do; so bursts are as large as in the product.
const TIMER_RESOLUTION: Duration = Duration::from_millis(1);

/// By how much the virtual clock is ahead of the real one.
const AHEAD: Duration = Duration::from_secs(24 * 3600);

/// The number of one direction of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub(super) usize);

/// The links that packets pass, in order.
pub type Route = Vec<LinkId>;

/// The two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The end that dials.
    pub client: HostId,
    /// The end that accepts.
    pub server: HostId,
}

/// A packet under way.
#[derive(Clone, Debug)]
struct Packet {
    from: SocketAddr,
    to: HostId,
    /// The address it was sent to: a host that has moved away does not get it.
    destination: SocketAddr,
    ecn: Option<EcnCodepoint>,
    payload: Bytes,
    route: Arc<[LinkId]>,
    hop: usize,
}

/// Hosts and links in virtual time.
pub struct Network {
    epoch: Instant,
    now: Instant,
    seed: u64,
    tls: Tls,
    links: Vec<Link<Packet>>,
    hosts: Vec<Host>,
    /// The route of what each host sends.
    routes: Vec<Arc<[LinkId]>>,
}

impl Network {
    /// Returns a network without hosts; `seed` decides what its links and endpoints draw.
    pub fn new(seed: u64) -> Self {
        let epoch = Instant::now() + AHEAD;
        Self {
            epoch,
            now: epoch,
            seed,
            tls: Tls::generate(),
            links: vec![],
            hosts: vec![],
            routes: vec![],
        }
    }

    /// Returns the time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Returns when it began.
    pub fn epoch(&self) -> Instant {
        self.epoch
    }

    /// Returns how long the network has run.
    pub fn elapsed(&self) -> Duration {
        self.now - self.epoch
    }

    /// Adds one direction of a link.
    pub fn link(&mut self, profile: Profile) -> LinkId {
        let id = LinkId(self.links.len());
        self.links.push(Link::new(profile, self.seed ^ ((id.0 as u64 + 1) << 32)));
        id
    }

    /// Changes what a link is like, for packets that come from now on.
    pub fn change(&mut self, link: LinkId, change: impl FnOnce(&mut Profile)) {
        change(self.links[link.0].model_mut().profile_mut());
    }

    /// Makes a link lose everything, or carry again.
    pub fn set_blackhole(&mut self, link: LinkId, blackhole: bool) {
        self.links[link.0].model_mut().set_blackhole(blackhole);
    }

    /// Returns how long a packet that comes now waits before a link.
    pub fn queue(&self, link: LinkId) -> Duration {
        self.links[link.0].model().queueing_delay(self.now)
    }

    /// Returns what became of a link's packets so far.
    pub fn stats(&self, link: LinkId) -> &LinkStats {
        self.links[link.0].stats()
    }

    /// Dials a connection: what the client sends takes the route `up`, what the server sends `down`.
    pub fn connect(&mut self, up: &[LinkId], down: &[LinkId], congestion: [Congestion; 2]) -> Ends {
        let (client, server) = (HostId(self.hosts.len()), HostId(self.hosts.len() + 1));
        let mut end = |id: HostId, peer: HostId, congestion: Congestion, route: &[LinkId]| {
            let address = SocketAddr::new(Ipv4Addr::from(0x0a00_0001 + id.0 as u32).into(), 443);
            let (transport, sensor) = congestion.transport();
            let transport = Arc::new(transport);
            let mut seed = [0; 32];
            seed[..8].copy_from_slice(&self.seed.to_le_bytes());
            seed[8] = id.0 as u8;
            let config = Arc::new(EndpointConfig::default());
            let accepting = id == server;
            let accepts = accepting.then(|| {
                let mut config = ServerConfig::with_crypto(self.tls.server.clone());
                config.transport_config(Arc::clone(&transport));
                Arc::new(config)
            });
            let endpoint = Endpoint::new(config, accepts.clone(), true, Some(seed));
            self.hosts.push(Host::new(address, peer, endpoint, accepts, sensor));
            self.routes.push(route.into());
            transport
        };
        let transport = end(client, server, congestion[0], up);
        end(server, client, congestion[1], down);
        let mut config = ClientConfig::new(self.tls.client.clone());
        config.transport_config(transport);
        let to = self.hosts[server.0].address;
        let host = &mut self.hosts[client.0];
        let (handle, connection) = host
            .endpoint
            .connect(self.now, config, to, SERVER_NAME)
            .expect("the configuration is valid");
        host.begin(handle, connection);
        self.transmit(client);
        Ends { client, server }
    }

    /// Moves a client to another address and other links, as `Endpoint::rebind` does.
    pub fn rebind(&mut self, ends: Ends, up: &[LinkId], down: &[LinkId]) {
        let now = self.now;
        let host = &mut self.hosts[ends.client.0];
        let port = host.address.port() + 1;
        host.address.set_port(port);
        if let Some(sensor) = host.sensor() {
            sensor.migrating(now);
        }
        if let Some(connection) = host.connection() {
            connection.local_address_changed();
        }
        self.routes[ends.client.0] = up.into();
        self.routes[ends.server.0] = down.into();
        self.transmit(ends.client);
    }

    /// Returns a host.
    pub fn host(&mut self, id: HostId) -> &mut Host {
        &mut self.hosts[id.0]
    }

    /// Asks for a call of a host's application at `at`, in place of what was asked before; the host is
    /// then among those that [`Network::step`] returns.
    pub fn wake(&mut self, id: HostId, at: Option<Instant>) {
        self.hosts[id.0].wake = at;
    }

    /// Asks for a call of a host's application at `at` besides what was asked before, if that is later.
    pub fn wake_by(&mut self, id: HostId, at: Instant) {
        let wake = &mut self.hosts[id.0].wake;
        *wake = Some(wake.map_or(at, |before| before.min(at)));
    }

    /// Sends what a host's connection has to send; to be called after its application acted.
    pub fn transmit(&mut self, id: HostId) {
        let outgoing = self.hosts[id.0].transmit(self.now);
        self.send(id, outgoing);
    }

    /// Goes to the next event by `until`, and handles all that is due then. Returns the hosts that something
    /// happened to, which the caller is to look after and then to [`Network::transmit`]; `None` if nothing
    /// is due by `until`, to which the clock is then set.
    pub fn step(&mut self, until: Instant) -> Option<Vec<HostId>> {
        let links = self.links.iter().filter_map(Link::next_due);
        let hosts = self.hosts.iter().filter_map(|h| h.next_due(self.epoch, TIMER_RESOLUTION));
        let Some(next) = links.chain(hosts).min().filter(|next| *next <= until) else {
            self.now = self.now.max(until);
            return None;
        };
        self.now = self.now.max(next);
        let mut affected = self.deliver();
        for index in 0..self.hosts.len() {
            let host = &mut self.hosts[index];
            if host.next_due(self.epoch, TIMER_RESOLUTION).is_some_and(|at| at <= self.now) {
                let answers = host.receive_waiting(self.now);
                if host.timeout.is_some_and(|at| at <= self.now) {
                    host.handle_timeout(self.now);
                    host.timeout = None;
                }
                if host.wake.is_some_and(|at| at <= self.now) {
                    host.wake = None;
                }
                affected.push(HostId(index));
                self.send(HostId(index), answers);
            }
        }
        affected.sort_unstable();
        affected.dedup();
        Some(affected)
    }

    /// Moves the packets that are due to the next link or to their host.
    fn deliver(&mut self) -> Vec<HostId> {
        let mut affected = vec![];
        for index in 0..self.links.len() {
            while let Some(arrival) = self.links[index].release(self.now) {
                let Arrival::Delivered(at, packet) = arrival else { continue };
                let packet = Packet { hop: packet.hop + 1, ..packet };
                if packet.hop < packet.route.len() {
                    self.admit(at, packet);
                    continue;
                }
                let host = &mut self.hosts[packet.to.0];
                if host.address != packet.destination {
                    continue;
                }
                let (id, payload) = (packet.to, BytesMut::from(packet.payload));
                let datagram = Incoming { from: packet.from, ecn: packet.ecn, payload };
                let answer = host.receive(self.now, datagram);
                self.send(id, answer);
                affected.push(id);
            }
        }
        affected
    }

    fn send(&mut self, from: HostId, outgoing: Vec<Outgoing>) {
        for Outgoing { destination, ecn, payload } in outgoing {
            let host = &self.hosts[from.0];
            let route = Arc::clone(&self.routes[from.0]);
            let (from, to) = (host.address, host.peer);
            let packet = Packet { from, to, destination, ecn, payload, route, hop: 0 };
            self.admit(self.now, packet);
        }
    }

    fn admit(&mut self, at: Instant, packet: Packet) {
        let bytes = packet.payload.len() + HEADERS;
        let link = packet.route[packet.hop].0;
        // What is dropped is counted by the link.
        let _ = self.links[link].admit(at, bytes, packet);
    }
}
