//! The handle to a node, and what becomes of the node when the last one is dropped.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime;

use super::keepers::Keepers;
use super::listeners::Listeners;
use super::router::Router;
use super::{shutdown, status};
use crate::engine::allowances::{Allowance, BudgetReport};
use crate::engine::context::NodeContext;
use crate::engine::drains::{Drain, UnknownUplink};
use crate::engine::sessions::Sessions;
use crate::events::{EventKind, Events, Subject};
use crate::status::NodeStatus;
use crate::stream::KeepAlive;
use throughline_proto::types::{PeerId, PeerName, Target};

/// How long a node whose last handle was dropped goes on delivering what finished flows wrote. As
/// long as a daemon gives its flows when it is stopped.
const DELIVERY_AFTER_DROP: Duration = Duration::from_secs(10);

/// A running node; clones are handles to the same one.
///
/// # When it ends
/// With [`Node::shutdown`]; or when the last handle to it is dropped: every clone of the `Node`,
/// every [`Listener`](crate::Listener) and [`IncomingFlow`](crate::IncomingFlow), every
/// [`FlowStream`](crate::FlowStream) and its halves. Then it ends in the background, within 10 s,
/// as long as the runtime runs: what finished flows wrote is still delivered.
/// [`Events`] do not keep it alive.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::net::{IpAddr, SocketAddr};
/// use std::time::Duration;
/// use throughline::{Identity, Node, PeerConfig, UplinkConfig};
///
/// let office = Identity::generate().peer_id(); // or `"tlk1…".parse()?`
/// let address = SocketAddr::from(([127, 0, 0, 1], 5443));
/// let node = Node::builder()
///     .uplink(UplinkConfig::new("isp-a").prefix(IpAddr::from([127, 0, 1, 1])))
///     .uplink(UplinkConfig::new("isp-b").prefix(IpAddr::from([127, 0, 2, 1])))
///     .peer(PeerConfig::new(office, "office").locator(address))
///     .build()
///     .await?;
/// for uplink in node.status().uplinks {
///     println!("{} has {:?}", uplink.name, uplink.addresses);
/// }
/// node.drain_uplink("isp-a")?; // nothing new goes over it
/// node.resume_uplink("isp-a")?;
/// node.shutdown(Duration::from_secs(1)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Node(Arc<Inner>);

/// What all handles share. Whoever keeps it keeps the node alive.
struct Inner {
    sessions: Arc<Sessions>,
    router: Router,
    listeners: Listeners,
    keepers: Keepers,
    /// Held by the change of the configuration that is under way.
    reconfiguring: Arc<tokio::sync::Mutex<()>>,
    /// The runtime that the node was built in, where it ends if nobody shuts it down.
    runtime: runtime::Handle,
    ended: AtomicBool,
}

impl Node {
    pub(super) fn new(
        sessions: Arc<Sessions>,
        router: Router,
        listeners: Listeners,
        keepers: Keepers,
    ) -> Self {
        let inner = Arc::new(Inner {
            sessions,
            router,
            listeners,
            keepers,
            reconfiguring: Arc::default(),
            runtime: runtime::Handle::current(),
            ended: AtomicBool::new(false),
        });
        let kept: KeepAlive = inner.clone();
        inner.router.set_node(Arc::downgrade(&kept));
        Self(inner)
    }

    pub(super) fn context(&self) -> &NodeContext {
        &self.0.sessions.context
    }

    pub(crate) fn sessions(&self) -> &Arc<Sessions> {
        &self.0.sessions
    }

    pub(super) fn router(&self) -> &Router {
        &self.0.router
    }

    pub(super) fn listeners(&self) -> &Listeners {
        &self.0.listeners
    }

    pub(super) fn keepers(&self) -> &Keepers {
        &self.0.keepers
    }

    pub(super) fn reconfiguring(&self) -> &Arc<tokio::sync::Mutex<()>> {
        &self.0.reconfiguring
    }

    /// Notes that nothing is to be done at the end.
    pub(super) fn set_ended(&self) {
        self.0.ended.store(true, Ordering::Relaxed);
    }

    /// Returns what keeps the node alive without being a handle.
    pub(super) fn keep_alive(&self) -> KeepAlive {
        self.0.clone()
    }

