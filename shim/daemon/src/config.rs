//! The configuration of a daemon: real types, made from TOML (DESIGN.md §9) or in a program.
//!
//! Parsed, not validated: what a [`Config`] holds is right. The text is read in two steps, `raw`
//! (the shape, by serde) and `parse` (the meaning); every error of either says in which file, where
//! and what, and how to mend it.

mod error;
mod nearest;
mod parse;
mod parse_ingress;
mod raw;
mod size;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::proxy::acl::Acl;
use crate::proxy::policy::{Policy, Via};
use crate::proxy::socks5::Credentials;
use throughline::identity::Identity;
use throughline::node::{Limits, PeerConfig, UplinkConfig};
use throughline_proto::types::{PeerId, Target};

pub use error::ConfigError;

/// What a daemon is to do.
#[derive(Clone)]
pub struct Config {
    /// Who we are.
    pub identity: IdentitySource,
    /// The UDP addresses to accept lanes on; none where nobody dials in. Port 0 picks a free one.
    pub listen: Vec<SocketAddr>,
    /// The bounds of the node.
    pub limits: Limits,
    /// The uplinks in order of preference; discovered where there is none.
    pub uplinks: Vec<UplinkConfig>,
    /// Whether to set rules and routes so that packets leave by their own uplink.
    pub manage_routes: bool,
    /// The peers we trust.
    pub peers: Vec<Peer>,
    /// Where applications' flows enter.
    pub ingresses: Vec<Ingress>,
    /// Which way they go.
    pub policy: Policy,
    /// The admin socket.
    pub admin: Admin,
    /// What is wrong where a peer's key turns out to be our own, which is known only when the
    /// identity has been read.
    own_key: HashMap<PeerId, ConfigError>,
}

/// Where the key of the daemon comes from.
#[derive(Clone)]
pub enum IdentitySource {
    /// A file, read when the daemon starts.
    File(PathBuf),
    /// It is at hand.
    Given(Identity),
}

/// Where the admin socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// There is none.
    Off,
    /// At the default place, if that can be written to.
    Default,
    /// Here.
    At(PathBuf),
}

/// A peer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// What the node is told of it.
    pub config: PeerConfig,
    /// What it may reach through us.
    pub acl: Acl,
}

/// Where applications' flows enter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// Its name, by which rules call it.
    pub name: String,
    /// The TCP address it listens on. Port 0 picks a free one.
    pub listen: SocketAddr,
    /// What it speaks.
    pub kind: IngressKind,
}

/// What an ingress speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IngressKind {
    /// SOCKS5 (RFC 1928), with these credentials where there are some.
    Socks5(Option<Credentials>),
    /// Every connection is for this target.
    Forward(Target),
}

impl Config {
    /// A configuration that does nothing yet: no peer, no ingress, no admin socket; what comes in
    /// is rejected. For a program that fills it in.
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

    /// Reads the configuration file `path`.
    ///
    /// # Errors
    /// The file cannot be read, or something in it is wrong.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        Self::parse(path, &text)
    }

    /// Checks that no peer of the file has the key `ours`, which is ours.
    ///
    /// # Errors
    /// One has: where its key stands.
    pub fn check_own_key(&self, ours: PeerId) -> Result<(), ConfigError> {
        self.own_key.get(&ours).cloned().map_or(Ok(()), Err)
    }

    /// Reads a configuration from `text`; `path` is what errors call it, and paths in it are
    /// relative to the directory of `path`.
    ///
    /// # Errors
    /// Something in the text is wrong.
    pub fn parse(path: impl AsRef<Path>, text: &str) -> Result<Self, ConfigError> {
        parse::parse(path.as_ref(), text)
    }
}

#[cfg(test)]
mod tests;
