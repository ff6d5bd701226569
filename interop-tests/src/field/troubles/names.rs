//! The server's name, in the lab's own files: `/etc/hosts` and `/etc/resolv.conf` are mounted over,
//! in the lab's mount namespace only.

use std::process::Command;

use crate::support::Outcome;

/// Where the files are.
const HOSTS: &str = "/run/hosts";
const RESOLVER: &str = "/run/resolv.conf";
/// A name server that never answers: the server's site, whose ISPs drop what is for it.
const RESOLVER_LINES: &str = "nameserver 198.18.12.10\n";

/// Has no name lead anywhere: no file has it, and no name server answers.
pub(super) fn none() -> Outcome {
    std::fs::write(HOSTS, "127.0.0.1 localhost\n")?;
    std::fs::write(RESOLVER, RESOLVER_LINES)?;
    for (ours, theirs) in [(HOSTS, "/etc/hosts"), (RESOLVER, "/etc/resolv.conf")] {
        let status = Command::new("mount").args(["--bind", ours, theirs]).status()?;
        if !status.success() {
            return Err(format!("cannot mount over {theirs}").into());
        }
    }
    Ok(())
}

/// Has the name lead to these addresses.
pub(super) fn lead(name: &str, addresses: &[String]) -> Outcome {
    let lines: String = addresses.iter().map(|address| format!("{address} {name}\n")).collect();
    Ok(std::fs::write(HOSTS, format!("127.0.0.1 localhost\n{lines}"))?)
}
