//! The rules that decide where a new flow goes, and the patterns they are made of.

mod name;
mod peer_down;
mod policy;
mod ports;

pub use self::name::{NamePattern, ParseNamePatternError};
pub use self::peer_down::{ParsePeerDownError, PeerDown};
pub use self::policy::{Decision, Destination, IngressDefault, Policy, Rule, Via};
pub use self::ports::{ParsePortsError, Ports};
