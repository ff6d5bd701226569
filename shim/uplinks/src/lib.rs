//! A host's uplinks: which addresses it has, which paths they make to a peer, and whether packets
//! from an address leave by that address's own provider.
//!
//! ```text
//! I/O      netlink (Linux) or enumerate (elsewhere)  reads the network state
//!          watcher      one task: reads at every notification, publishes snapshots
//! pure     network_state ▸ grouping ▸ paths          addresses ▸ uplinks ▸ paths
//!          egress_check                              does the routing fit the source?
//!          routes                                    rules and tables that make it fit
//! face     uplinks                                   what a node asks and follows
//! ```
//!
//! [`Uplinks`] belongs to a node; its task, and all that the task did, end with it. Whoever wants to
//! know of changes follows the [`Snapshot`]s; nobody else enumerates addresses.

mod config;
mod egress_cache;
mod egress_check;
mod enumerate;
mod grouping;
mod local;
#[cfg(target_os = "linux")]
mod netlink;
mod network_state;
mod paths;
#[cfg(target_os = "linux")]
mod routes;
mod snapshot;
mod source;
mod status;
mod uplinks;
mod watcher;

pub use config::{ManageError, UplinkConfig};
pub use grouping::Uplink;
pub use local::leads_to_this_host;
pub use network_state::{Address, AddressState, DefaultRoute, Link, NetworkState, UsableAddress};
pub use snapshot::Snapshot;
pub use status::{EgressState, EgressStatus, UplinkStatus};
pub use uplinks::{Device, Uplinks, UplinksChange};
