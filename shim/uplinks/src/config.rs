//! What a node is told about its uplinks, and why managing their routes can fail.

use std::io;
use std::time::Duration;

use ipnet::IpNet;
use thiserror::Error;
use throughline_proto::types::AddressClass;

/// An uplink as a node is configured with it: a name, and how its addresses are recognised.
///
/// ```
/// # use throughline_uplinks::UplinkConfig;
/// let fibre = UplinkConfig::new("isp-a").prefix("192.0.2.0/28".parse::<ipnet::IpNet>()?);
/// let mobile = UplinkConfig::new("lte").interface("wwan0").metered(true);
/// # Ok::<_, ipnet::AddrParseError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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
    /// Whether using it costs money, and bulk may cost it: for how long every other uplink has to be full before.
    pub overflow: Option<Duration>,
}

impl UplinkConfig {
    /// Creates an uplink that has no address until it is given a prefix or an interface.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Adds a prefix (or an address) whose local addresses belong to the uplink.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<IpNet>) -> Self {
        self.prefixes.push(prefix.into());
        self
    }

    /// Adds prefixes.
    #[must_use]
    pub fn prefixes(mut self, prefixes: impl IntoIterator<Item = IpNet>) -> Self {
        self.prefixes.extend(prefixes);
        self
    }

    /// Sets the interface whose addresses belong to the uplink.
    #[must_use]
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interface = Some(name.into());
        self
    }

    /// Sets whose addresses they are.
    #[must_use]
    pub fn class(mut self, class: AddressClass) -> Self {
        self.class = class;
        self
    }

    /// Sets whether using the uplink costs money.
    #[must_use]
    pub fn metered(mut self, metered: bool) -> Self {
        self.metered = metered;
        self
    }

    /// Has bulk use the uplink beside the others once each of them has been full for so long, from 1 to 60 seconds;
    /// else flows use it where no other answers, but it always has a lane.
    #[must_use]
    pub fn overflow(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.overflow = after.into();
        self
    }
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
    /// The file that keeps two processes from managing them at once cannot be made.
    #[error("no lock can be taken in /run, $XDG_RUNTIME_DIR or the temporary directory: {0}")]
    Lock(#[source] io::Error),
    /// The system has no rules by source that could be set.
    #[error("this system is not supported; do without `manage-routes`")]
    Unsupported,
    /// The kernel failed.
    #[error("the kernel refused: {0}; do without `manage-routes` where it has no policy routing")]
    Kernel(#[source] io::Error),
}
