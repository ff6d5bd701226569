//! The files by which the program's libraries find names: resolv.conf(5), nsswitch.conf(5), and no name cache.
//!
//! They are replaced for the program alone, by mounts in its namespace. Whatever asks DNS comes to our answerer, since
//! everything to its port does; these files see to it that DNS is asked, and that its server has an address there.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use tempfile::NamedTempFile;

use super::error::ExecError;
use crate::proxy::names::pool::{Pair, pair};

/// The address of the namespace: the first of the stand-ins, which stands for no name.
pub(super) const OWN: Pair = pair(1);

const RESOLV_CONF: &str = "/etc/resolv.conf";
const NSSWITCH_CONF: &str = "/etc/nsswitch.conf";

/// Where the cache of names answers (nscd(8)), which would ask for the program, outside.
const NSCD: &str = "/run/nscd";

/// Sources of names that are in the program's own library or files. Others ask somebody outside.
const KEPT_SOURCES: [&str; 3] = ["files", "myhostname", "dns"];

/// Puts the files in place in this thread's namespace of mounts.
///
/// # Errors
/// One cannot be mounted.
pub(super) fn replace() -> Result<(), ExecError> {
    replace_file(RESOLV_CONF, resolv_conf)?;
    replace_file(NSSWITCH_CONF, nsswitch_conf)?;
    if Path::new(NSCD).is_dir() {
        let mounted = mount(Some("none"), NSCD, Some("tmpfs"), MsFlags::MS_RDONLY, None::<&str>);
        mounted.map_err(|error| ExecError::Mount { file: NSCD, source: error.into() })?;
    }
    Ok(())
}

/// Replaces a file, if there is one: without it libraries do what the new one says.
fn replace_file(file: &'static str, change: impl FnOnce(&str) -> String) -> Result<(), ExecError> {
    let Ok(before) = fs::read_to_string(file) else { return Ok(()) };
    let new = written(&change(&before));
    let new = new.map_err(|source| ExecError::TemporaryFile { file, source })?;
    let none = None::<&str>;
    // The mount keeps it, when its name is gone.
    mount(Some(new.path()), file, none, MsFlags::MS_BIND, none)
        .map_err(|error| ExecError::Mount { file, source: error.into() })
}

fn written(text: &str) -> io::Result<NamedTempFile> {
    let mut new = NamedTempFile::new()?;
    new.write_all(text.as_bytes())?;
    // Everybody reads these files, whoever the program becomes.
    new.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    Ok(new)
}

/// Returns whether they are in place for this process: it is a program of another `exec`.
pub(super) fn is_in_place() -> bool {
    let text = fs::read_to_string(RESOLV_CONF).unwrap_or_default();
    text.lines().next() == Some(&*format!("nameserver {}", OWN.v4))
}

/// Returns a resolv.conf with our server, and whatever else it said, such as domains to search. Every name has an answer
/// here, so one with a dot has to be asked for as it is before any domain is searched: the last line holds (glibc, musl
/// and Go).
fn resolv_conf(before: &str) -> String {
    let is_kept = |line: &&str| line.split_whitespace().next() != Some("nameserver");
    let kept = before.lines().filter(is_kept).map(|line| format!("{line}\n"));
    format!("nameserver {}\n{}options ndots:1\n", OWN.v4, kept.collect::<String>())
}

/// Returns an nsswitch.conf whose names come from files and DNS.
fn nsswitch_conf(before: &str) -> String {
    let line = |line: &str| {
        let Some(sources) = line.trim_start().strip_prefix("hosts:") else {
            return format!("{line}\n");
        };
        let mut kept: Vec<&str> =
            sources.split_whitespace().filter(|source| KEPT_SOURCES.contains(source)).collect();
        if !kept.contains(&"dns") {
            kept.push("dns");
        }
        format!("hosts: {}\n", kept.join(" "))
    };
    before.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_files_and_our_server_and_domains_are_searched_as_before() {
        let before = "# by hand\nsearch corp.example\nnameserver 127.0.0.53\n nameserver ::1\noptions edns0 ndots:5\n";
        assert_eq!(
            resolv_conf(before),
            "nameserver 198.18.0.1\n# by hand\nsearch corp.example\noptions edns0 ndots:5\noptions ndots:1\n"
        );
        let before = "passwd: files systemd\nhosts:  files mdns4_minimal [NOTFOUND=return] resolve [!UNAVAIL=return] dns\n";
        assert_eq!(nsswitch_conf(before), "passwd: files systemd\nhosts: files dns\n");
        assert_eq!(
            nsswitch_conf("hosts: files resolve myhostname"),
            "hosts: files myhostname dns\n"
        );
    }
}
