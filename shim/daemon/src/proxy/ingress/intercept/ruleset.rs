//! The table of nftables that brings connections to intercepting ingresses, as text for nft(8). Pure.
//!
//! Everything is in one table, so that one transaction makes all of it, or takes it away. The kernel decides once
//! for each connection (`type nat`) and remembers that in its connection tracking: other rules, and even none, do
//! not touch a connection that is open, and one that is left alone costs nothing after its first packet.
//!
//! Of datagrams it decides anew for each: what is taken gets the mark of its ingress, by which a program's is
//! routed back to this host ([`policy_route`](super::policy_route)) as another host's is, and comes to the ingress's
//! socket with its addresses as they were (`tproxy`).

mod names;
mod whose;

use std::fmt::Write;

use ipnet::IpNet;

pub use self::whose::{CgroupNow, Users};
use self::whose::{write_hosts, write_programs};
use super::kernel_policy::{Action, Step};
use super::policy_route::{MARK_MASK, MARKS, mark_of};
use super::traffic::{Cgroup, Protocol, TrafficSelector};
use crate::proxy::names::pool;
use crate::proxy::own_sockets::OWN_MARK;
use crate::proxy::rules::Ports;

/// An intercepting ingress as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intercepted {
    /// Whose connections it takes, and to where.
    pub selector: TrafficSelector,
    /// What of the rules the kernel decides.
    pub steps: Vec<Step>,
    /// Where it listens.
    pub port: u16,
    /// Where the DNS answerer listens, if it answers whoever is selected.
    pub dns_port: Option<u16>,
}

/// Returns the transaction that puts the table of this name in the place of the one that there may be.
///
/// `cgroup` finds a control group; without one it has no programs.
pub fn ruleset(
    table: &str,
    ingresses: &[Intercepted],
    users: &Users,
    cgroup: impl Fn(&Cgroup) -> Option<CgroupNow>,
) -> String {
    let mut text = format!("table inet {table}\n{}table inet {table} {{\n", deletion(table));
    // Writing to a string does not fail.
    let _ = write_chains(&mut text, ingresses, users, cgroup);
    text + "}\n"
}

/// Returns the transaction that removes the table.
pub fn deletion(table: &str) -> String {
    format!("delete table inet {table}\n")
}

fn write_chains(
    text: &mut String,
    ingresses: &[Intercepted],
    users: &Users,
    cgroup: impl Fn(&Cgroup) -> Option<CgroupNow>,
) -> std::fmt::Result {
    let (own_user, dns_port) = (users.own, ingresses.iter().find_map(|of| of.dns_port));
    for (index, ingress) in ingresses.iter().enumerate() {
        write_ingress(text, (index, dns_port.is_some()), ingress)?;
    }
    if let Some(port) = dns_port {
        let selected = ingresses.iter().filter(|of| of.dns_port.is_some());
        let selected: Vec<_> = selected.map(|of| &of.selector).collect();
        names::write(text, &selected, users, (port, &cgroup))?;
    }
    let of = |protocol| {
        let is_it = move |of: &(usize, &Intercepted)| of.1.selector.protocol == protocol;
        ingresses.iter().enumerate().filter(is_it).collect::<Vec<_>>()
    };
    write_connections(text, &of(Protocol::Tcp), own_user, &cgroup)?;
    let of_datagrams = of(Protocol::Udp);
    if !of_datagrams.is_empty() {
        write_datagrams(text, &of_datagrams, (own_user, dns_port.is_some()), &cgroup)?;
    }
    write_guard(text, ingresses, dns_port)
}

fn jump(index: usize) -> String {
    format!("jump ingress_{index}")
}

type Numbered<'a> = [(usize, &'a Intercepted)];

