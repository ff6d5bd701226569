//! What of the rules the kernel can decide: which connections it leaves alone. Pure.
//!
//! A connection that a rule makes `direct` by its address is never intercepted: it goes as if Throughline were not
//! there, at the kernel's speed. A rule by name needs the connection's first bytes, so whatever such a rule could
//! take has to be intercepted first, and is dialed from here where it turns out to be direct.

use std::net::IpAddr;

use ipnet::IpNet;

use super::traffic::Protocol;
use crate::proxy::rules::{Destination, Policy, Ports, Rule, Via};

/// What the kernel does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It leaves it alone.
    Leave,
    /// It gives it to the ingress.
    Take,
}

/// Connections to these addresses and ports, and what happens to them. An empty list is everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The destinations.
    pub to: Vec<IpNet>,
    /// Their ports.
    pub ports: Vec<Ports>,
    /// What happens.
    pub action: Action,
}

impl Step {
    /// Returns whether it is about connections to this address and port.
    pub fn matches(&self, ip: IpAddr, port: u16) -> bool {
        let to = |prefix: &IpNet| prefix.contains(&ip);
        (self.to.is_empty() || self.to.iter().any(to))
            && (self.ports.is_empty() || self.ports.iter().any(|ports| ports.contains(port)))
    }
}

/// Returns what the kernel does with the connections of an ingress, or with its datagrams: the first step that matches
/// decides, and the last matches everything.
pub fn steps(policy: &Policy, ingress: &str, protocol: Protocol) -> Vec<Step> {
    let mut steps = Vec::new();
    let applies =
        |rule: &&Rule| rule.ingress.is_empty() || rule.ingress.iter().any(|name| name == ingress);
    for rule in policy.rules().iter().filter(applies) {
        let Some(step) = step(rule, protocol) else { continue };
        let is_all = step.to.is_empty() && step.ports.is_empty();
        steps.push(step);
        if is_all {
            return steps;
        }
    }
    let action = action(policy.default_via(ingress));
    steps.push(Step { to: Vec::new(), ports: Vec::new(), action });
    steps
}

/// Returns the step of a rule; none for one that leaves names alone, which the kernel does not know, or takes the names of
/// datagrams, which do not say them.
fn step(rule: &Rule, protocol: Protocol) -> Option<Step> {
    let prefixes = rule.to.iter().filter_map(|to| match to {
        Destination::Prefix(prefix) => Some(prefix.trunc()),
        Destination::Name(_) => None,
    });
    let prefixes: Vec<IpNet> = prefixes.collect();
    let has_names = prefixes.len() < rule.to.len();
    let action = action(&rule.via);
    let to = match action {
        _ if has_names && prefixes.is_empty() && protocol == Protocol::Udp => return None,
        // Any address may have the name.
        Action::Take if has_names && protocol == Protocol::Tcp => Vec::new(),
        Action::Leave if has_names && prefixes.is_empty() => return None,
        _ => prefixes,
    };
    Some(Step { to, ports: rule.ports.clone(), action })
}

fn action(via: &Via) -> Action {
    match via {
        Via::Direct => Action::Leave,
        // What is rejected is so with a line in the log and an event.
        Via::Peers(_) | Via::Reject => Action::Take,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use throughline::PeerId;

    use super::*;

    /// Returns the steps, a word each.
    fn shown(rules: Vec<Rule>, default: Via) -> String {
        shown_of(Protocol::Tcp, rules, default)
    }

    fn shown_of(protocol: Protocol, rules: Vec<Rule>, default: Via) -> String {
        let policy = Policy::new(rules, HashMap::new(), default);
        let word = |step: &Step| {
            let to: Vec<_> = step.to.iter().map(ToString::to_string).collect();
            let ports: Vec<_> = step.ports.iter().map(ToString::to_string).collect();
            format!("{:?}({}:{})", step.action, to.join(","), ports.join(","))
        };
        steps(&policy, "all", protocol).iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_direct_by_address_is_left_alone_and_what_a_name_could_take_is_not() {
        let peer = || Via::Peers(vec![PeerId::from_bytes([1; 32])]);
        let direct = |to: &[&str]| Rule::for_test(to, &[], &[], Via::Direct);
        for (rules, default, expected) in [
            (vec![], peer(), "Take(:)"),
            (vec![], Via::Direct, "Leave(:)"),
            (vec![direct(&["10.1.2.3/8"])], peer(), "Leave(10.0.0.0/8:) Take(:)"),
            (
                vec![
                    Rule::for_test(&["10.9.0.0/16"], &["22"], &[], peer()),
                    direct(&["10.0.0.0/8"]),
                ],
                Via::Reject,
                "Take(10.9.0.0/16:22) Leave(10.0.0.0/8:) Take(:)",
            ),
            // The name may be that of an address of the prefix after it.
            (
                vec![
                    Rule::for_test(&["*.corp.example"], &[], &[], peer()),
                    direct(&["10.0.0.0/8"]),
                ],
                Via::Direct,
                "Take(:)",
            ),
            (
                vec![
                    Rule::for_test(&["a.example"], &["443"], &[], Via::Reject),
                    direct(&["10.0.0.0/8"]),
                ],
                peer(),
                "Take(:443) Leave(10.0.0.0/8:) Take(:)",
            ),
            (vec![direct(&["a.example"])], peer(), "Take(:)"),
            (vec![direct(&["a.example", "10.0.0.0/8"])], peer(), "Leave(10.0.0.0/8:) Take(:)"),
            (
                vec![direct(&[]), Rule::for_test(&["10.0.0.0/8"], &[], &[], peer())],
                peer(),
                "Leave(:)",
            ),
            (vec![Rule::for_test(&[], &[], &["another"], Via::Direct)], peer(), "Take(:)"),
        ] {
            assert_eq!(shown(rules, default), expected);
        }
    }

    #[test]
    fn a_name_takes_no_datagrams() {
        let peer = || Via::Peers(vec![PeerId::from_bytes([1; 32])]);
        let rules = vec![
            Rule::for_test(&["a.example"], &[], &[], peer()),
            Rule::for_test(&["b.example", "10.0.0.0/8"], &[], &[], peer()),
            Rule::for_test(&["c.example"], &[], &[], Via::Direct),
        ];
        assert_eq!(shown_of(Protocol::Udp, rules, Via::Direct), "Take(10.0.0.0/8:) Leave(:)");
    }
}
