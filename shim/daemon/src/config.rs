//! The configuration of a daemon: typed, read from TOML (DESIGN.md §9) or built by a program.
//!
//! Parsed, not validated: a [`Config`] is valid by construction. [`Config::load`] works in two
//! steps, `raw` (the structure, by serde) and then one module per table (the meaning). Every error
//! names the file, the line and the column, says what is wrong and how to correct it.

mod budget;
mod error;
mod general;
mod ingresses;
mod intercept;
mod limits;
mod listen;
mod load;
mod nearest;
mod peers;
mod raw;
mod rules;
pub(crate) mod size;
mod source;
mod structure;
mod uplinks;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::proxy::connections::{ConnectionLimits, TcpTimeouts};
use crate::proxy::egress::acl::Acl;
use crate::proxy::ingress::Listen;
use crate::proxy::rules::{Policy, Via};
use throughline::{Identity, Limits, PeerConfig, PeerId, UplinkConfig};

pub use self::budget::{AtBudget, Budget};
pub use self::error::ConfigError;
pub use crate::proxy::ingress::{Clients, IngressKind, ProxyProtocol};

/// The configuration of a daemon.
#[derive(Clone)]
pub struct Config {
    /// The daemon's identity.
    pub identity: IdentitySource,
    /// The UDP addresses to accept lanes on; none if no peer dials in. Port 0 picks a free one.
    pub listen: Vec<SocketAddr>,
    /// The node's limits.
    pub limits: Limits,
    /// How many TCP connections there may be.
    pub connections: ConnectionLimits,
    /// How TCP connections whose other end is gone are noticed.
    pub tcp: TcpTimeouts,
    /// The uplinks in order of preference; if empty, they are discovered.
    pub uplinks: Vec<UplinkConfig>,
    /// What uplinks may carry in a month, by their names: those that have a budget.
    pub budgets: Vec<(String, Budget)>,
    /// Where it is kept what they have carried, if the file says so.
    pub state_directory: Option<PathBuf>,
    /// Whether to install rules and routes so that packets leave by their own uplink.
    pub manage_routes: bool,
    /// The trusted peers.
    pub peers: Vec<Peer>,
    /// The ingresses.
    pub ingresses: Vec<Ingress>,
    /// The rules that decide where flows go.
    pub policy: Policy,
    /// The admin socket.
    pub admin: Admin,
    /// The TCP address at which metrics can be read, if anywhere.
    pub metrics: Option<SocketAddr>,
    /// The status page, if there is one.
    pub web: Option<Web>,
    /// What is logged, in the syntax of `EnvFilter`; without it the default.
    pub log: Option<String>,
    /// The command that runs for each event, with its arguments; empty where there is none.
    pub on_event: Vec<String>,
    /// What becomes of live flows that a reload no longer permits.
    pub existing_flows: ExistingFlows,
    /// The error for each peer's key in case it is this host's own, which only the identity shows.
    own_key: HashMap<PeerId, ConfigError>,
}

/// The source of the daemon's identity.
#[derive(Clone)]
pub enum IdentitySource {
    /// A file, read when the daemon starts.
    File(PathBuf),
    /// An identity that the program supplies.
    Given(Identity),
}

/// The location of the admin socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// There is no admin socket.
    Off,
    /// The default path, if a socket can be created there.
    Default,
    /// This path.
    At(PathBuf),
}

/// Where the status page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// The TCP address; one that others reach only with a token.
    pub listen: SocketAddr,
    /// The file with the token that permits changes, and reading where others can connect.
    pub token_file: Option<PathBuf>,
}

/// A trusted peer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The node's view of it: name, key and locators.
    pub config: PeerConfig,
    /// The destinations that it may reach through this host.
    pub acl: Acl,
}

/// An ingress: where applications' connections enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// Its name, which rules refer to.
    pub name: String,
    /// Where it listens.
    pub listen: Listen,
    /// The protocol it speaks.
    pub kind: IngressKind,
    /// Who says who its clients are, and who is told.
    pub proxy_protocol: ProxyProtocol,
    /// Who its clients may be.
    pub clients: Clients,
}

/// What becomes of live flows of peers that a reload no longer permits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExistingFlows {
    /// They end.
    #[default]
    End,
    /// They go on; the next ones are refused.
    Keep,
}

impl Config {
    /// Creates a configuration that a program fills in.
    ///
    /// It has no peer, no ingress and no admin socket, and rejects every flow.
    pub fn new(identity: Identity) -> Self {
        Self::empty(IdentitySource::Given(identity))
    }

    fn empty(identity: IdentitySource) -> Self {
        Self {
            identity,
            listen: Vec::new(),
            limits: Limits::default(),
            connections: ConnectionLimits::default(),
            tcp: TcpTimeouts::default(),
            uplinks: Vec::new(),
            budgets: Vec::new(),
            state_directory: None,
            manage_routes: false,
            peers: Vec::new(),
            ingresses: Vec::new(),
            policy: Policy::new(Vec::new(), HashMap::new(), Via::Reject),
            admin: Admin::Off,
            metrics: None,
            web: None,
            log: None,
            on_event: Vec::new(),
            existing_flows: ExistingFlows::default(),
            own_key: HashMap::new(),
        }
    }

    /// Checks that no peer has `own_key`, the key of this host.
    ///
    /// # Errors
    /// A peer has it; the error points at the key.
    pub fn check_own_key(&self, own_key: PeerId) -> Result<(), ConfigError> {
        self.own_key.get(&own_key).cloned().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests;
