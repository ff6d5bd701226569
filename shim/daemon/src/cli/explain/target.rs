//! Where a connection goes, and why, before anybody makes it.

use std::path::Path;
use std::process::ExitCode;

use super::super::output::{config_error, print, usage_error};
use crate::admin;
use crate::catalogue::Code;
use crate::cli::daemon::DaemonArgs;
use crate::config::Config;
use crate::proxy::ingress::intercept::kernel_policy::{Action, steps};
use crate::proxy::rules::{Decision, Destination, Policy, Rule};
use crate::report::{PeerReport, Report};
use throughline::{Host, PeerId, Target};

/// Prints where a connection to `target` goes by the configuration in `file`.
pub(super) async fn execute(
    target: &Target,
    ingress: Option<&str>,
    file: &Path,
    named: &DaemonArgs,
) -> ExitCode {
    let config = match Config::load(file) {
        Ok(config) => config,
        Err(error) => return config_error(&error),
    };
    let names: Vec<&str> = config.ingresses.iter().map(|i| i.name.as_str()).collect();
    let chosen: Vec<&str> = match ingress {
        None => names,
        Some(name) if names.contains(&name) => vec![name],
        Some(name) => {
            return usage_error(
                Code::UnknownName,
                format!("there is no ingress `{name}`; there are {}", names.join(", ")),
            );
        }
    };
    if chosen.is_empty() {
        return print(&"No connection enters here: the configuration has no ingress.");
    }
    let daemon = DaemonArgs { config: Some(file.to_owned()), socket: None };
    let report = match daemon.socket_path() {
        Ok(path) => admin::status(&path).await.ok(),
        Err(code) => return code,
    };
    let explained: Vec<String> = chosen
        .into_iter()
        .map(|ingress| explain(&config, ingress, target, (report.as_ref(), named)))
        .collect();
    print(&explained.join("\n"))
}

/// Returns where a connection goes that enters at an ingress, by what, and how the peers are reached now.
fn explain(
    config: &Config,
    ingress: &str,
    target: &Target,
    (report, named): (Option<&Report>, &DaemonArgs),
) -> String {
    let policy = &config.policy;
    let by = reason(policy, ingress, target);
    let entering = format!("{target}, entering at {ingress}");
    match in_the_kernel(config, ingress, target) {
        Some(Untouched::NotSelected) => {
            return format!("{entering}: not intercepted, as the ingress does not select it");
        }
        Some(Untouched::Direct) => {
            return format!("{entering}: left to the kernel, as direct, by {by}");
        }
        None => {}
    }
    match policy.decide(ingress, target) {
        Decision::Reject => format!("{entering}: rejected, by {by}"),
        Decision::Direct => format!("{entering}: directly from this host, by {by}"),
        Decision::Peers { via, mode, peer_down } => {
            let names: Vec<String> = via.iter().map(|id| name(config, *id)).collect();
            let mut text = format!(
                "{entering}: through {}, by {by}; mode {mode}; while no peer is reachable: {peer_down}",
                names.join(", else ")
            );
            for name in names {
                let state = match report {
                    None => "not known, as no daemon answers".to_owned(),
                    Some(report) => {
                        state(report.peers.iter().find(|peer| peer.name == name), named)
                    }
                };
                text += &format!("\n  {name}: {state}");
            }
            text
        }
    }
}

/// Why the kernel leaves a connection alone that could enter at an intercepting ingress.
enum Untouched {
    NotSelected,
    Direct,
}

/// Returns why a connection never enters, if that is so; nothing of a name, as only an address tells.
fn in_the_kernel(config: &Config, ingress: &str, target: &Target) -> Option<Untouched> {
    let at = config.ingresses.iter().find(|at| at.name == ingress)?;
    let Some((&Host::Ip(ip), port)) = target.host_and_port() else { return None };
    let selector = at.kind.intercepts()?;
    if !selector.leads_to(ip, port) {
        return Some(Untouched::NotSelected);
    }
    let mut steps = steps(&config.policy, ingress, selector.protocol).into_iter();
    let first = steps.find(|step| step.matches(ip, port))?;
    (first.action == Action::Leave).then_some(Untouched::Direct)
}

/// Returns what decides: the first rule that matches, the ingress, or the default.
pub(super) fn reason(policy: &Policy, ingress: &str, target: &Target) -> String {
    let matching =
        policy.rules().iter().enumerate().find(|(_, rule)| rule.matches(ingress, target));
    match matching {
        Some((index, rule)) => format!("rule {} ({})", index + 1, conditions(rule)),
        None if policy.ingress(ingress).is_some_and(|own| own.via.is_some()) => {
            "the ingress's `via`".to_owned()
        }
        None => "`default`, as no rule matches".to_owned(),
    }
}

/// Returns what a rule matches.
fn conditions(rule: &Rule) -> String {
    let to = rule.to.iter().map(|to| match to {
        Destination::Prefix(prefix) => prefix.to_string(),
        Destination::Name(pattern) => pattern.to_string(),
    });
    let to: Vec<String> = to.collect();
    let ports: Vec<String> = rule.ports.iter().map(ToString::to_string).collect();
    let parts = [("to", to), ("ports", ports), ("ingress", rule.ingress.clone())];
    let written = parts.into_iter().filter(|(_, values)| !values.is_empty());
    let written: Vec<String> =
        written.map(|(field, values)| format!("{field} {}", values.join(" or "))).collect();
    if written.is_empty() { "everything".to_owned() } else { written.join(", ") }
}

fn name(config: &Config, id: PeerId) -> String {
    let peer = config.peers.iter().find(|peer| peer.config.id == id);
    peer.map_or_else(|| id.to_string(), |peer| peer.config.name.clone())
}

/// Returns how a peer is reached now.
fn state(peer: Option<&PeerReport>, named: &DaemonArgs) -> String {
    let Some(peer) = peer else {
        return format!("the running daemon does not have it; run {}", named.command("reload"));
    };
    let lanes = peer.sessions.iter().flat_map(|session| &session.lanes);
    let mut over: Vec<&str> = lanes
        .filter(|lane| lane.state == "up")
        .map(|lane| lane.uplink.as_deref().unwrap_or("-"))
        .collect();
    over.sort_unstable();
    match (&over[..], &peer.dial_failure) {
        ([], Some(failure)) => format!("no lane answers: {}", failure.reason),
        ([], None) => "no lane answers".to_owned(),
        (lanes, _) => format!("lanes answer over {}", lanes.join(", ")),
    }
}