/// Writes what takes connections.
fn write_connections(
    text: &mut String,
    ingresses: &Numbered<'_>,
    own_user: u32,
    cgroup: &impl Fn(&Cgroup) -> Option<CgroupNow>,
) -> std::fmt::Result {
    // Priority -100 is where destinations are translated; as a number, since old versions know no name for it.
    writeln!(text, "\tchain output {{\n\t\ttype nat hook output priority -100; policy accept;")?;
    write_only_new(text)?;
    // Either is enough, unless somebody's rules change the marks of packets.
    writeln!(text, "\t\tmeta mark {OWN_MARK:#x} return\n\t\tsocket mark {OWN_MARK:#x} return")?;
    write_never(text)?;
    for (index, ingress) in ingresses {
        // Its look-ups of names have sockets that we do not make.
        let own_user = Some(own_user).filter(|user| *user != 0);
        write_programs(text, &jump(*index), &ingress.selector, own_user, cgroup)?;
    }
    writeln!(text, "\t}}\n\tchain prerouting {{")?;
    writeln!(text, "\t\ttype nat hook prerouting priority -100; policy accept;")?;
    write_only_new(text)?;
    write_never(text)?;
    for (index, ingress) in ingresses {
        write_hosts(text, &jump(*index), &ingress.selector)?;
    }
    writeln!(text, "\t}}")
}

/// Writes what takes datagrams. Those of our own user never are, as lanes and look-ups of names are among them.
fn write_datagrams(
    text: &mut String,
    ingresses: &Numbered<'_>,
    (own_user, has_names): (u32, bool),
    cgroup: &impl Fn(&Cgroup) -> Option<CgroupNow>,
) -> std::fmt::Result {
    // Priority -150 is where packets are mangled: after they are tracked, and before routes and NAT.
    writeln!(
        text,
        "\tchain output_udp {{\n\t\ttype route hook output priority -150; policy accept;"
    )?;
    writeln!(text, "\t\tmeta l4proto != udp return\n\t\tmeta skuid {own_user} return")?;
    if has_names {
        names::write_leave(text)?;
    }
    writeln!(text, "\t\tmeta mark {OWN_MARK:#x} return\n\t\tsocket mark {OWN_MARK:#x} return")?;
    write_never_answers(text)?;
    for (index, ingress) in ingresses {
        write_programs(text, &jump(*index), &ingress.selector, None, cgroup)?;
        writeln!(text, "\t\tmeta mark {:#x} accept", mark_of(*index))?;
    }
    writeln!(text, "\t}}\n\tchain prerouting_udp {{")?;
    writeln!(text, "\t\ttype filter hook prerouting priority -150; policy accept;")?;
    writeln!(text, "\t\tmeta l4proto != udp return")?;
    if has_names {
        names::write_leave(text)?;
    }
    write_never_answers(text)?;
    for (index, ingress) in ingresses {
        write_hosts(text, &jump(*index), &ingress.selector)?;
        let mark = mark_of(*index);
        writeln!(
            text,
            "\t\tmeta mark {mark:#x} meta l4proto udp tproxy to :{} accept",
            ingress.port
        )?;
    }
    writeln!(text, "\t}}")
}

/// Writes what is left alone of datagrams: what a server here answers to others, too.
fn write_never_answers(text: &mut String) -> std::fmt::Result {
    writeln!(text, "\t\tct direction reply return")?;
    write_never(text)
}

/// Writes that only a connection's first packet is looked at. Where nothing has tracked connections before, the kernel
/// takes the next packet of each that is open for the first of a new one.
fn write_only_new(text: &mut String) -> std::fmt::Result {
    writeln!(text, "\t\tmeta l4proto != tcp return")?;
    writeln!(text, "\t\ttcp flags & (fin | syn | rst | ack) != syn return")
}

/// Writes what is left alone whatever the configuration says: this host itself, and what no router forwards.
fn write_never(text: &mut String) -> std::fmt::Result {
    writeln!(text, "\t\tfib daddr type {{ local, broadcast, anycast, multicast }} return")?;
    writeln!(text, "\t\tip daddr {{ 0.0.0.0/8, 127.0.0.0/8, 169.254.0.0/16 }} return")?;
    writeln!(text, "\t\tip6 daddr {{ ::/127, fe80::/10 }} return")
}

