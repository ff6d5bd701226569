//! The live flows of the egress, so that those can be ended that are no longer permitted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::peers::PeerState;
use throughline::{PeerId, PeerName, Target};

/// The live flows: as many as the egress has connections. Clones share them; the lock is a leaf.
#[derive(Clone, Debug, Default)]
pub(super) struct LiveFlows(Arc<Mutex<Live>>);

#[derive(Debug, Default)]
struct Live {
    next: u64,
    flows: HashMap<u64, LiveFlow>,
}

/// What a flow leads to, and how it is ended.
#[derive(Clone, Debug)]
pub(super) struct LiveFlow {
    /// The key of the peer with which it came.
    pub(super) key: PeerId,
    pub(super) of: Arc<PeerState>,
    pub(super) peer: PeerName,
    pub(super) target: Target,
    /// The address that was dialed.
    pub(super) address: IpAddr,
    /// Ends the flow.
    pub(super) stop: CancellationToken,
}

/// A flow in the register, until it is dropped.
#[derive(Debug)]
pub(super) struct Registered {
    flows: LiveFlows,
    number: u64,
}

impl LiveFlows {
    /// Registers a flow.
    pub(super) fn register(&self, flow: LiveFlow) -> Registered {
        let mut live = self.0.lock();
        let number = live.next;
        live.next += 1;
        live.flows.insert(number, flow);
        Registered { flows: self.clone(), number }
    }

    /// Returns those flows for which `is_permitted` does not hold.
    pub(super) fn not_permitted(&self, is_permitted: impl Fn(&LiveFlow) -> bool) -> Vec<LiveFlow> {
        self.0.lock().flows.values().filter(|flow| !is_permitted(flow)).cloned().collect()
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.flows.0.lock().flows.remove(&self.number);
    }
}
