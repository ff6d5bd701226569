//! One change of a configuration, and what it does to what is live.

use std::fmt;
use std::net::SocketAddr;

use crate::proxy::ingress::Listen;
use throughline::PeerId;

/// A change of a configuration. `Display` gives a phrase for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// This host has another key.
    OwnKey {
        /// The former one.
        from: PeerId,
        /// The present one.
        to: PeerId,
    },
    /// A field at the top level or in `[limits]` has another value.
    Setting {
        /// The field.
        field: &'static str,
        /// Its former value.
        from: String,
        /// Its present value.
        to: String,
        /// What it does not change, if anything.
        note: &'static str,
    },
    /// Peers may dial us at another address.
    ListenAdded(SocketAddr),
    /// Peers may no longer dial us at an address.
    ListenRemoved(SocketAddr),
    /// There is another uplink.
    UplinkAdded(String),
    /// An uplink is gone.
    UplinkRemoved(String),
    /// An uplink has other addresses or properties.
    UplinkChanged(String),
    /// Uplinks are preferred in another order.
    UplinkOrder,
    /// There is another peer.
    PeerAdded(String),
    /// A peer is gone.
    PeerRemoved(String),
    /// A peer is called otherwise.
    PeerRenamed {
        /// Its former name.
        from: String,
        /// Its present name.
        to: String,
    },
    /// A peer is known by another key first.
    FirstKey {
        /// The peer's name.
        peer: String,
        /// The key.
        key: PeerId,
    },
    /// A peer may show another key.
    KeyAdded {
        /// The peer's name.
        peer: String,
        /// The key.
        key: PeerId,
    },
    /// A peer may no longer show a key.
    KeyRemoved {
        /// The peer's name.
        peer: String,
        /// The key.
        key: PeerId,
    },
    /// A peer can be dialed elsewhere.
    Locators {
        /// The peer's name.
        peer: String,
        /// Its present locators.
        to: Vec<String>,
    },
    /// A peer may reach other destinations.
    Allow {
        /// The peer's name.
        peer: String,
        /// The entries that are new.
        added: Vec<String>,
        /// The entries that are gone.
        removed: Vec<String>,
    },
    /// There is another ingress.
    IngressAdded {
        /// Its name.
        name: String,
        /// Where it listens; none of one that intercepts.
        listen: Option<Listen>,
    },
    /// An ingress is gone.
    IngressRemoved(String),
    /// An ingress is called otherwise.
    IngressRenamed {
        /// Its former name.
        from: String,
        /// Its present name.
        to: String,
    },
    /// An ingress speaks another protocol, has other credentials or another destination.
    IngressChanged(String),
    /// Connections go elsewhere: `[[rule]]`, or what ingresses and the top level say where none matches.
    Rules,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OwnKey { from, to } => write!(
                f,
                "this host's key is {to} instead of {from}; lanes are replaced by lanes with it"
            ),
            Self::Setting { field, from, to, note } => {
                write!(f, "`{field}` is {to} instead of {from}{note}")
            }
            Self::ListenAdded(addr) => write!(f, "peers may dial us at {addr}"),
            Self::ListenRemoved(addr) => {
                write!(f, "peers may no longer dial us at {addr}; the lanes there go on")
            }
            Self::UplinkAdded(name) => write!(f, "uplink {name} added"),
            Self::UplinkRemoved(name) => write!(f, "uplink {name} removed; its lanes drain"),
            Self::UplinkChanged(name) => write!(f, "uplink {name} changed"),
            Self::UplinkOrder => f.write_str("the order of the uplinks changed"),
            Self::PeerAdded(name) => write!(f, "peer {name} added"),
            Self::PeerRemoved(name) => write!(f, "peer {name} removed; its sessions end"),
            Self::PeerRenamed { from, to } => write!(f, "peer {from} is called {to}"),
            Self::FirstKey { peer, key } => write!(
                f,
                "peer {peer} is known by the key {key}; lanes with another are dialed anew"
            ),
            Self::KeyAdded { peer, key } => write!(f, "peer {peer} may show the key {key}"),
            Self::KeyRemoved { peer, key } => {
                write!(f, "peer {peer} may no longer show the key {key}; lanes with it end")
            }
            Self::Locators { peer, to } if to.is_empty() => {
                write!(f, "peer {peer} has no locators; it has to dial this host")
            }
            Self::Locators { peer, to } => write!(f, "peer {peer} is dialed at {}", to.join(", ")),
            Self::Allow { peer, added, removed } => {
                write!(f, "peer {peer}")?;
                if !added.is_empty() {
                    write!(f, " may reach {}", added.join(", "))?;
                }
                if !removed.is_empty() {
                    let and = if added.is_empty() { " may" } else { ", and" };
                    write!(f, "{and} no longer reach {}", removed.join(", "))?;
                }
                Ok(())
            }
            Self::IngressAdded { name, listen: Some(listen) } => {
                write!(f, "ingress {name} added at {listen}")
            }
            Self::IngressAdded { name, listen: None } => {
                write!(f, "ingress {name} added, which intercepts")
            }
            Self::IngressRemoved(name) => {
                write!(f, "ingress {name} removed; its connections go on")
            }
            Self::IngressRenamed { from, to } => write!(f, "ingress {from} is called {to}"),
            Self::IngressChanged(name) => {
                write!(f, "ingress {name} changed, for connections to come")
            }
            Self::Rules => f.write_str("the rules changed, for connections to come"),
        }
    }
}
