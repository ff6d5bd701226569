//! Judges the configuration, the identity, and what the system offers.

use crate::catalogue::Code;
use crate::config::Config;
use crate::doctor::finding::{Finding, Severity};
use crate::doctor::observation::{DaemonSeen, HostFacts, Listening, Observations, PortFault};
use crate::run::StartError;
use throughline::IdentityError;

/// Fewer descriptors than this leave connections fewer than 768.
const FEW_DESCRIPTORS: usize = 1024;

/// What a lane asks of the kernel for each direction of its socket.
const WANTED_BUFFER: usize = 4 << 20;

/// 2026-01-01, before which this program was not made.
const BEFORE_THIS_PROGRAM_S: u64 = 1_767_225_600;

pub(super) fn judge(config: &Config, seen: &Observations) -> Vec<Finding> {
    let runs = matches!(seen.daemon, DaemonSeen::Running { .. });
    let mut findings = Vec::new();
    if let Some(Err(error)) = &seen.own_key {
        findings.push(of_identity(error));
    }
    findings.extend(use_of(config));
    findings.extend(seen.ports.iter().map(of_port));
    findings.extend(privileges(config, &seen.host, runs));
    findings.extend(host(&seen.host));
    findings
}

fn of_identity(error: &StartError) -> Finding {
    use IdentityError::{Exposed, Missing};
    let code = match error {
        StartError::Identity(Missing { .. }) => Code::IdentityMissing,
        StartError::Identity(Exposed { .. }) => Code::IdentityExposed,
        StartError::Config(_) => Code::OwnKeyAsPeer,
        _ => Code::IdentityUnusable,
    };
    let cause = crate::sentence::sentence(&error.to_string());
    Finding::new(code, Severity::Error, "identity", cause).cure(code.entry().cure)
}

/// What the configuration leaves out, so that nothing can come of it.
fn use_of(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if config.peers.is_empty() {
        let cause =
            "The configuration names no peer, so that there is nobody to carry connections to.";
        findings
            .push(Finding::new(Code::NoPeers, Severity::Warning, "configuration", cause).cure(
                "Write a `[peers.NAME]` with its key; `throughline init --peer` writes one.",
            ));
    }
    let is_reachable = config.peers.iter().any(|peer| !peer.acl.entries().is_empty());
    if !config.peers.is_empty() && config.ingresses.is_empty() && !is_reachable {
        let cause = "There is no ingress, and no peer may reach anything through this host, so that no \
                     connection can enter or leave here.";
        findings.push(
            Finding::new(Code::NothingEnters, Severity::Warning, "configuration", cause).cure(
                "Write an `[ingress.NAME]` where applications are, and `allow` for the peer where \
                 destinations are.",
            ),
        );
    }
    let undialable = config.peers.iter().filter(|_| config.listen.is_empty());
    for peer in undialable.filter(|peer| peer.config.locators.is_empty()) {
        let name = &peer.config.name;
        let cause = format!(
            "Neither end can dial: {name} has no `locators` here, and this host has no `listen`."
        );
        findings.push(
            Finding::new(Code::NobodyDials, Severity::Error, format!("peer {name}"), cause).cure(
                format!(
                    "Give {name} `locators`, or give this host `listen` and name its address there."
                ),
            ),
        );
    }
    findings
}

