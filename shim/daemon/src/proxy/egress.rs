//! The egress: authorizes, dials and relays the flows that peers open to TCP and UDP targets.
//!
//! Life of a flow: a peer opens it → its [`Acl`] is checked for any entry with that port → the name
//! is resolved and every address checked → the allowed addresses are raced → only then is the flow
//! accepted, so that the application at the other end learns the real outcome.

pub mod acl;
mod datagrams;
pub mod dial;
mod live;
mod own_addresses;
mod peers;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use self::acl::Acl;
use self::dial::dial;
use self::live::{LiveFlow, LiveFlows, Registered};
pub use self::own_addresses::OwnAddresses;
use self::own_addresses::RecentOwnAddresses;
pub use self::peers::PeerAcl;
use self::peers::{PeerState, Peers};
use crate::proxy::connections::{Connections, Place};
use crate::proxy::freezer::Setup;
use crate::proxy::refusals::RefusalLog;
use crate::proxy::relay::{Joint, Progress, Relayed, relay_until};
use crate::proxy::tasks::Tasks;
use throughline::{
    FailureCode, FlowStream, Host, IncomingFlow, Listener, OpenFailure, PeerId, PeerName, Target,
};

/// The egress of a daemon: what each peer may reach through it.
pub struct Egress {
    peers: Peers,
    live: LiveFlows,
    connections: Connections,
    own_addresses: RecentOwnAddresses,
    /// Refusals of peers without an ACL.
    refusals: RefusalLog,
}

/// A connected socket to a destination, and what it takes.
struct Connected<S> {
    socket: S,
    stop: CancellationToken,
    _descriptor: OwnedSemaphorePermit,
    _registered: Registered,
}

/// A flow that may be dialed, and what that takes.
struct Admission<'a> {
    acl: Arc<Acl>,
    state: Arc<PeerState>,
    key: PeerId,
    target: &'a Target,
    host: &'a Host,
    port: u16,
    own: &'a RecentOwnAddresses,
    descriptor: OwnedSemaphorePermit,
    _place: Place,
}

impl Admission<'_> {
    /// Returns whether the flow may go to an address. This host's own are those of now: a name's look-up may
    /// have taken seconds.
    fn allows(&self, ip: IpAddr) -> bool {
        let own = self.own.get(Instant::now());
        own.is_ok_and(|own| own.allows(&self.acl, self.host, ip, self.port))
    }
}

/// A live flow that was ended because the peer may no longer reach its destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedFlow {
    /// The peer.
    pub peer: PeerName,
    /// The flow's destination.
    pub target: Target,
}

impl Egress {
    /// Creates an egress with these ACLs; a peer without one reaches nothing.
    pub fn new(acls: impl IntoIterator<Item = PeerAcl>, connections: Connections) -> Self {
        Self {
            peers: Peers::new(acls),
            live: LiveFlows::default(),
            connections,
            own_addresses: RecentOwnAddresses::default(),
            refusals: RefusalLog::default(),
        }
    }

    /// Sets what each peer may reach from now on. Live flows go on; see
    /// [`end_not_permitted`](Self::end_not_permitted).
    pub fn set_acls(&self, acls: impl IntoIterator<Item = PeerAcl>) {
        self.peers.set(acls);
    }

    /// Ends the live flows that are not permitted any more, with a reset at both ends; returns them.
    pub fn end_not_permitted(&self, own_addresses: &OwnAddresses) -> Vec<RevokedFlow> {
        let ended = self.not_permitted(own_addresses);
        ended.iter().for_each(|flow| flow.stop.cancel());
        ended.into_iter().map(|flow| RevokedFlow { peer: flow.peer, target: flow.target }).collect()
    }

    fn not_permitted(&self, own_addresses: &OwnAddresses) -> Vec<LiveFlow> {
        let known = self.peers.now();
        self.live.not_permitted(|flow| {
            let Some((host, port)) = flow.target.host_and_port() else { return true };
            let acl = known.acl_of_flow(flow.key, &flow.of);
            own_addresses.allows(&acl, host, flow.address, port)
        })
    }

