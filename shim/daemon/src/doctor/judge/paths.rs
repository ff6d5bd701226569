//! Judges the paths: what each is like, or the one fault that explains what was seen of it.

mod mapping;
mod rate;
mod silence;

use std::net::SocketAddr;

use super::fault::Fault;
use crate::catalogue::Code;
use crate::config::Config;
use crate::doctor::finding::{Finding, Severity};
use crate::doctor::observation::{LaneSeen, Observations, PathSeen};
use crate::sentence::sentence;

pub(super) fn judge(config: &Config, seen: &Observations) -> Vec<Finding> {
    let mut findings = Vec::new();
    // What is wrong at the far end is said once for each of its addresses.
    let mut of_remote: Vec<(String, SocketAddr, Code, Finding)> = Vec::new();
    for path in &seen.paths {
        if path.is_reached() {
            findings.extend(reached(path));
            findings.extend(mapping::judge(path, subject(path)));
            findings.extend(
                path.rate.as_ref().map(|seen| rate::judge(seen, &path.uplink, subject(path))),
            );
        }
        let Some(mut fault) = fault(config, seen, path) else { continue };
        if fault.code == Code::WrongUplink && config.manage_routes {
            fault.cure = format!(
                "`manage-routes` sets the rules while the daemon runs: start it. If it runs, see `ip rule` and `ip route get \
                 {} from {}`.",
                path.remote().ip(),
                path.local()
            );
        }
        let is_reached = seen.paths.iter().any(|p| p.peer == path.peer && p.is_reached());
        let severity = match fault.code {
            Code::NotProbed => Severity::Note,
            _ if is_reached => Severity::Warning,
            _ => Severity::Error,
        };
        let Fault { code, cause, cure } = fault;
        if !is_of_the_far_end(code) {
            findings.push(Finding::new(code, severity, subject(path), cause).cure(cure));
            continue;
        }
        let same = of_remote.iter_mut().find(|(peer, remote, known, _)| {
            *peer == path.peer && *remote == path.remote() && *known == code
        });
        match same {
            Some((.., finding)) => finding.subject += &format!(", {}", path.uplink),
            None => {
                let subject =
                    format!("peer {} at {}, over {}", path.peer, path.remote(), path.uplink);
                let finding = Finding::new(code, severity, subject, cause).cure(cure);
                of_remote.push((path.peer.clone(), path.remote(), code, finding));
            }
        }
    }
    findings.extend(of_remote.into_iter().map(|(.., finding)| finding));
    findings
}

/// Returns whether a fault has the same cause over every uplink.
fn is_of_the_far_end(code: Code) -> bool {
    matches!(
        code,
        Code::PeerSilent
            | Code::PortRefused
            | Code::OtherKey
            | Code::KeyUnknownThere
            | Code::SharedKey
            | Code::VersionMismatch
            | Code::PeerRejects
            | Code::SamePrefix
            | Code::PrivateLocator
            | Code::HandshakeBlocked
    )
}

fn subject(path: &PathSeen) -> String {
    format!("peer {}, {}: {} to {}", path.peer, path.uplink, path.local(), path.remote())
}

/// Says what a path is like over which the peer answered.
fn reached(path: &PathSeen) -> Vec<Finding> {
    let LaneSeen::Reached { rtt, mtu, mtu_sought, seen_from } = path.lane else {
        return Vec::new();
    };
    let rtt_ms = rtt.as_secs_f64() * 1000.0;
    let seen = match seen_from {
        Some(addr) if addr.ip().to_canonical() == path.local() => "; no NAT is on the way",
        Some(_) => "",
        None => {
            "; it does not say from which address it sees us, as its version is older than this one"
        }
    };
    let cause = format!(
        "The peer answers in {rtt_ms:.1} ms, its key is right and it knows ours; packets of {mtu} bytes pass{seen}."
    );
    let mut findings = vec![Finding::new(Code::PathGood, Severity::Ok, subject(path), cause)];
    if let Some(addr) = seen_from.filter(|addr| addr.ip().to_canonical() != path.local()) {
        let cause = format!(
            "A NAT is on the way: the peer sees {} instead of {}. Lanes work through it, as this end keeps the \
             mapping by a packet each 15 s.",
            addr.ip(),
            path.local()
        );
        findings.push(Finding::new(Code::Nat, Severity::Note, subject(path), cause));
    }
    let could_leave = path.mtu.is_none_or(|known| known >= mtu_sought);
    if mtu < mtu_sought && could_leave {
        let cause = format!(
            "Packets of {mtu} bytes pass; those of {mtu_sought} are lost, and no router says so (by ICMP): a tunnel or a link \
             on the way is narrower. Lanes find the size by themselves."
        );
        let cure = "For other programs, which may hang: lower the interface's MTU, or have the router clamp TCP's MSS.";
        findings
            .push(Finding::new(Code::MtuReduced, Severity::Note, subject(path), cause).cure(cure));
    }
    findings
}

