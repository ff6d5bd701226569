//! Which way a new flow goes: the first rule that matches decides (DESIGN.md §7).
//!
//! A rule matches on the destination (a prefix or a name), the port and the ingress; what it leaves
//! out matches everything. Where no rule matches, the ingress's own `via` decides, and where it has
//! none, the default. A name is compared as a name: nothing is ever resolved here, so a prefix
//! never matches a name.

use std::collections::HashMap;
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;

use crate::proxy::ports::Ports;
use throughline_proto::types::{Host, Mode, PeerId, Target};

/// Where a flow goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// To the first of these peers that can be reached.
    Peers {
        /// The peers, in order of preference; never empty.
        via: Vec<PeerId>,
        /// How the flow uses the lanes.
        mode: Mode,
        /// What becomes of it where none of them can be reached.
        down: PeerDown,
    },
    /// Dialled from this host itself, as if Throughline were not there.
    Direct,
    /// Nowhere.
    Reject,
}

/// What a rule, an ingress or the default says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// Through one of these peers, in order.
    Peers(Vec<PeerId>),
    /// From this host itself.
    Direct,
    /// Not at all.
    Reject,
}

/// What becomes of a new flow where no peer that it may go through can be reached. Flows that are
/// open wait in any case: that is what a session is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PeerDown {
    /// It waits, for as long as its application may be kept waiting.
    #[default]
    Wait,
    /// It is dialled from this host itself, in the clear as far as we are concerned.
    Direct,
    /// It is refused at once.
    Reject,
}

/// A text that names no [`PeerDown`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is nothing to do while peers are down; use wait, direct or reject")]
pub struct ParsePeerDownError(pub String);

/// A host name, or every name below a domain (`*.corp.example`, not `corp.example` itself).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    name: String,
    below: bool,
}

/// A text that is no [`NamePattern`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a host name; write host.example, or *.example for every name below it")]
pub struct ParseNamePatternError(pub String);

/// The destinations a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Addresses of a prefix.
    Prefix(IpNet),
    /// Names.
    Name(NamePattern),
}

/// One rule. An empty list matches everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The destinations it is about.
    pub to: Vec<Destination>,
    /// The ports it is about.
    pub ports: Vec<Ports>,
    /// The ingresses it is about, by name.
    pub ingress: Vec<String>,
    /// What it says.
    pub via: Via,
    /// The mode; where absent, the ingress's, else `auto`.
    pub mode: Option<Mode>,
    /// What happens while its peers are down; where absent, what the ingress says, else the policy.
    pub down: Option<PeerDown>,
}

/// What an ingress says for flows that no rule matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngressDefault {
    /// The way out; where absent, the policy's default.
    pub via: Option<Via>,
    /// The mode; where absent, `auto`.
    pub mode: Option<Mode>,
    /// What happens while peers are down; where absent, what the policy says.
    pub down: Option<PeerDown>,
}

/// The rules in order, and what holds where none matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    ingresses: HashMap<String, IngressDefault>,
    default: Via,
    down: PeerDown,
}

impl Policy {
    /// A policy of these rules, in order; `default` holds for what nothing else decides.
    pub fn new(rules: Vec<Rule>, ingresses: HashMap<String, IngressDefault>, default: Via) -> Self {
        Self { rules, ingresses, default, down: PeerDown::default() }
    }

    /// The same policy, where `down` holds for what neither a rule nor an ingress decides.
    #[must_use]
    pub fn with_peer_down(mut self, down: PeerDown) -> Self {
        self.down = down;
        self
    }

    /// What the ingress says for flows that no rule matches.
    pub fn ingress(&self, name: &str) -> Option<&IngressDefault> {
        self.ingresses.get(name)
    }

    /// Where a flow to `target` goes that came in at the ingress named `ingress`.
    pub fn decide(&self, ingress: &str, target: &Target) -> Decision {
        let own = self.ingresses.get(ingress);
        let rule = self.rules.iter().find(|rule| rule.matches(ingress, target));
        let via = match rule {
            Some(rule) => &rule.via,
            None => own.and_then(|own| own.via.as_ref()).unwrap_or(&self.default),
        };
        let mode = rule.and_then(|rule| rule.mode).or_else(|| own.and_then(|own| own.mode));
        let down = rule.and_then(|rule| rule.down).or_else(|| own.and_then(|own| own.down));
        match via {
            Via::Peers(peers) => Decision::Peers {
                via: peers.clone(),
                mode: mode.unwrap_or_default(),
                down: down.unwrap_or(self.down),
            },
            Via::Direct => Decision::Direct,
            Via::Reject => Decision::Reject,
        }
    }
}

impl Rule {
    /// Whether the rule is about a flow to `target` from this ingress.
    pub fn matches(&self, ingress: &str, target: &Target) -> bool {
        let Target::Tcp { host, port } = target else { return false };
        (self.ingress.is_empty() || self.ingress.iter().any(|name| name == ingress))
            && (self.ports.is_empty() || self.ports.iter().any(|ports| ports.contains(*port)))
            && (self.to.is_empty() || self.to.iter().any(|to| to.matches(host)))
    }
}

impl Destination {
    fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            // An IPv4 address in IPv6 clothes (RFC 4291 §2.5.5.2) goes where the address goes.
            (Self::Prefix(prefix), Host::Ip(ip)) => prefix.contains(&ip.to_canonical()),
            (Self::Name(pattern), Host::Name(name)) => pattern.matches(name),
            (Self::Prefix(_), Host::Name(_)) | (Self::Name(_), Host::Ip(_)) => false,
        }
    }
}

impl NamePattern {
    /// Whether `name` is meant, without regard to case or a final dot.
    pub fn matches(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if self.below {
            name.strip_suffix(&self.name).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            name == self.name
        }
    }
}

impl FromStr for PeerDown {
    type Err = ParsePeerDownError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "wait" => Ok(Self::Wait),
            "direct" => Ok(Self::Direct),
            "reject" => Ok(Self::Reject),
            other => Err(ParsePeerDownError(other.to_owned())),
        }
    }
}

impl std::fmt::Display for PeerDown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wait => "wait",
            Self::Direct => "direct",
            Self::Reject => "reject",
        })
    }
}

impl FromStr for NamePattern {
    type Err = ParseNamePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseNamePatternError(text.to_owned());
        let (below, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        match Host::parse(name.strip_suffix('.').unwrap_or(name)) {
            Ok(Host::Name(name)) => Ok(Self { name, below }),
            Ok(Host::Ip(_)) | Err(_) => Err(error()),
        }
    }
}

impl std::fmt::Display for NamePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.name)
    }
}

#[cfg(test)]
mod tests;
