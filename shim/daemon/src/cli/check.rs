//! `throughline check`: describes a configuration, and notes what in it cannot work as it stands.

use std::fmt::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::output::{config_error, print, start_error};
use crate::config::{Budget, Config, Ingress, IngressKind, Peer, ProxyProtocol};
use crate::doctor::why_unaddressed;
use crate::proxy::connections::Descriptors;
use crate::proxy::ingress::Listen;
use crate::proxy::ingress::intercept::kernel_policy::{Action, Step, steps};
use crate::proxy::ingress::intercept::traffic::{Protocol, TrafficSelector};
use crate::proxy::names::pool;
use crate::proxy::rules::{Destination, Via};
use crate::run::{StartError, identity, table, web_settings};
use throughline::{PeerId, UplinkConfig};
use throughline_uplinks::{Snapshot, Uplink, Uplinks};

pub(super) async fn execute(file: &Path) -> ExitCode {
    match Config::load(file) {
        Ok(config) => match describe(&config, &now(&config).await) {
            Ok(text) => print(&text),
            Err(error) => start_error(&error),
        },
        Err(error) => config_error(&error),
    }
}

/// Returns the uplinks that this host has now, and what they were found by.
async fn now(config: &Config) -> Snapshot {
    // Without managing routes it cannot fail.
    let uplinks = Uplinks::start(config.uplinks.clone(), false).await;
    uplinks.map(|uplinks| (*uplinks.now()).clone()).unwrap_or_default()
}

/// Describes `config`, a line for each thing that it configures, with the uplinks that are there `now`.
///
/// # Errors
/// The identity or the token of the status page cannot be read, or a peer has the same key.
fn describe(config: &Config, now: &Snapshot) -> Result<String, StartError> {
    let identity = identity(config)?;
    web_settings(config)?;
    let mut text = format!("identity {}\n", identity.peer_id());
    // Writing to a string does not fail.
    let _ = write_lines(config, now, &mut text);
    Ok(text.trim_end().to_owned())
}

fn write_lines(config: &Config, now: &Snapshot, text: &mut String) -> fmt::Result {
    for addr in &config.listen {
        writeln!(text, "listens for peers on udp {addr}")?;
    }
    for uplink in &config.uplinks {
        let budget = config.budgets.iter().find(|(of, _)| *of == uplink.name);
        write_uplink((uplink, budget.map(|(_, budget)| budget)), now, text)?;
    }
    if config.uplinks.is_empty() {
        let leads_out = |uplink: &&Uplink| !uplink.ips().all(|ip| ip.is_loopback());
        let found: Vec<_> = now.uplinks.iter().filter(leads_out).map(|u| u.name.as_str()).collect();
        let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
        writeln!(text, "uplinks are discovered; now: {found}")?;
    }
    if config.manage_routes {
        writeln!(text, "manages rules and routes for the uplinks (needs CAP_NET_ADMIN)")?;
    }
    if !config.on_event.is_empty() {
        writeln!(text, "runs {} for each event", config.on_event.join(" "))?;
    }
    if let Some(web) = &config.web {
        let read_only = if web.token_file.is_some() { "changes by its token" } else { "read-only" };
        writeln!(text, "status page on tcp {}, {read_only}", web.listen)?;
    }
    let (limit, for_connections) = Descriptors::after_raise().bounds();
    writeln!(
        text,
        "of {limit} descriptors (this shell's limit) {for_connections} are for connections, the \
         others for lanes"
    )?;
    for peer in &config.peers {
        write_peer(config, peer, text)?;
    }
    for ingress in &config.ingresses {
        write_ingress(config, ingress, text)?;
    }
    writeln!(text, "the configuration is valid")
}

fn write_uplink(
    (uplink, budget): (&UplinkConfig, Option<&Budget>),
    now: &Snapshot,
    text: &mut String,
) -> fmt::Result {
    let prefixes = uplink.prefixes.iter().map(|prefix| {
        let host = prefix.prefix_len() == prefix.max_prefix_len();
        if host { prefix.addr().to_string() } else { prefix.to_string() }
    });
    let interface = uplink.interface.iter().map(|name| format!("interface {name}"));
    let addresses: Vec<_> = prefixes.chain(interface).collect();
    let metered = match (uplink.metered, uplink.overflow) {
        (true, _) => ", metered".to_owned(),
        (false, Some(after)) => {
            format!(
                ", used by bulk when the others are full for {}",
                humantime::format_duration(after)
            )
        }
        (false, None) => String::new(),
    };
    let budget = budget.map_or_else(String::new, |budget| format!(", {budget}"));
    let found = now.uplinks.iter().filter(|found| found.name == uplink.name);
    let has: Vec<_> = found.flat_map(Uplink::ips).map(|ip| ip.to_string()).collect();
    let has = if has.is_empty() { "no address".to_owned() } else { has.join(", ") };
    writeln!(
        text,
        "uplink {}: {}{metered}{budget}; now: {has}",
        uplink.name,
        addresses.join(", ")
    )?;
    if has == "no address" {
        writeln!(text, "  note: {}", why_unaddressed(uplink, &now.network))?;
    }
    Ok(())
}

