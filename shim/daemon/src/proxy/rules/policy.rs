//! Decides where a new flow goes: the first matching rule wins (DESIGN.md §7).
//!
//! A rule matches on the destination (a prefix or a name), the port and the ingress; a part that it
//! omits matches everything. Without a matching rule, the ingress's own `via` decides; without
//! that, the default. A name is compared as a name: nothing is resolved here, so a prefix never
//! matches a name.

use std::collections::HashMap;

use ipnet::IpNet;

use super::name::NamePattern;
use super::peer_down::PeerDown;
use super::ports::Ports;
use throughline::{Host, Mode, PeerId, Target};

/// Where a flow goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// To the first reachable one of these peers.
    Peers {
        /// The peers, in order of preference; never empty.
        via: Vec<PeerId>,
        /// How the flow uses the lanes.
        mode: Mode,
        /// What happens while none of the peers is reachable.
        peer_down: PeerDown,
    },
    /// To the destination, dialed from this host itself, as if Throughline were not there.
    Direct,
    /// Nowhere: it is rejected.
    Reject,
}

/// The way out that a rule, an ingress or the default names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// Through one of these peers, in order.
    Peers(Vec<PeerId>),
    /// From this host itself.
    Direct,
    /// Not at all.
    Reject,
}

/// Destinations that a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Every address in a prefix.
    Prefix(IpNet),
    /// Every name that matches a pattern.
    Name(NamePattern),
}

/// A rule. An empty list matches everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The destinations it matches.
    pub to: Vec<Destination>,
    /// The ports it matches.
    pub ports: Vec<Ports>,
    /// The ingresses it matches, by name.
    pub ingress: Vec<String>,
    /// Where a matching flow goes.
    pub via: Via,
    /// The flow's mode; if absent, the ingress's.
    pub mode: Option<Mode>,
    /// What happens while its peers are unreachable; if absent, what the ingress says.
    pub peer_down: Option<PeerDown>,
}

/// What an ingress says about its flows where the rules leave it open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IngressDefault {
    /// Where a flow goes that no rule matches; if absent, the policy's default.
    pub via: Option<Via>,
    /// The flow's mode; if absent, `auto`.
    pub mode: Option<Mode>,
    /// What happens while peers are unreachable; if absent, what the policy says.
    pub peer_down: Option<PeerDown>,
}

/// The rules in order, and the defaults for flows that no rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    rules: Vec<Rule>,
    ingresses: HashMap<String, IngressDefault>,
    default: Via,
    peer_down: PeerDown,
}

impl Policy {
    /// Creates a policy of these rules, in order; `default` applies where nothing else decides.
    pub fn new(rules: Vec<Rule>, ingresses: HashMap<String, IngressDefault>, default: Via) -> Self {
        Self { rules, ingresses, default, peer_down: PeerDown::default() }
    }

    /// Sets what happens while peers are unreachable, where neither a rule nor an ingress says.
    #[must_use]
    pub fn with_peer_down(mut self, peer_down: PeerDown) -> Self {
        self.peer_down = peer_down;
        self
    }

    /// Returns the defaults of the ingress named `name`.
    pub fn ingress(&self, name: &str) -> Option<&IngressDefault> {
        self.ingresses.get(name)
    }

    /// Returns the rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Returns where flows go that nothing else decides, and what happens while peers are unreachable.
    pub fn defaults(&self) -> (&Via, PeerDown) {
        (&self.default, self.peer_down)
    }

    /// Returns the same policy with other names for the peers.
    #[must_use]
    pub fn with_peers(&self, name: impl Fn(PeerId) -> PeerId) -> Self {
        let via = |via: &Via| match via {
            Via::Peers(peers) => Via::Peers(peers.iter().map(|peer| name(*peer)).collect()),
            Via::Direct => Via::Direct,
            Via::Reject => Via::Reject,
        };
        let rule = |rule: &Rule| Rule { via: via(&rule.via), ..rule.clone() };
        let ingress = |(ingress, default): (&String, &IngressDefault)| {
            let default = IngressDefault { via: default.via.as_ref().map(via), ..default.clone() };
            (ingress.clone(), default)
        };
        Self {
            rules: self.rules.iter().map(rule).collect(),
            ingresses: self.ingresses.iter().map(ingress).collect(),
            default: via(&self.default),
            peer_down: self.peer_down,
        }
    }