    /// Serves the flows of `listener` until the tasks are draining or the node ends.
    pub async fn serve(self: Arc<Self>, mut listener: Listener, tasks: Tasks) {
        loop {
            self.connections.freezer.open().await;
            let incoming = tokio::select! {
                incoming = listener.accept() => incoming,
                () = self.connections.freezer.closed() => continue,
                () = tasks.draining() => return,
            };
            // The only failure is the end of the node.
            let Ok(incoming) = incoming else { return };
            let egress = Arc::clone(&self);
            // Flows are dialed in the order they arrived, unless a name has to be resolved.
            tasks.spawn_in_order(async move {
                // Boxed: what connecting takes is not kept for the life of the flow.
                let relaying = Box::pin(egress.connect_flow(incoming)).await;
                // The relay needs nothing of it.
                drop(egress);
                if let Some(relaying) = relaying {
                    relaying.await;
                }
            });
            // The system is asked some questions for each. A peer that opens a thousand at once must not
            // keep other tasks of this thread waiting for all of them.
            yield_now().await;
        }
    }

    /// Goes on with a flow that another process has begun, whether or not it is permitted any more; returns
    /// what relays it.
    pub fn go_on(
        &self,
        joint: Joint,
        (flow, peer, target): (FlowStream, PeerName, Target),
    ) -> impl Future<Output = ()> + use<> {
        // None where both ends have closed: what the destination said last may still be unread, and is relayed.
        let tcp = joint.tcp.as_tcp();
        let address = tcp.and_then(|tcp| tcp.peer_addr().ok()).map(|address| address.ip());
        let stop = CancellationToken::new();
        let (key, name, to) = (flow.peer(), peer.clone(), target.clone());
        let of = self.peers.now().state(key).unwrap_or_default();
        let live = |address| {
            let stop = stop.clone();
            LiveFlow { key, of, peer: name, target: to, address, stop }
        };
        let registered = address.map(|address| self.live.register(live(address)));
        let descriptor = self.connections.descriptors.try_acquire();
        let stopped = stop.cancelled_owned();
        let place = self.connections.freezer.place();
        let relaying = Box::pin(relay_until(joint, flow, place, stopped));
        until_end(relaying, (descriptor, registered), (peer, target))
    }

    /// Connects a flow to its destination, and answers it; returns what relays it then.
    async fn connect_flow(
        &self,
        incoming: IncomingFlow,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let freezer = &self.connections.freezer;
        let set_up = freezer.setting_up(Setup::Flow);
        let (id, peer) = (incoming.peer(), incoming.peer_name().clone());
        let target = incoming.target().clone();
        match self.connect(id, &peer, &target).await {
            Ok(Connected {
                socket: tcp,
                stop,
                _descriptor: descriptor,
                _registered: registered,
            }) => {
                // While the flows are written down for another process this one is still to be answered there.
                let place = freezer.enter().await;
                debug!(%peer, %target, "flow opened");
                let progress = Progress::default();
                let joint = Joint { tcp: tcp.into(), ingress: None, progress };
                let flow = incoming.accept();
                // Boxed: whoever is given a future and awaits it has room for it twice.
                let relaying = Box::pin(relay_until(joint, flow, place, stop.cancelled_owned()));
                drop(set_up);
                Some(until_end(relaying, (descriptor, registered), (peer, target)))
            }
            Err(failure) => {
                self.log_refusal(id, &peer, &target, &failure);
                incoming.refuse(failure);
                None
            }
        }
    }

    fn log_refusal(&self, key: PeerId, peer: &PeerName, target: &Target, failure: &OpenFailure) {
        let reason = target.strip_from(&failure.detail);
        let state = self.peers.now().state(key);
        let refusals = state.as_ref().map_or(&self.refusals, |peer| &peer.refusals);
        if let Some(suppressed) = refusals.admit() {
            info!(%peer, %target, suppressed, "flow refused: {reason}");
        }
    }

    /// Connects to a TCP target.
    async fn connect(
        &self,
        key: PeerId,
        name: &PeerName,
        target: &Target,
    ) -> Result<Connected<TcpStream>, OpenFailure> {
        let flow = self.admit(key, target)?;
        let lookups = &flow.state.lookups;
        let tcp = dial(flow.host, flow.port, lookups, |ip| flow.allows(ip)).await?;
        self.connections.tcp().apply(&tcp);
        let address = tcp.peer_addr();
        self.register(name, flow, tcp, address)
    }

