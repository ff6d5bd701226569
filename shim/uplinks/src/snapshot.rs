//! The uplinks of a host at one moment, as the watcher publishes them.

use crate::grouping::Uplink;
use crate::network_state::NetworkState;

/// The uplinks at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Grows with every snapshot; 0 is the one before the first reading.
    pub generation: u64,
    /// The uplinks, in the configured order.
    pub uplinks: Vec<Uplink>,
    /// The network state that they were derived from.
    pub network: NetworkState,
}