    /// Returns where a flow goes that entered at the ingress named `ingress` and matches no rule.
    pub fn default_via(&self, ingress: &str) -> &Via {
        let own = self.ingresses.get(ingress);
        own.and_then(|own| own.via.as_ref()).unwrap_or(&self.default)
    }

    /// Returns whether a rule by name could decide where a flow to the address `target` goes, so that its name has
    /// to be known.
    pub fn depends_on_name(&self, ingress: &str, target: &Target) -> bool {
        let has_name = |to: &Destination| matches!(to, Destination::Name(_));
        let could = |rule: &&Rule| {
            rule.matches(ingress, target)
                || (rule.applies(ingress, target) && rule.to.iter().any(has_name))
        };
        // The first that matches by the address decides, whatever the name.
        self.rules.iter().find(could).is_some_and(|rule| !rule.matches(ingress, target))
    }

    /// Decides where a flow to `target` goes that entered at the ingress named `ingress`.
    pub fn decide(&self, ingress: &str, target: &Target) -> Decision {
        self.decide_named(ingress, target, None)
    }

    /// Decides where a flow to the address `target` goes, which is said to have a name as well.
    pub fn decide_named(&self, ingress: &str, target: &Target, name: Option<&str>) -> Decision {
        let own = self.ingresses.get(ingress);
        let matches = |rule: &&Rule| {
            rule.matches(ingress, target)
                || (rule.applies(ingress, target) && name.is_some_and(|name| rule.has_name(name)))
        };
        let rule = self.rules.iter().find(matches);
        let via = match rule {
            Some(rule) => &rule.via,
            None => self.default_via(ingress),
        };
        let mode = rule.and_then(|rule| rule.mode).or_else(|| own.and_then(|own| own.mode));
        let peer_down =
            rule.and_then(|rule| rule.peer_down).or_else(|| own.and_then(|own| own.peer_down));
        match via {
            Via::Peers(peers) => Decision::Peers {
                via: peers.clone(),
                mode: mode.unwrap_or_default(),
                peer_down: peer_down.unwrap_or(self.peer_down),
            },
            Via::Direct => Decision::Direct,
            Via::Reject => Decision::Reject,
        }
    }
}

impl Rule {
    /// Returns whether the rule matches a flow to `target` that entered at this ingress.
    pub fn matches(&self, ingress: &str, target: &Target) -> bool {
        let Some((host, _)) = target.host_and_port() else { return false };
        self.applies(ingress, target)
            && (self.to.is_empty() || self.to.iter().any(|to| to.matches(host)))
    }

    /// Returns whether the rule is about this ingress and the port of this target.
    fn applies(&self, ingress: &str, target: &Target) -> bool {
        let Some((_, port)) = target.host_and_port() else { return false };
        (self.ingress.is_empty() || self.ingress.iter().any(|name| name == ingress))
            && (self.ports.is_empty() || self.ports.iter().any(|ports| ports.contains(port)))
    }

    /// Returns whether the rule is about a destination of this name.
    fn has_name(&self, name: &str) -> bool {
        self.to.iter().any(|to| matches!(to, Destination::Name(pattern) if pattern.matches(name)))
    }
}

impl Destination {
    fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            // An IPv4-mapped IPv6 address (RFC 4291 §2.5.5.2) is matched as the IPv4 address.
            (Self::Prefix(prefix), Host::Ip(ip)) => prefix.contains(&ip.to_canonical()),
            (Self::Name(pattern), Host::Name(name)) => pattern.matches(name),
            (Self::Prefix(_), Host::Name(_)) | (Self::Name(_), Host::Ip(_)) => false,
        }
    }
}

#[cfg(test)]
impl Rule {
    /// Returns a rule of texts, as a file has them.
    pub(crate) fn for_test(to: &[&str], ports: &[&str], ingress: &[&str], via: Via) -> Self {
        let destination = |text: &&str| match text.parse() {
            Ok(prefix) => Destination::Prefix(prefix),
            Err(_) => Destination::Name(text.parse().unwrap()),
        };
        Self {
            to: to.iter().map(destination).collect(),
            ports: ports.iter().map(|text| text.parse().unwrap()).collect(),
            ingress: ingress.iter().map(|&name| name.to_owned()).collect(),
            via,
            mode: None,
            peer_down: None,
        }
    }
}

#[cfg(test)]
mod tests;