    /// Returns what it takes to dial a flow, if the peer may open it.
    fn admit<'a>(&'a self, key: PeerId, target: &'a Target) -> Result<Admission<'a>, OpenFailure> {
        let Some((host, port)) = target.host_and_port() else {
            return Err(OpenFailure::new(
                FailureCode::NoService,
                format!("the egress does not offer {target}"),
            ));
        };
        let Some(state) = self.peers.now().state(key) else { return Err(not_allowed(target)) };
        let acl = state.acl();
        if !acl.could_allow(host, port) {
            return Err(not_allowed(target));
        }
        let limit = self.connections.limits().dials_of_peer;
        let Some(_place) = state.dials.try_enter(limit) else {
            let detail = format!("the egress is dialing {limit} connections for this peer already");
            return Err(OpenFailure::new(FailureCode::LimitReached, detail));
        };
        let Some(descriptor) = self.connections.descriptors.try_acquire() else {
            let exhausted = self.connections.descriptors.exhausted();
            return Err(OpenFailure::new(FailureCode::LimitReached, exhausted));
        };
        let own = &self.own_addresses;
        own.get(Instant::now()).map_err(|error| own_addresses_unknown(&error))?;
        Ok(Admission { acl, state, key, target, host, port, own, descriptor, _place })
    }

    /// Registers a flow that was dialed, and checks it again.
    fn register<S>(
        &self,
        name: &PeerName,
        flow: Admission<'_>,
        socket: S,
        address: io::Result<SocketAddr>,
    ) -> Result<Connected<S>, OpenFailure> {
        let address =
            address.map_err(|error| OpenFailure::new(FailureCode::Other, error.to_string()))?.ip();
        let stop = CancellationToken::new();
        let registered = self.live.register(LiveFlow {
            key: flow.key,
            of: flow.state.clone(),
            peer: name.clone(),
            target: flow.target.clone(),
            address,
            stop: stop.clone(),
        });
        self.check_still_allowed(&flow, address)?;
        Ok(Connected { socket, stop, _descriptor: flow.descriptor, _registered: registered })
    }

    /// Checks a flow again whose ACL was changed while it was dialed. It is registered by now, so whoever
    /// changes the ACL later ends it.
    fn check_still_allowed(
        &self,
        flow: &Admission<'_>,
        address: IpAddr,
    ) -> Result<(), OpenFailure> {
        let now = self.peers.now().acl_of_flow(flow.key, &flow.state);
        if Arc::ptr_eq(&now, &flow.acl) {
            return Ok(());
        }
        let own = OwnAddresses::now().map_err(|error| own_addresses_unknown(&error))?;
        match own.allows(&now, flow.host, address, flow.port) {
            true => Ok(()),
            false => Err(not_allowed(flow.target)),
        }
    }
}

/// Relays a flow until it ends, and keeps what it takes until then.
async fn until_end<K>(
    relaying: impl Future<Output = Relayed>,
    kept: K,
    (peer, target): (PeerName, Target),
) {
    let relayed = relaying.await;
    drop(kept);
    debug!(%peer, %target, ?relayed, "flow ended");
}

fn not_allowed(target: &Target) -> OpenFailure {
    let detail = format!(
        "{target} is not allowed at the egress; add it to the `allow` list of the requesting peer in \
         the configuration there"
    );
    OpenFailure::new(FailureCode::NotAllowed, detail)
}

