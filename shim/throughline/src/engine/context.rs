//! What every part of a node may use, and nothing that uses it: a leaf under sessions and dials.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::RwLock;
use tokio::sync::watch;

use super::allowances::{Allowance, Allowances};
use super::drains::Drains;
use super::locators;
use super::peers::Peers;
use super::qlog::Qlogs;
use super::quic::cuts::Cuts;
use super::quic::meter::Meter;
use super::quic::tls::PeerSet;
use super::quic::transport::{self, LaneTransport, ServerFactory};
use super::totals::Totals;
use crate::events::EventLog;
use crate::identity::Identity;
use throughline_proto::hold_down::HoldState;
use throughline_proto::path::Path;
use throughline_proto::selection::{Charge, Cost};
use throughline_proto::types::Locator;
use throughline_uplinks::{Uplink, Uplinks};

/// The context of a node's sessions: who we are, by which uplinks we reach whom, and where
/// events are emitted.
pub(crate) struct NodeContext {
    /// Who we are. The lock is a leaf.
    identity: RwLock<Identity>,
    /// The keys that may dial us: those of the peers.
    pub(crate) allowed: Arc<PeerSet>,
    /// A random number by which peers tell this process from an earlier one. One that takes over from
    /// another has that one's.
    instance: AtomicU64,
    /// The settings of connections to come, and what makes those of connections that peers dial; with our
    /// present identity. The lock is taken before that of the identity.
    setup: RwLock<LaneSetup>,
    pub(crate) uplinks: Uplinks,
    /// The uplinks that are drained.
    pub(crate) drains: Drains,
    /// Our addresses that are cut off for a drill.
    pub(crate) cuts: Cuts,
    /// How much of each uplink may be used.
    pub(crate) allowances: Allowances,
    /// What goes over our addresses, while somebody wants to know.
    pub(crate) meter: Meter,
    /// Whose qlog is read.
    pub(crate) qlogs: Qlogs,
    pub(crate) events: EventLog,
    pub(crate) peers: Peers,
    pub(crate) totals: Totals,
    pub(crate) started: Instant,
    /// Counts the changes among the node's sessions: one comes, is established or goes.
    pub(crate) session_changes: watch::Sender<u64>,
    /// Counts the changes of the node's lanes: one comes or goes, changes its state, its path or its uplink.
    pub(crate) lane_changes: watch::Sender<u64>,
    /// Where we can be reached. The lock is a leaf.
    endpoints: RwLock<Endpoints>,
}

/// What lanes are set up with.
#[derive(Clone)]
struct LaneSetup {
    transport: LaneTransport,
    accepting: Arc<ServerFactory>,
}

/// Where a node can be reached.
#[derive(Default)]
struct Endpoints {
    /// The addresses that it listens on.
    listen: Vec<SocketAddr>,
    /// The locators that were configured, such as the outside of a NAT.
    configured: Vec<SocketAddr>,
}

impl NodeContext {
    pub(crate) fn new(
        identity: Identity,
        uplinks: Uplinks,
        peers: Peers,
        transport: LaneTransport,
    ) -> Arc<Self> {
        let allowed = Arc::new(PeerSet::new(peers.keys()));
        let setup = RwLock::new(LaneSetup::new(transport, &identity, &allowed));
        Arc::new(Self {
            identity: RwLock::new(identity),
            allowed,
            instance: AtomicU64::new(rand::random()),
            setup,
            uplinks,
            drains: Drains::default(),
            cuts: Cuts::default(),
            allowances: Allowances::default(),
            meter: Meter::default(),
            qlogs: Qlogs::default(),
            events: EventLog::default(),
            peers,
            totals: Totals::default(),
            started: Instant::now(),
            session_changes: watch::Sender::new(0),
            lane_changes: watch::Sender::new(0),
            endpoints: RwLock::default(),
        })
    }

    /// Returns the number of this process.
    pub(crate) fn instance(&self) -> u64 {
        self.instance.load(Ordering::Relaxed)
    }

