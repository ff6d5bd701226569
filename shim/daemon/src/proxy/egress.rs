//! The egress: authorizes, dials and relays the flows that peers open to TCP targets.
//!
//! Life of a flow: a peer opens it → its [`Acl`] is checked for any entry with that port → the name
//! is resolved and every address checked → the allowed addresses are raced → only then is the flow
//! accepted, so that the application at the other end learns the real outcome.

pub mod acl;
pub mod dial;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tracing::{debug, info};

use self::acl::Acl;
use self::dial::dial;
use crate::proxy::relay::relay;
use crate::proxy::tasks::Tasks;
use throughline::{FailureCode, IncomingFlow, Listener, OpenFailure, PeerId, Target};

/// Concurrent dials per peer: enough for a browser that opens everything at once, too few to scan
/// networks or to exhaust the resolver's threads (tokio has 512).
const MAX_DIALS_PER_PEER: usize = 128;

/// The egress of a daemon: what each peer may reach through it.
pub struct Egress {
    peers: HashMap<PeerId, Peer>,
}

struct Peer {
    acl: Acl,
    dials: Arc<Semaphore>,
}

impl Egress {
    /// Creates an egress with these ACLs; a peer without one reaches nothing.
    pub fn new(acls: impl IntoIterator<Item = (PeerId, Acl)>) -> Self {
        let peer = |acl| Peer { acl, dials: Arc::new(Semaphore::new(MAX_DIALS_PER_PEER)) };
        Self { peers: acls.into_iter().map(|(id, acl)| (id, peer(acl))).collect() }
    }

    /// Serves the flows of `listener` until the tasks are draining or the node ends.
    pub async fn serve(self: Arc<Self>, mut listener: Listener, tasks: Tasks) {
        loop {
            let incoming = tokio::select! {
                incoming = listener.accept() => incoming,
                () = tasks.draining() => return,
            };
            // The only failure is the end of the node.
            let Ok(incoming) = incoming else { return };
            let egress = Arc::clone(&self);
            // Flows are dialed in the order they arrived, unless a name has to be resolved.
            tasks.spawn_in_order(async move { egress.serve_flow(incoming).await });
        }
    }

    async fn serve_flow(&self, incoming: IncomingFlow) {
        let (id, peer) = (incoming.peer(), incoming.peer_name().clone());
        let target = incoming.target().clone();
        match self.connect(id, &target).await {
            Ok(tcp) => {
                debug!(%peer, %target, "flow opened");
                let relayed = relay(tcp, incoming.accept()).await;
                debug!(%peer, %target, ?relayed, "flow ended");
            }
            Err(failure) => {
                let reason = target.strip_from(&failure.detail);
                info!(%peer, %target, "flow refused: {reason}");
                incoming.refuse(failure);
            }
        }
    }

    async fn connect(&self, peer: PeerId, target: &Target) -> Result<TcpStream, OpenFailure> {
        let not_allowed = || {
            let detail = format!(
                "{target} is not allowed at the egress; add it to the `allow` list of the requesting \
                 peer in the configuration there"
            );
            OpenFailure::new(FailureCode::NotAllowed, detail)
        };
        let Target::Tcp { host, port } = target else {
            return Err(OpenFailure::new(
                FailureCode::NoService,
                format!("the egress does not offer {target}"),
            ));
        };
        let peer = self.peers.get(&peer).ok_or_else(not_allowed)?;
        if !peer.acl.could_allow(*port) {
            return Err(not_allowed());
        }
        let Ok(_permit) = peer.dials.try_acquire() else {
            let detail = format!(
                "the egress is dialing {MAX_DIALS_PER_PEER} connections for this peer already"
            );
            return Err(OpenFailure::new(FailureCode::LimitReached, detail));
        };
        let own_addresses = own_addresses().map_err(|error| {
            let detail = format!("the egress cannot list its own addresses: {error}");
            OpenFailure::new(FailureCode::Other, detail)
        })?;
        dial(host, *port, |ip| peer.acl.allows(host, ip, *port, &own_addresses)).await
    }
}

/// Returns this host's current addresses; they change, so they are never cached.
fn own_addresses() -> io::Result<Vec<IpAddr>> {
    Ok(if_addrs::get_if_addrs()?.into_iter().map(|interface| interface.ip()).collect())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const PEER: PeerId = PeerId::from_bytes([7; 32]);
    const UNKNOWN_PEER: PeerId = PeerId::from_bytes([8; 32]);

    async fn outcome(entries: &[&str], peer: PeerId, target: &str) -> Result<(), FailureCode> {
        let acl = Acl::new(entries.iter().map(|entry| entry.parse().unwrap()).collect());
        let egress = Egress::new([(PEER, acl)]);
        let connected = egress.connect(peer, &target.parse().unwrap()).await;
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
    async fn a_closed_port_is_reported_differently_from_a_forbidden_one() {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let result = outcome(&["127.0.0.0/8:*"], PEER, &format!("127.0.0.1:{port}")).await;
        assert_eq!(result, Err(FailureCode::Refused));
    }
}
