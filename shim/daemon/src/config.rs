//! The configuration of a daemon: typed, read from TOML (DESIGN.md §9) or built by a program.
//!
//! Parsed, not validated: a [`Config`] is valid by construction. [`Config::load`] works in two
//! steps, `raw` (the structure, by serde) and then one module per table (the meaning). Every error
//! names the file, the line and the column, says what is wrong and how to correct it.

mod error;
mod general;
mod ingresses;
mod load;
mod nearest;
mod peers;
mod raw;
mod rules;
mod size;
mod source;
mod uplinks;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::proxy::egress::acl::Acl;
use crate::proxy::ingress::socks5::Credentials;
use crate::proxy::rules::{Policy, Via};
use throughline::{Identity, Limits, PeerConfig, PeerId, Target, UplinkConfig};

pub use self::error::ConfigError;

/// The configuration of a daemon.
#[derive(Clone)]
pub struct Config {
    /// The daemon's identity.
    pub identity: IdentitySource,
    /// The UDP addresses to accept lanes on; none if no peer dials in. Port 0 picks a free one.
    pub listen: Vec<SocketAddr>,
    /// The node's limits.
    pub limits: Limits,
    /// The uplinks in order of preference; if empty, they are discovered.
    pub uplinks: Vec<UplinkConfig>,
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
    /// The TCP address it listens on. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// The protocol it speaks.
    pub kind: IngressKind,
}

/// The protocol of an ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IngressKind {
    /// SOCKS5 (RFC 1928), with these credentials if there are any.
    Socks5(Option<Credentials>),
    /// None: every connection goes to this target.
    Forward(Target),
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
            uplinks: Vec::new(),
            manage_routes: false,
            peers: Vec::new(),
            ingresses: Vec::new(),
            policy: Policy::new(Vec::new(), HashMap::new(), Via::Reject),
            admin: Admin::Off,
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
