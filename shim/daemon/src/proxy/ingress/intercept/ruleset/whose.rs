//! Whose packets a rule is about, as nft(8) has it.

use std::fmt::Write;

use super::super::traffic::{Cgroup, TrafficSelector, User};

/// A control group as it is now. One that ends and comes again under the same name is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupNow {
    /// Its path as nft(8) wants it: below /sys/fs/cgroup.
    pub path: String,
    /// How many names below the mount it is.
    pub level: usize,
    /// Its number.
    pub id: u64,
}

/// What the rules have to know of this host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Users {
    /// The user of this process.
    pub own: u32,
    /// The users of this host's resolvers, whose own queries are to find out what is the case.
    pub resolvers: Vec<u32>,
}

/// Writes what becomes of the programs that an ingress takes; every user is but `own_user`, if there is one.
pub(super) fn write_programs(
    text: &mut String,
    verdict: &str,
    selector: &TrafficSelector,
    own_user: Option<u32>,
    cgroup: &impl Fn(&Cgroup) -> Option<CgroupNow>,
) -> std::fmt::Result {
    for user in &selector.users {
        let user = match (user, own_user) {
            (User::Every, Some(own)) => format!("meta skuid != {own} "),
            (User::Every, None) => String::new(),
            (User::Name(name), _) => format!("meta skuid \"{name}\" "),
            (User::Id(id), _) => format!("meta skuid {id} "),
        };
        writeln!(text, "\t\t{user}{verdict}")?;
    }
    for CgroupNow { path, level, id } in selector.cgroups.iter().filter_map(cgroup) {
        writeln!(
            text,
            "\t\tsocket cgroupv2 level {level} \"{path}\" {verdict} comment \"cgroup {id}\""
        )?;
    }
    Ok(())
}

/// Writes what becomes of the hosts that an ingress takes.
pub(super) fn write_hosts(
    text: &mut String,
    verdict: &str,
    selector: &TrafficSelector,
) -> std::fmt::Result {
    for interface in &selector.interfaces {
        writeln!(text, "\t\tiifname \"{}\" {verdict}", interface.name())?;
    }
    Ok(())
}
