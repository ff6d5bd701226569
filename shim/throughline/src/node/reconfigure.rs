//! Changes the configuration of a running node: checked and bound first, then taken over at once.

use tokio::sync::OwnedMutexGuard;

use super::builder::NodeBuilder;
use super::error::BuildError;
use super::handle::Node;
use super::listeners::Prepared;
use throughline_uplinks::UplinksChange;

/// A configuration that a node can take over, from [`Node::prepare`]. Dropped, it changes nothing.
#[must_use = "a configuration that is not applied changes nothing"]
pub struct Reconfiguration {
    node: Node,
    new: NodeBuilder,
    listeners: Prepared,
    uplinks: UplinksChange,
    _one_at_a_time: OwnedMutexGuard<()>,
}

impl Node {
    /// Checks whether the node can take over another configuration as a whole, and binds the addresses that
    /// are new in it. Nothing changes before [`Reconfiguration::apply`]. Waits for another change that is
    /// under way.
    ///
    /// Without an [`identity`](NodeBuilder::identity) in it the node keeps its own.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> Result<(), throughline::BuildError> {
    /// use throughline::{Identity, Node, PeerConfig};
    ///
    /// let (laptop, phone) = (Identity::generate().peer_id(), Identity::generate().peer_id());
    /// let node = Node::builder().peer(PeerConfig::new(laptop, "laptop")).build().await?;
    ///
    /// let both = Node::builder()
    ///     .peer(PeerConfig::new(laptop, "laptop"))
    ///     .peer(PeerConfig::new(phone, "phone"));
    /// node.prepare(both).await?.apply();
    /// assert_eq!(node.status().peers.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`NodeBuilder::build`]; the node goes on as it is.
    pub async fn prepare(&self, new: NodeBuilder) -> Result<Reconfiguration, BuildError> {
        let one_at_a_time = self.reconfiguring().clone().lock_owned().await;
        let identity = new.identity.clone().unwrap_or_else(|| self.context().identity());
        new.check_keys(&identity)?;
        let listeners = self.listeners().prepare(self.context(), &new.bind, Vec::new())?;
        let uplinks = self.context().uplinks.prepare(&new.uplinks, new.manage_routes)?;
        let node = self.clone();
        Ok(Reconfiguration { node, new, listeners, uplinks, _one_at_a_time: one_at_a_time })
    }
}

impl Reconfiguration {
    /// Takes the configuration over. What it does not touch goes on: no lane, flow or socket is made anew.
    ///
    /// - **Peers** that are gone: their sessions end, and the peers are told. A peer stays as long as it keeps
    ///   one of its keys. Lanes on which a key was shown that is gone end at once; the session goes on over
    ///   lanes with another key. Names and locators are others from now on.
    /// - **Our identity**: the lanes that we have dialed are dialed anew with the new key, each before the
    ///   former one is closed. Those that peers have dialed keep the key that was shown, until a peer dials
    ///   them anew.
    /// - **The first key of a peer**: lanes that we have dialed, and on which it has shown another one, are
    ///   dialed anew once, since it may show the new one by now.
    /// - **Addresses**: one that is gone accepts no further lane; its lanes go on.
    /// - **Uplinks**: lanes follow their addresses; those on an uplink that is gone drain.
    /// - **Limits**: what sessions promised each other when they began (flows, linger, first windows) they
    ///   keep; a listener keeps its queue; all else holds from now on.
    pub fn apply(self) {
        self.apply_and(|| ());
    }

    /// As [`apply`](Self::apply), and calls `switch` in between: when what is new is there, and before what is
    /// gone ends. That is the moment to switch over what names peers, so that it never names one that is not
    /// there.
    pub fn apply_and<T>(self, switch: impl FnOnce() -> T) -> T {
        let Self { node, new, listeners, uplinks, .. } = self;
        let (context, sessions) = (node.context(), node.sessions());
        if let Some(identity) = new.identity {
            if identity.peer_id() != context.identity().peer_id() {
                context.peers.forget_refusals();
            }
            context.set_identity(identity);
        }
        // Before an uplink comes that nothing may go over.
        for (uplink, allowance) in &new.allowances {
            node.limit_uplink(uplink, *allowance);
        }
        sessions.set_limits(new.limits.clone());
        node.router().set_backlog(new.limits.flows_per_session);
        context.uplinks.apply(uplinks);
        node.listeners().apply(sessions, listeners);
        context.set_endpoints(node.listeners().addrs(), new.advertised);
        let change = context.peers.replace(new.peers);
        context.allowed.set(context.peers.keys());
        sessions.follow_peers(&change);
        sessions.follow_ourselves();
        node.keepers().follow_peers(sessions);
        let switched = switch();
        sessions.end_removed(&change.removed);
        switched
    }
}

impl std::fmt::Debug for Reconfiguration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reconfiguration").field("node", &self.node).finish_non_exhaustive()
    }
}