fn write_peer(config: &Config, peer: &Peer, text: &mut String) -> fmt::Result {
    let name = &peer.config.name;
    let locators: Vec<_> = peer.config.locators.iter().map(ToString::to_string).collect();
    let locators = if locators.is_empty() { "dials us".to_owned() } else { locators.join(", ") };
    let allowed: Vec<_> = peer.acl.entries().iter().map(ToString::to_string).collect();
    let allowed = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
    writeln!(text, "peer {name}: {locators}; may reach {allowed} through us")?;
    if peer.config.locators.is_empty() && config.listen.is_empty() {
        writeln!(
            text,
            "  note: neither end can dial; give {name} `locators`, or give this host `listen`"
        )?;
    }
    Ok(())
}

fn write_ingress(config: &Config, ingress: &Ingress, text: &mut String) -> fmt::Result {
    let kind = match &ingress.kind {
        IngressKind::Socks5(_) => "socks5".to_owned(),
        IngressKind::Http(_) => "http".to_owned(),
        IngressKind::Proxy(_) => "socks5, socks4a and http".to_owned(),
        IngressKind::Forward(to) => format!("forward to {to}"),
        IngressKind::Intercept(of) => return write_interception(config, ingress, of, text),
    };
    let password = if ingress.kind.credentials().is_some() { " with a password" } else { "" };
    let transport = match (&ingress.listen, ingress.kind.takes_datagrams()) {
        (Listen::Unix(_), _) => "",
        (Listen::Ip(_), true) => "udp ",
        (Listen::Ip(_), false) => "tcp ",
    };
    let via = describe_via(config, &ingress.name);
    writeln!(
        text,
        "ingress {}: {kind}{password} on {transport}{}{via}",
        ingress.name, ingress.listen
    )?;
    if !ingress.clients.allow_from.is_empty() {
        let networks: Vec<_> = ingress.clients.allow_from.iter().map(ToString::to_string).collect();
        writeln!(text, "  clients are in {}", networks.join(", "))?;
    }
    let ProxyProtocol { accept_from, send } = &ingress.proxy_protocol;
    if !accept_from.is_empty() {
        let from: Vec<_> = accept_from.iter().map(ToString::to_string).collect();
        writeln!(text, "  connections from {} begin with the PROXY protocol", from.join(", "))?;
    }
    if *send {
        writeln!(text, "  its flows begin with the PROXY protocol")?;
    }
    Ok(())
}

fn write_interception(
    config: &Config,
    ingress: &Ingress,
    of: &TrafficSelector,
    text: &mut String,
) -> fmt::Result {
    let via = describe_via(config, &ingress.name);
    writeln!(text, "ingress {}: intercepts {} of {of}{via}", ingress.name, of.protocol)?;
    if of.dns {
        let mut to = config.policy.rules().iter().flat_map(|rule| &rule.to);
        let names = match to.any(|to| matches!(to, Destination::Name(_))) {
            true => format!("names that a rule has, by addresses of {} and {}", pool::V4, pool::V6),
            false => "none differently, as no rule has a name".to_owned(),
        };
        writeln!(text, "  answers their DNS queries: {names}")?;
    }
    let steps = steps(&config.policy, &ingress.name, of.protocol);
    let is_left = |step: &&Step| step.action == Action::Leave;
    for Step { to, ports, .. } in steps.iter().filter(is_left) {
        let or_all = |list: Vec<String>, all: &str| match list.is_empty() {
            true => all.to_owned(),
            false => list.join(", "),
        };
        let to = or_all(to.iter().map(ToString::to_string).collect(), "everything else");
        let ports = or_all(ports.iter().map(ToString::to_string).collect(), "any port");
        writeln!(text, "  left to the kernel, as direct: {to} at {ports}")?;
    }
    writeln!(
        text,
        "  by the nftables table inet {} (needs CAP_NET_ADMIN and the program nft)",
        table(&config.admin)
    )?;
    match of.protocol {
        Protocol::Tcp => Ok(()),
        Protocol::Udp => {
            writeln!(text, "  and by a rule and a route of its own (needs the program ip)")
        }
    }
}

/// Describes where the flows of an ingress go that no rule matches.
fn describe_via(config: &Config, ingress: &str) -> String {
    let Some(defaults) = config.policy.ingress(ingress) else { return String::new() };
    let name = |id: &PeerId| {
        let peer = config.peers.iter().find(|peer| peer.config.id == *id);
        peer.map_or_else(|| id.to_string(), |peer| peer.config.name.clone())
    };
    let via = match &defaults.via {
        None => return ", rules decide".to_owned(),
        Some(Via::Peers(peers)) => {
            let names: Vec<_> = peers.iter().map(name).collect();
            names.join(", else ")
        }
        Some(Via::Direct) => "direct".to_owned(),
        Some(Via::Reject) => return ", rejected if no rule matches".to_owned(),
    };
    let action = defaults.peer_down.map(|action| format!("; while no peer is reachable: {action}"));
    format!(" via {via}{}", action.unwrap_or_default())
}