/// Returns what is wrong with a path.
fn fault(config: &Config, seen: &Observations, path: &PathSeen) -> Option<Fault> {
    let fault = |code: Code, cause: String| Some(Fault::new(code, cause, code.entry().cure));
    if matches!(path.route.state.as_str(), "no-route") {
        return Some(silence::no_route(seen, path));
    }
    match &path.lane {
        LaneSeen::Reached { .. } if path.route.state == "wrong-uplink" => {
            let mut wrong = silence::wrong_uplink(seen, path);
            wrong.cause += " The peer is reached all the same, as nobody filters sources now; but both paths leave by one ISP, and fail together.";
            Some(wrong)
        }
        LaneSeen::Reached { .. } => None,
        LaneSeen::CannotBind(reason) => fault(
            Code::SourceUnusable,
            format!("The kernel gives no socket on {}: {reason}.", path.local()),
        ),
        LaneSeen::OtherKey(key) => Some(other_key(config, seen, path, *key)),
        LaneSeen::KeyUnknownThere => {
            let ours = match &seen.own_key {
                Some(Ok(key)) => format!("`key = \"{key}\"`"),
                _ => "this host's key".to_owned(),
            };
            Some(Fault::new(
                Code::KeyUnknownThere,
                "The peer answers, and refuses us: it does not know this host's key.",
                format!(
                    "In the file of {} write {ours} in this host's table, and run `throughline reload` there.",
                    path.peer
                ),
            ))
        }
        LaneSeen::NoCommonVersion(reason) => fault(Code::VersionMismatch, sentence(reason)),
        LaneSeen::Rejected(reason) => fault(
            Code::PeerRejects,
            format!("The peer knows this host, and lets no lane in now: {reason}."),
        ),
        LaneSeen::Failed(reason) => {
            silence::of_datagram(seen, path).or_else(|| fault(Code::PathFailed, sentence(reason)))
        }
        LaneSeen::Silent => Some(silence::explain(seen, path)),
        LaneSeen::NotTried => {
            fault(Code::NotProbed, "There was no time left to probe this path.".to_owned())
        }
    }
}

/// Says whose key it is that was shown in place of the peer's.
fn other_key(
    config: &Config,
    seen: &Observations,
    path: &PathSeen,
    key: throughline::PeerId,
) -> Fault {
    let remote = path.remote();
    if matches!(&seen.own_key, Some(Ok(own)) if *own == key) {
        return Fault::new(
            Code::SharedKey,
            format!(
                "The host at {remote} shows the very key of this host: an identity was copied to both."
            ),
            "Make another identity at one of them (`throughline keygen`), and give its public key to its peers.",
        );
    }
    let owner = config.peers.iter().find(|peer| peer.config.keys().any(|known| known == key));
    match owner {
        Some(owner) => Fault::new(
            Code::OtherKey,
            format!("At {remote} the peer {} answers, by its key {key}.", owner.config.name),
            format!("Correct the locators of {} and {}.", path.peer, owner.config.name),
        ),
        None => Fault::new(
            Code::OtherKey,
            format!(
                "The host at {remote} shows the key {key}, which is not that of {}.",
                path.peer
            ),
            "If the peer's key was changed, compare this one with `throughline id` there and write it as `key`; else correct the locator.",
        ),
    }
}