fn of_port(port: &PortFault) -> Finding {
    let PortFault { purpose, protocol, addr, fault } = port;
    let (cause, cure) = match fault {
        Listening::Taken => {
            let option = if *protocol == "udp" { "-lunp" } else { "-ltnp" };
            let number = addr.port();
            (
                format!(
                    "Another program has {protocol} {addr}, which {purpose} needs; or the daemon itself has it, and no \
                     admin socket where this user looks for it."
                ),
                format!(
                    "See who has it: `ss {option} 'sport = :{number}'`. If it is the daemon, run this as its user, or \
                     write `admin = PATH`; if it is another program, stop that or write another port."
                ),
            )
        }
        Listening::NotOurs => (
            format!("{addr}, which {purpose} needs, is no address of this host."),
            "Write an address that `ip address` lists, or `[::]` for all of them.".to_owned(),
        ),
        Listening::Privileged => (
            format!("This user may not listen on {protocol} {addr}, which {purpose} needs."),
            "Write a port above 1023, or run the daemon with CAP_NET_BIND_SERVICE.".to_owned(),
        ),
        Listening::Other(reason) => (
            format!("{purpose} cannot listen on {protocol} {addr}: {reason}."),
            "Write another address.".to_owned(),
        ),
    };
    Finding::new(Code::CannotListen, Severity::Error, format!("{protocol} {addr}"), cause)
        .cure(cure)
}

fn privileges(config: &Config, host: &HostFacts, runs: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let intercepting: Vec<&str> = config
        .ingresses
        .iter()
        .filter(|ingress| ingress.kind.intercepts().is_some())
        .map(|ingress| ingress.name.as_str())
        .collect();
    if !intercepting.is_empty() && !host.has_nft {
        let cause = format!(
            "The ingress {} intercepts, for which the program nft sets the rules, and nft cannot be started.",
            intercepting.join(", ")
        );
        findings.push(
            Finding::new(Code::NoNft, Severity::Error, "nftables", cause)
                .cure("Install nftables, or remove the ingress."),
        );
    }
    // A daemon that runs had the privilege.
    if !runs && !host.is_network_admin && (config.manage_routes || !intercepting.is_empty()) {
        let what = match config.manage_routes {
            true => "`manage-routes` changes routes",
            false => "an ingress that intercepts changes packet filters",
        };
        let cause = format!("This process has no CAP_NET_ADMIN, and {what}, which takes it.");
        findings.push(
            Finding::new(Code::NotPrivileged, Severity::Warning, "privileges", cause).cure(
                "Run the daemon (and this) with CAP_NET_ADMIN; docs/CONFIG.md has drop-ins for systemd.",
            ),
        );
    }
    findings
}

fn host(host: &HostFacts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if host.descriptor_limit < FEW_DESCRIPTORS {
        let cause = format!(
            "A process may have {} file descriptors, and each connection takes one or two.",
            host.descriptor_limit
        );
        findings.push(
            Finding::new(Code::FewDescriptors, Severity::Warning, "descriptors", cause)
                .cure("Raise LimitNOFILE= of the service, or `ulimit -Hn`, to 65536."),
        );
    }
    if let Some((sent, received)) = host.offloads
        && (sent <= 1 || received <= 1)
    {
        let missing = match (sent <= 1, received <= 1) {
            (true, true) => "neither GSO nor GRO",
            (true, false) => "no GSO",
            _ => "no GRO",
        };
        let cause =
            format!("The kernel has {missing} for UDP, so that each datagram is a system call.");
        findings.push(
            Finding::new(Code::NoOffload, Severity::Note, "kernel", cause)
                .cure("Use a newer kernel where more than some 100 Mbit/s are wanted."),
        );
    }
    if let Some(size) = host.receive_buffer.filter(|size| *size < WANTED_BUFFER) {
        let cause = format!(
            "The kernel gives a socket at most {} kB of receive buffer; a lane asks for 4 MiB, and at high \
             rates loses packets while the machine is busy.",
            size / 1000
        );
        findings.push(
            Finding::new(Code::SmallBuffers, Severity::Note, "kernel", cause)
                .cure("Run `sysctl -w net.core.rmem_max=4194304 net.core.wmem_max=4194304`, and write both into /etc/sysctl.d."),
        );
    }
    if host.clock_s < BEFORE_THIS_PROGRAM_S {
        let cause = "This host's clock shows a time before this program was made. Lanes do not mind, as keys have \
                     no dates; times in logs and events are wrong.";
        findings.push(
            Finding::new(Code::WrongClock, Severity::Note, "clock", cause)
                .cure("Set the clock, or have NTP set it."),
        );
    }
    findings
}
