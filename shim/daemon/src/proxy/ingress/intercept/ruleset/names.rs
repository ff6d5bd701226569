//! The rules that lead DNS queries to the answerer.
//!
//! A query of whoever an ingress with `dns` selects is marked, whoever is asked: a resolver of this host's own too, or
//! the router itself. What is marked is redirected, and no other rule of ours is about it. This host's resolvers are
//! answered by whom they ask: what they find out is for users that nobody has selected as well, and for ourselves.

use std::fmt::Write;

use super::super::traffic::{Cgroup, TrafficSelector};
use super::whose::{CgroupNow, Users, write_hosts, write_programs};
use crate::proxy::own_sockets::OWN_MARK;

/// The mark of queries, beside [our own](OWN_MARK).
const MARK: u32 = 0x55;

/// Queries, over either protocol.
const QUERIES: &str = "meta l4proto { tcp, udp } th dport 53";

/// Writes what leads the queries of whoever is selected to `port`.
pub(super) fn write(
    text: &mut String,
    selected: &[&TrafficSelector],
    users: &Users,
    (port, cgroup): (u16, &impl Fn(&Cgroup) -> Option<CgroupNow>),
) -> std::fmt::Result {
    let verdict = format!("meta mark set {MARK:#x} accept");
    // Before what datagrams are marked by.
    writeln!(
        text,
        "\tchain output_dns {{\n\t\ttype filter hook output priority -160; policy accept;"
    )?;
    writeln!(text, "\t\tmeta l4proto != {{ tcp, udp }} return\n\t\tth dport != 53 return")?;
    writeln!(text, "\t\tmeta skuid {} return", users.own)?;
    writeln!(text, "\t\tmeta mark {OWN_MARK:#x} return\n\t\tsocket mark {OWN_MARK:#x} return")?;
    if !users.resolvers.is_empty() {
        let users: Vec<String> = users.resolvers.iter().map(ToString::to_string).collect();
        let users = users.join(", ");
        writeln!(text, "\t\tfib daddr type != local meta skuid {{ {users} }} return")?;
    }
    for of in selected {
        write_programs(text, &verdict, of, None, cgroup)?;
    }
    writeln!(text, "\t}}\n\tchain prerouting_dns {{")?;
    writeln!(text, "\t\ttype filter hook prerouting priority -160; policy accept;")?;
    writeln!(text, "\t\tmeta l4proto != {{ tcp, udp }} return\n\t\tth dport != 53 return")?;
    for of in selected {
        write_hosts(text, &verdict, of)?;
    }
    writeln!(text, "\t}}")?;
    // Before what connections are redirected by.
    for (chain, hook) in [("output_dns_nat", "output"), ("prerouting_dns_nat", "prerouting")] {
        writeln!(
            text,
            "\tchain {chain} {{\n\t\ttype nat hook {hook} priority -101; policy accept;"
        )?;
        writeln!(text, "\t\tmeta mark {MARK:#x} {QUERIES} redirect to :{port}\n\t}}")?;
    }
    Ok(())
}

/// Writes that queries that are marked are left alone.
pub(super) fn write_leave(text: &mut String) -> std::fmt::Result {
    writeln!(text, "\t\tmeta mark {MARK:#x} return")
}

/// Writes what keeps others from the answerer's port: whoever was not redirected, and after a crash a program that has
/// the port then.
pub(super) fn write_guard(text: &mut String, port: u16) -> std::fmt::Result {
    let to_port = format!("meta l4proto {{ tcp, udp }} th dport {port}");
    writeln!(text, "\t\t{to_port} ct status & dnat == 0 reject")?;
    writeln!(text, "\t\t{to_port} socket mark != {OWN_MARK:#x} reject")
}
