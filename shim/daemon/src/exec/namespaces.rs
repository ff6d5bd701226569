//! The user namespace of this process, where it needs one, and the rights in it.

use std::fs;
use std::io;

use nix::sched::{CloneFlags, unshare};
use rustix::process::{getegid, geteuid};
use rustix::thread::{
    CapabilitySet, capabilities, clear_ambient_capability_set, configure_capability_in_ambient_set,
    set_capabilities,
};

use super::error::ExecError;

/// Enters a user namespace, unless this process may make the others without one: root's programs keep all that root
/// may do then, other users' have their user and nobody else there.
///
/// # Errors
/// The system does not let this user do so.
pub(super) fn enter() -> Result<(), ExecError> {
    let refused = |error: io::Error| ExecError::NoNamespaces(error);
    let rights = capabilities(None).map_err(|error| refused(error.into()))?;
    if rights.effective.contains(CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN) {
        return Ok(());
    }
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    unshare(CloneFlags::CLONE_NEWUSER).map_err(|error| refused(error.into()))?;
    // Whoever may not change groups may say which is which (user_namespaces(7)).
    for (file, text) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{user} {user} 1")),
        ("gid_map", format!("{group} {group} 1")),
    ] {
        fs::write(format!("/proc/self/{file}"), text).map_err(refused)?;
    }
    Ok(())
}

/// Moves this thread into a network namespace of its own, and one of mounts, in which what is mounted outside shows.
///
/// # Errors
/// The system does not let this user do so.
pub(super) fn isolate() -> Result<(), ExecError> {
    use nix::mount::{MsFlags, mount};
    let refused = |error: nix::Error| ExecError::NoNamespaces(error.into());
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).map_err(refused)?;
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none).map_err(refused)
}

/// Runs `body` with the right to set a network up, which the programs that it runs have as well; without it a program
/// of a user other than root would lose it. Afterwards no program has it.
///
/// # Errors
/// Those of `body`, or the right cannot be had.
pub(super) fn with_network_rights<T>(
    body: impl FnOnce() -> Result<T, ExecError>,
) -> Result<T, ExecError> {
    let refused = |error: rustix::io::Errno| ExecError::NoNamespaces(error.into());
    let before = capabilities(None).map_err(refused)?;
    let mut sets = before;
    sets.inheritable |= CapabilitySet::NET_ADMIN;
    set_capabilities(None, sets).map_err(refused)?;
    configure_capability_in_ambient_set(CapabilitySet::NET_ADMIN, true).map_err(refused)?;
    let result = body();
    clear_ambient_capability_set().map_err(refused)?;
    set_capabilities(None, before).map_err(refused)?;
    result
}