    /// Takes the number of the process from which this one takes over.
    pub(crate) fn set_instance(&self, instance: u64) {
        self.instance.store(instance, Ordering::Relaxed);
    }

    /// Returns who we are.
    pub(crate) fn identity(&self) -> Identity {
        self.identity.read().clone()
    }

    /// Sets who we are from now on: what is set up already keeps the key that it has shown.
    pub(crate) fn set_identity(&self, identity: Identity) {
        let mut setup = self.setup.write();
        *setup = LaneSetup::new(setup.transport.clone(), &identity, &self.allowed);
        *self.identity.write() = identity;
    }

    /// Returns the settings of connections to come.
    pub(crate) fn transport(&self) -> LaneTransport {
        self.setup.read().transport.clone()
    }

    /// Sets the settings of connections to come.
    pub(crate) fn set_transport(&self, transport: LaneTransport) {
        *self.setup.write() = LaneSetup::new(transport, &self.identity(), &self.allowed);
    }

    /// Sets where the node can be reached.
    pub(crate) fn set_endpoints(&self, listen: Vec<SocketAddr>, configured: Vec<SocketAddr>) {
        *self.endpoints.write() = Endpoints { listen, configured };
    }

    /// Returns whether lanes are accepted on this address.
    pub(crate) fn listens_on(&self, addr: SocketAddr) -> bool {
        self.endpoints.read().listen.contains(&addr)
    }

    /// Returns where the node can be reached, with the addresses that its uplinks have now.
    pub(crate) fn own_locators(&self) -> Vec<Locator> {
        let ours: Vec<_> = self.uplinks.now().uplinks.iter().flat_map(|u| u.ips()).collect();
        let Endpoints { listen, configured } = &*self.endpoints.read();
        locators::own(configured, listen, &ours)
    }

    /// Returns what makes the configuration of a connection that a peer dials, as we are now.
    pub(crate) fn accepting(&self) -> Arc<ServerFactory> {
        self.setup.read().accepting.clone()
    }

    /// Returns the uplink that a local address belongs to.
    pub(crate) fn uplink_of(&self, local: IpAddr) -> Option<String> {
        let snapshot = self.uplinks.now();
        let of = |u: &&Uplink| u.ips().any(|ip| ip == local);
        snapshot.uplinks.iter().find(of).map(|u| u.name.clone())
    }

    /// Returns whether flows are to leave the uplink, where they can.
    pub(crate) fn is_being_left(&self, uplink: &str) -> bool {
        self.drains.contains(uplink) || self.allowances.forbids(uplink)
    }

    /// Returns whether only thin flows may use the uplink.
    pub(crate) fn is_for_thin_flows(&self, uplink: &str) -> bool {
        self.allowances.of(uplink) == Allowance::ThinFlows
    }

    /// Returns what watches every packet of a socket.
    pub(crate) fn watchers(&self) -> (Cuts, Meter) {
        (self.cuts.clone(), self.meter.clone())
    }

    /// Returns what a lane costs that is new on this path.
    pub(crate) fn first_cost(&self, path: &Path) -> Cost {
        let charge = self.charge(&path.uplink, path.metered);
        Cost::of_charge(path.order, charge, HoldState::Normal)
    }

    /// Returns what the use of an uplink costs now; `metered` says so of one that is gone.
    pub(crate) fn charge(&self, uplink: &str, metered: bool) -> Charge {
        if self.is_for_thin_flows(uplink) {
            return Charge::ThinFlows;
        }
        let snapshot = self.uplinks.now();
        let overflow = snapshot.uplinks.iter().find(|u| u.name == uplink).and_then(|u| u.overflow);
        match (overflow, metered) {
            (_, true) => Charge::Metered,
            (Some(after), false) => Charge::Overflow(after),
            (None, false) => Charge::Free,
        }
    }
}

impl LaneSetup {
    fn new(transport: LaneTransport, identity: &Identity, allowed: &Arc<PeerSet>) -> Self {
        let accepting = transport::server_config(&transport, identity, allowed.clone());
        Self { transport, accepting: Arc::new(accepting) }
    }
}
