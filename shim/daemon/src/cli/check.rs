//! `throughline check`: describes a configuration, and notes what in it cannot work as it stands.

use std::fmt::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::output::{config_error, print, start_error};
use crate::config::{Config, Ingress, IngressKind, Peer};
use crate::proxy::rules::Via;
use crate::run::{StartError, identity};
use throughline::{PeerId, UplinkConfig};

pub(super) fn execute(file: &Path) -> ExitCode {
    match Config::load(file) {
        Ok(config) => match describe(&config) {
            Ok(text) => print(&text),
            Err(error) => start_error(&error),
        },
        Err(error) => config_error(&error),
    }
}

/// Describes `config`, a line for each thing that it configures.
///
/// # Errors
/// The identity cannot be read, or a peer has the same key.
fn describe(config: &Config) -> Result<String, StartError> {
    let identity = identity(config)?;
    let mut text = format!("identity {}\n", identity.peer_id());
    // Writing to a string does not fail.
    let _ = write_lines(config, &mut text);
    Ok(text.trim_end().to_owned())
}

fn write_lines(config: &Config, text: &mut String) -> fmt::Result {
    for addr in &config.listen {
        writeln!(text, "listens for peers on udp {addr}")?;
    }
    for uplink in &config.uplinks {
        write_uplink(uplink, text)?;
    }
    if config.uplinks.is_empty() {
        writeln!(text, "uplinks are discovered")?;
    }
    if config.manage_routes {
        writeln!(text, "manages rules and routes for the uplinks (needs CAP_NET_ADMIN)")?;
    }
    for peer in &config.peers {
        write_peer(config, peer, text)?;
    }
    for ingress in &config.ingresses {
        write_ingress(config, ingress, text)?;
    }
    writeln!(text, "the configuration is valid")
}

fn write_uplink(uplink: &UplinkConfig, text: &mut String) -> fmt::Result {
    let prefixes = uplink.prefixes.iter().map(|prefix| {
        let host = prefix.prefix_len() == prefix.max_prefix_len();
        if host { prefix.addr().to_string() } else { prefix.to_string() }
    });
    let interface = uplink.interface.iter().map(|name| format!("interface {name}"));
    let addresses: Vec<_> = prefixes.chain(interface).collect();
    let metered = if uplink.metered { ", metered" } else { "" };
    writeln!(text, "uplink {}: {}{metered}", uplink.name, addresses.join(", "))
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
        IngressKind::Socks5(None) => "socks5".to_owned(),
        IngressKind::Socks5(Some(_)) => "socks5 with a password".to_owned(),
        IngressKind::Forward(to) => format!("forward to {to}"),
    };
    let via = describe_via(config, &ingress.name);
    writeln!(text, "ingress {}: {kind} on tcp {}{via}", ingress.name, ingress.listen)
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