fn own_addresses_unknown(error: &io::Error) -> OpenFailure {
    let detail = format!("the egress cannot list its own addresses: {error}");
    OpenFailure::new(FailureCode::Other, detail)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::proxy::connections::Descriptors;

    const PEER: PeerId = PeerId::from_bytes([7; 32]);
    const UNKNOWN_PEER: PeerId = PeerId::from_bytes([8; 32]);

    async fn outcome(entries: &[&str], peer: PeerId, target: &str) -> Result<(), FailureCode> {
        let acl = Acl::new(entries.iter().map(|entry| entry.parse().unwrap()).collect());
        let egress = Egress::new([(vec![PEER], acl)], Connections::default());
        let connected = egress.connect(peer, &"p".into(), &target.parse().unwrap()).await;
        connected.map(drop).map_err(|failure| failure.code)
    }

    #[tokio::test]
    async fn the_egress_dials_only_what_an_entry_allows() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let here = format!("127.0.0.1:{port}");
        assert_eq!(outcome(&[&here], PEER, &here).await, Ok(()));
        let name = format!("localhost:{port}");
        assert_eq!(outcome(&[&name], PEER, &name).await, Ok(()));
        assert_eq!(outcome(&[&name], PEER, &here).await, Ok(()));
        for (entries, peer) in [
            (&[] as &[&str], PEER),
            (&["*:*"], PEER),
            (&["127.0.0.1:1"], PEER),
            (&["[::1]:*"], PEER),
            (&[&here], UNKNOWN_PEER),
        ] {
            let expected = Err(FailureCode::NotAllowed);
            assert_eq!(outcome(entries, peer, &here).await, expected, "{entries:?}");
        }
    }

    #[tokio::test]
    async fn a_name_is_not_resolved_for_a_peer_without_a_matching_port() {
        // It would be NameNotFound, or wait for the resolver.
        let result = outcome(&["*:443"], PEER, "no-such-host.invalid:80").await;
        assert_eq!(result, Err(FailureCode::NotAllowed));
    }

    #[tokio::test]
    async fn a_name_that_no_entry_could_allow_is_not_resolved() {
        // It would be NameNotFound, or wait for the resolver.
        let result = outcome(&["*.corp.example:80"], PEER, "no-such-host.invalid:80").await;
        assert_eq!(result, Err(FailureCode::NotAllowed));
        let result = outcome(&["*.corp.example:80", "10.0.0.0/8:81"], PEER, "x.invalid:80").await;
        assert_eq!(result, Err(FailureCode::NotAllowed));
    }

    #[tokio::test]
    async fn without_a_descriptor_a_flow_is_refused_with_what_to_do() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap().to_string();
        let acl = Acl::new(vec![target.parse().unwrap()]);
        let descriptors = Descriptors::of_limit(4);
        let mut connections = Connections::default();
        connections.descriptors = descriptors;
        let egress = Egress::new([(vec![PEER], acl)], connections);
        let (name, target) = (PeerName::from("p"), target.parse().unwrap());
        let connect = || egress.connect(PEER, &name, &target);
        let held = [connect().await, connect().await];
        assert!(held.iter().all(Result::is_ok));
        let refused = connect().await.map(drop).unwrap_err();
        assert_eq!(refused.code, FailureCode::LimitReached);
        assert!(refused.detail.contains("LimitNOFILE"), "{refused}");
        drop(held);
        assert!(connect().await.is_ok());
    }

    #[tokio::test]
    async fn a_narrower_acl_ends_the_flows_that_it_does_not_permit_and_no_others() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target: Target = listener.local_addr().unwrap().to_string().parse().unwrap();
        let acl = |entry: &str| Acl::new(vec![entry.parse().unwrap()]);
        let other = PeerId::from_bytes([9; 32]);
        let wide = || [(vec![PEER], acl("127.0.0.1:*")), (vec![other], acl("127.0.0.1:*"))];
        let egress = Egress::new(wide(), Connections::default());
        let own = OwnAddresses::now().unwrap();
        let flow = egress.connect(PEER, &"p".into(), &target).await.unwrap();
        let flow_of_other = egress.connect(other, &"o".into(), &target).await.unwrap();
        // Another key beside the one with which the flow was opened, and then instead of it.
        for keys in [vec![PEER, UNKNOWN_PEER], vec![UNKNOWN_PEER]] {
            egress.set_acls([(keys, acl("localhost:*")), (vec![other], acl("127.0.0.1:*"))]);
            assert_eq!(egress.end_not_permitted(&own), []);
        }
        egress.set_acls([
            (vec![UNKNOWN_PEER], acl("127.0.0.1:1")),
            (vec![other], acl("127.0.0.1:*")),
        ]);
        let revoked = RevokedFlow { peer: "p".into(), target: target.clone() };
        assert_eq!(egress.end_not_permitted(&own), [revoked]);
        assert!(flow.stop.is_cancelled() && !flow_of_other.stop.is_cancelled());
        drop(flow);
        // The peer of the other one is gone.
        egress.set_acls([]);
        assert_eq!(egress.end_not_permitted(&own).len(), 1);
        assert!(flow_of_other.stop.is_cancelled());
    }

    #[tokio::test]
    async fn a_closed_port_is_reported_differently_from_a_forbidden_one() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let result = outcome(&["127.0.0.0/8:*"], PEER, &format!("127.0.0.1:{port}")).await;
        assert_eq!(result, Err(FailureCode::Refused));
    }
}