/// Writes what keeps others from the ports: whoever connects to them and was not redirected; and, after a crash,
/// a program that listens there now and is not us.
fn write_guard(
    text: &mut String,
    ingresses: &[Intercepted],
    dns_port: Option<u16>,
) -> std::fmt::Result {
    writeln!(text, "\tchain guard {{\n\t\ttype filter hook input priority 0; policy accept;")?;
    // It does nothing, but without anything that asks for it the kernel tracks no connection, and stops to
    // translate those that are open.
    writeln!(text, "\t\tct status dnat continue")?;
    let marked = format!("meta mark & {MARK_MASK:#x}");
    if ingresses.iter().any(|of| of.selector.protocol == Protocol::Udp) {
        writeln!(text, "\t\t{marked} == {MARKS:#x} socket transparent 0 reject")?;
    }
    if let Some(port) = dns_port {
        names::write_guard(text, port)?;
    }
    for Intercepted { port, selector, .. } in ingresses {
        if selector.protocol == Protocol::Udp {
            writeln!(text, "\t\tudp dport {port} {marked} != {MARKS:#x} reject")?;
            continue;
        }
        writeln!(text, "\t\ttcp dport {port} ct status & dnat == 0 reject with tcp reset")?;
        writeln!(text, "\t\ttcp dport {port} socket mark != {OWN_MARK:#x} reject with tcp reset")?;
    }
    writeln!(text, "\t}}")
}

fn write_ingress(
    text: &mut String,
    (index, has_names): (usize, bool),
    ingress: &Intercepted,
) -> std::fmt::Result {
    let TrafficSelector { protocol, to, ports, except, .. } = &ingress.selector;
    let take = match protocol {
        Protocol::Udp => format!("meta mark set {:#x} return", mark_of(index)),
        Protocol::Tcp => format!("meta l4proto tcp redirect to :{}", ingress.port),
    };
    writeln!(text, "\tchain ingress_{index} {{")?;
    if has_names {
        // Nothing else is at these addresses.
        writeln!(text, "\t\tip daddr {} {take}\n\t\tip6 daddr {} {take}", pool::V4, pool::V6)?;
    }
    for except in by_family(except) {
        writeln!(text, "\t\t{except} return")?;
    }
    if !to.is_empty() {
        for (family, version) in [("ip", "ipv4"), ("ip6", "ipv6")] {
            match set(to, family) {
                Some(set) => writeln!(text, "\t\t{family} daddr != {set} return")?,
                None => writeln!(text, "\t\tmeta nfproto {version} return")?,
            }
        }
    }
    if !ports.is_empty() {
        writeln!(text, "\t\t{protocol} dport != {} return", port_set(ports))?;
    }
    for step in &ingress.steps {
        let verdict = match step.action {
            Action::Leave => "return",
            Action::Take => &take,
        };
        let ports = match step.ports.is_empty() {
            true => String::new(),
            false => format!("{protocol} dport {} ", port_set(&step.ports)),
        };
        match step.to.is_empty() {
            true => writeln!(text, "\t\t{ports}{verdict}")?,
            false => {
                for to in by_family(&step.to) {
                    writeln!(text, "\t\t{to} {ports}{verdict}")?;
                }
            }
        }
    }
    writeln!(text, "\t}}")
}

/// Returns what matches the destinations, for each version of IP of which there are any.
fn by_family(prefixes: &[IpNet]) -> impl Iterator<Item = String> {
    ["ip", "ip6"]
        .into_iter()
        .filter_map(|family| Some(format!("{family} daddr {}", set(prefixes, family)?)))
}

/// Returns the prefixes of a family as a set, whose elements may not overlap; none if there are none.
fn set(prefixes: &[IpNet], family: &str) -> Option<String> {
    let is_it = |prefix: &&IpNet| (family == "ip") == matches!(prefix, IpNet::V4(_));
    let of_it: Vec<IpNet> = prefixes.iter().filter(is_it).map(IpNet::trunc).collect();
    let set: Vec<String> = IpNet::aggregate(&of_it).iter().map(ToString::to_string).collect();
    (!set.is_empty()).then(|| format!("{{ {} }}", set.join(", ")))
}

/// Returns the ports as a set, whose elements may not overlap.
fn port_set(ports: &[Ports]) -> String {
    let mut bounds: Vec<(u16, u16)> = ports.iter().map(Ports::bounds).collect();
    bounds.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (first, last) in bounds {
        match merged.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    let elements: Vec<String> = merged
        .iter()
        .map(
            |(first, last)| {
                if first == last { first.to_string() } else { format!("{first}-{last}") }
            },
        )
        .collect();
    format!("{{ {} }}", elements.join(", "))
}

#[cfg(test)]
mod tests;
