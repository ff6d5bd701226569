//! Why a program is not run in a network of its own, and what to do about it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::SocketAddr;

use thiserror::Error;

use crate::proxy::ingress::intercept::InterceptError;

/// A program is not run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExecError {
    /// The ingress cannot be reached.
    #[error("no ingress answers at {addr}: {source}; {hint}")]
    NoIngress {
        /// Where it is to be.
        addr: SocketAddr,
        /// Why it is not reached.
        source: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// What answers does not speak SOCKS5, or does not want us.
    #[error(
        "what answers at {addr} does not take us as a SOCKS5 client: {reason}; name an ingress of kind \"socks5\" or \
         \"proxy\", and if it has a password its configuration by -c"
    )]
    NotSocks5 {
        /// Where it is.
        addr: SocketAddr,
        /// What it said.
        reason: String,
    },
    /// The system does not let this user make namespaces.
    #[error("this user may make no network of its own ({0}): {hint}", hint = namespaces_hint())]
    NoNamespaces(#[source] io::Error),
    /// The network cannot be set up.
    #[error("the program's network cannot be set up: {}", rules_refused(.0))]
    Rules(#[from] InterceptError),
    /// A file cannot be put in place for the program.
    #[error(
        "{file} cannot be replaced for the program: {source}; run it where it may mount, or as root"
    )]
    Mount {
        /// Which.
        file: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A file for the program cannot be written.
    #[error(
        "a file cannot be written that is to replace {file} for the program: {source}; set TMPDIR to a directory in which \
         files can be written"
    )]
    TemporaryFile {
        /// What it is to replace.
        file: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The sockets cannot be made.
    #[error("the sockets of the program's network cannot be made: {0}; see `ulimit -n`")]
    Sockets(#[source] io::Error),
    /// Threads cannot be begun.
    #[error(
        "threads cannot be begun: {0}; this user has too many processes and threads, see `ulimit -u`"
    )]
    Threads(#[source] io::Error),
    /// The runtime cannot be started.
    #[error("the tokio runtime cannot be started: {0}; see `ulimit -n`")]
    Runtime(#[source] io::Error),
    /// Signals cannot be received.
    #[error("signals cannot be received: {0}")]
    Signals(#[source] io::Error),
    /// There is no program.
    #[error("there is no program to run; write it after --")]
    NoCommand,
    /// The program cannot be started.
    #[error("the program `{}` cannot be run: {source}", program.display())]
    Command {
        /// Its name.
        program: OsString,
        /// Why.
        source: io::Error,
    },
    /// It is not known how the program ended.
    #[error("the program cannot be waited for: {0}")]
    Wait(#[source] io::Error),
}

impl ExecError {
    /// Returns the exit status that says so, as of env(1): 127 where the program is not found, 126 where it cannot be
    /// started, 125 for everything else.
    pub fn status(&self) -> u8 {
        match self {
            Self::Command { source, .. } if source.kind() == io::ErrorKind::NotFound => 127,
            Self::Command { .. } => 126,
            _ => 125,
        }
    }
}

/// Says why the network is not set up, and what to do here, which is not what a daemon has to do.
fn rules_refused(error: &InterceptError) -> String {
    let started = |program: &str, error: &io::Error, package: &str| match error.kind() {
        io::ErrorKind::NotFound => {
            format!("`{program}` cannot be started: {error}; install {package}")
        }
        _ => format!(
            "`{program}` cannot be started: {error}; see whether this user may run it ({package}), and `ulimit -n` and \
             `ulimit -u`"
        ),
    };
    match error {
        InterceptError::NoProgram(error) => started("nft", error, "nftables"),
        InterceptError::NoIp(error) => started("ip", error, "iproute2"),
        InterceptError::Unroutable(line, error) => {
            format!(
                "ip refuses `ip {line}`: {error}; install iproute2, if ip is another's (busybox)"
            )
        }
        InterceptError::Refused(error) => format!(
            "nft refuses the rules: {error}; it needs nftables 0.9.3 and Linux 5.7 with nf_tables, as root: modprobe -a \
             nf_tables nft_tproxy nft_redir nft_reject_inet"
        ),
        InterceptError::Denied => format!("not permitted; {}", namespaces_hint()),
        InterceptError::TimedOut(program) => format!("`{program}` does not answer; try again"),
        other => other.to_string(),
    }
}

/// Returns what would let this user make namespaces.
fn namespaces_hint() -> String {
    let is = |name: &str, value: &str| {
        let text = fs::read_to_string(format!("/proc/sys/{name}"));
        text.is_ok_and(|text| text.trim() == value)
    };
    // Of each what it says where users may not.
    let known = [
        ("user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
        ("user/max_net_namespaces", "0", "sysctl -w user.max_net_namespaces=15000"),
        ("user/max_mnt_namespaces", "0", "sysctl -w user.max_mnt_namespaces=15000"),
        ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "give this program an AppArmor profile with `userns,` or run `sysctl -w \
             kernel.apparmor_restrict_unprivileged_userns=0`",
        ),
    ];
    match known.iter().find(|(name, value, _)| is(name, value)) {
        Some((name, value, hint)) => {
            format!("{} is {value}; as root {hint}, or run it as root", name.replace('/', "."))
        }
        None => "run it as root, and not within chroot(8); a container has to allow unshare(2) and mount(2) (its seccomp \
                 profile, or CAP_SYS_ADMIN); see `sysctl user` for how many namespaces there may be"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_says_whether_the_program_was_found() {
        let command =
            |kind: io::ErrorKind| ExecError::Command { program: "x".into(), source: kind.into() };
        assert_eq!(command(io::ErrorKind::NotFound).status(), 127);
        assert_eq!(command(io::ErrorKind::PermissionDenied).status(), 126);
        assert_eq!(ExecError::NoCommand.status(), 125);
        let error = ExecError::NoNamespaces(io::ErrorKind::PermissionDenied.into());
        assert!(error.to_string().contains("as root"), "{error}");
    }

    #[test]
    fn what_refuses_a_network_is_said_with_what_to_do_for_a_program() {
        let of = |error| ExecError::Rules(error).to_string();
        let no_nft = of(InterceptError::NoProgram(io::ErrorKind::NotFound.into()));
        assert!(no_nft.contains("`nft` cannot be started") && no_nft.ends_with("install nftables"));
        let no_ip = of(InterceptError::NoIp(io::Error::from_raw_os_error(24)));
        assert!(no_ip.contains("ulimit -n") && !no_ip.contains("install"), "{no_ip}");
        for error in [
            InterceptError::Denied,
            InterceptError::Refused("Error: no".to_owned()),
            InterceptError::Unroutable("link set lo up".to_owned(), "no".to_owned()),
            InterceptError::TimedOut("nft"),
        ] {
            let said = of(error);
            assert!(said.starts_with("the program's network cannot be set up: "), "{said}");
            assert!(
                said.contains("; ") && !said.contains("daemon") && !said.contains("ingress"),
                "{said}"
            );
        }
    }
}