    /// Returns our public key.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.context().identity().peer_id()
    }

    /// Returns a peer's name in the configuration; the beginning of its key where it is none of ours.
    #[must_use]
    pub fn peer_name(&self, peer: PeerId) -> PeerName {
        self.context().peers.name(self.context().peers.resolve(peer))
    }

    /// Returns the UDP addresses that we accept lanes on.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.0.listeners.addrs()
    }

    /// Returns the number of flows with all the peers.
    #[must_use]
    pub fn live_flows(&self) -> usize {
        self.sessions().live_flows()
    }

    /// Returns how many peers a lane that answers leads to, and how many there are.
    #[must_use]
    pub fn reached_peers(&self) -> (usize, usize) {
        let peers = self.context().peers.ids();
        let reached = peers.iter().filter(|peer| self.sessions().is_reached(**peer)).count();
        (reached, peers.len())
    }

    /// Returns a snapshot of the node: its uplinks, peers, sessions, lanes and flows.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        status::of(self.sessions(), self.local_addrs(), status::Detail::Flows)
    }

    /// Returns what [`status`](Self::status) does without the flows, but for how many there are: as cheap with
    /// thousands of them as with none, for whoever asks often.
    #[must_use]
    pub fn status_without_flows(&self) -> NodeStatus {
        status::of(self.sessions(), self.local_addrs(), status::Detail::Lanes)
    }

    /// Returns what happened of late, and a stream of what happens from now on.
    #[must_use]
    pub fn events(&self) -> Events {
        self.context().events.follow()
    }

    /// Emits the event `flow-refused` for a flow that this host's own ingress refused to open, which
    /// only the ingress knows of. Throttled like those that a peer caused.
    pub fn report_refused_flow(&self, target: &Target, reason: &str) {
        self.context().events.emit_flow_refused(Subject::default(), target, reason);
    }

    /// Emits the event `config-changed`, for whoever [changes](Self::prepare) the configuration: a phrase
    /// such as "peer branch1 added".
    pub fn report_config_change(&self, change: impl Into<String>) {
        let change = change.into();
        self.context().events.emit(Subject::default(), EventKind::ConfigChanged { change });
    }

    /// Emits the event `config-refused`, and a line at level ERROR.
    pub fn report_config_refused(&self, reason: impl Into<String>) {
        let reason = reason.into();
        self.context().events.emit(Subject::default(), EventKind::ConfigRefused { reason });
    }

    /// Emits the event `flow-revoked`, for a flow of the peer's that an egress has ended.
    pub fn report_revoked_flow(&self, peer: &PeerName, target: &Target) {
        let about = Subject { peer: Some(peer.clone()), ..Subject::default() };
        let target = target.to_string();
        self.context().events.emit(about, EventKind::FlowRevoked { target });
    }

    /// Has every lane asked whether it answers, and returns when each has had time to, within some seconds: what
    /// [`status`](Self::status) shows then is no older than that, however idle the lanes were. Cancel-safe.
    pub async fn probe_lanes(&self) {
        self.sessions().probe_all().await;
    }

    /// Drains the uplink `name`: flows leave its lanes at once where there is another way, and
    /// nothing new goes over it until [`resume_uplink`](Self::resume_uplink) or the end of the node.
    ///
    /// # Errors
    /// There is no such uplink; [`UnknownUplink`] names those there are.
    pub fn drain_uplink(&self, name: &str) -> Result<Drain, UnknownUplink> {
        self.sessions().set_drained(name, true)
    }

    /// Uses the uplink `name` again.
    ///
    /// # Errors
    /// There is no such uplink; [`UnknownUplink`] names those there are.
    pub fn resume_uplink(&self, name: &str) -> Result<Drain, UnknownUplink> {
        self.sessions().set_drained(name, false)
    }

    /// Sets how much of the uplink `name` may be used until it is set again; returns whether that is a change. Flows
    /// leave an uplink of which nothing may be used as they leave a drained one, and its lanes are closed three
    /// seconds later, even where no other uplink answers: flows wait then. Whoever tells it why is
    /// [`report_budget`](Self::report_budget).
    ///
    /// # Errors
    /// There is no such uplink; [`UnknownUplink`] names those there are.
    pub fn allow_uplink(&self, name: &str, allowance: Allowance) -> Result<bool, UnknownUplink> {
        self.sessions().check_limitable(name)?;
        Ok(self.limit_uplink(name, allowance))
    }

    /// Does what [`allow_uplink`](Self::allow_uplink) does, also of an uplink that comes only later.
    pub(super) fn limit_uplink(&self, name: &str, allowance: Allowance) -> bool {
        let changed = self.sessions().allow(name, allowance);
        if changed && allowance == Allowance::Nothing {
            let sessions = Arc::downgrade(self.sessions());
            self.0.runtime.spawn(Sessions::end_lanes_over(sessions, name.to_owned()));
        }
        changed
    }

    /// Returns the bytes that went over each uplink since the last call, both ways, as a provider counts them: every
    /// UDP datagram of this node with its headers of UDP and IP. The first call begins to count.
    pub fn take_uplink_bytes(&self) -> BTreeMap<String, u64> {
        self.sessions().take_bytes()
    }

    /// Emits an event about an uplink's budget, for whoever keeps one.
    pub fn report_budget(&self, uplink: &str, report: BudgetReport) {
        let kind = match report {
            BudgetReport::Low { used, budget, resets } => {
                EventKind::BudgetLow { used, budget, resets }
            }
            BudgetReport::Spent { used, budget, allowance, resets } => {
                let last = allowance == Allowance::Nothing && self.sessions().is_last(uplink);
                let allows = match allowance {
                    Allowance::Nothing => "nothing",
                    Allowance::ThinFlows => "thin-flows",
                    Allowance::Everything => "everything",
                };
                let allows = allows.to_owned();
                EventKind::BudgetSpent { used, budget, allows, last, resets }
            }
            BudgetReport::Renewed { budget } => EventKind::BudgetRenewed { budget },
        };
        self.context().events.emit_uplink(uplink, kind);
    }

    /// Has everything that this node sends and receives over the uplink `name` vanish for `duration`, as if its ISP
    /// had died silently: a drill. Flows go on over the other uplinks, where there are any; it ends by itself.
    /// [`peers_only_over`](Self::peers_only_over) says before it which peers no other uplink reaches. The events
    /// `cut-started`, which says by whom it was asked for, and `cut-ended` tell of it.
    ///
    /// # Errors
    /// There is no such uplink; [`UnknownUplink`] names those there are.
    pub fn cut_uplink(
        &self,
        name: &str,
        duration: Duration,
        asked_by: &str,
    ) -> Result<(), UnknownUplink> {
        let addresses = self.sessions().cut_uplink(name, duration, asked_by)?;
        let (sessions, about) = (Arc::downgrade(self.sessions()), (name.to_owned(), addresses));
        self.0.runtime.spawn(Sessions::emit_end_of_cut(sessions, about, duration));
        Ok(())
    }

    /// Returns the names of the peers to which lanes over the uplink `name` lead and, as far as is known, no other
    /// answers; [`probe_lanes`](Self::probe_lanes) before it makes sure.
    #[must_use]
    pub fn peers_only_over(&self, name: &str) -> Vec<String> {
        self.sessions().only_reached_over(name)
    }

    /// Completes when the node begins to shut down or is gone, for servers that are told so by a future: it borrows
    /// nothing, and does not keep the node alive.
    pub fn shutting_down(&self) -> impl Future<Output = ()> + Send + 'static {
        let (sessions, mut changes) = (Arc::downgrade(self.sessions()), self.sessions().changes());
        async move {
            while sessions.upgrade().is_some_and(|sessions| !sessions.is_shutting_down()) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        }
    }

    /// Ends the node: no new flows; live ones have until `deadline` to end, then are reset. The
    /// peers are told, and the routes that the node set are removed.
    pub async fn shutdown(&self, deadline: Duration) {
        let Inner { sessions, router, listeners, ended, .. } = &*self.0;
        shutdown::end(sessions, router, listeners, deadline).await;
        ended.store(true, Ordering::Relaxed);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.ended.load(Ordering::Relaxed) {
            return;
        }
        let (sessions, router) = (self.sessions.clone(), self.router.clone());
        let listeners = self.listeners.clone();
        self.runtime.spawn(async move {
            shutdown::end(&sessions, &router, &listeners, DELIVERY_AFTER_DROP).await;
        });
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Node").field(&self.id()).finish()
    }
}
