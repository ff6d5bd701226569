//! What a node is told about its uplinks, and why managing their routes can fail.

use std::io;

use ipnet::IpNet;
use thiserror::Error;
use throughline_proto::types::AddressClass;

/// An uplink as a node is configured with it: a name, and how its addresses are recognised.
#[derive(Clone, Debug, Default)]
pub struct UplinkConfig {
    /// The name by which status, events and the command line call it.
    pub name: String,
    /// Local addresses with one of these prefixes belong to it. On loopback, where one prefix
    /// holds every address, a host prefix (`127.0.1.1/32`) stands for that address itself.
    pub prefixes: Vec<IpNet>,
    /// Alternatively: the addresses of this interface belong to it.
    pub interface: Option<String>,
    /// Whether the addresses are a provider's or the site's own.
    pub class: AddressClass,
    /// Whether using it costs money: no lane goes over it until another one is lost.
    pub metered: bool,
}

/// Why routes cannot be managed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManageError {
    /// The process may not change rules and routes.
    #[error("not permitted; give it CAP_NET_ADMIN, or do without `manage-routes`")]
    Denied,
    /// Another process manages them already, in this network namespace.
    #[error("another throughline does so here; let only one of them")]
    Taken,
    /// The system has no rules by source that could be set.
    #[error("this system is not supported; do without `manage-routes`")]
    Unsupported,
    /// The kernel failed.
    #[error("the kernel refused: {0}; do without `manage-routes` where it has no policy routing")]
    Kernel(#[source] io::Error),
}
