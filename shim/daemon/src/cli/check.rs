//! What a configuration amounts to, for a person, and what in it cannot work as it stands.

use std::fmt::{self, Write};

use crate::config::{Config, IdentitySource, IngressKind};
use crate::proxy::rules::Via;
use crate::run::StartError;
use throughline::Identity;
use throughline::PeerId;

/// Says what `config` amounts to.
///
/// # Errors
/// Its identity cannot be read, or is a peer's as well.
pub(super) fn describe(config: &Config) -> Result<String, StartError> {
    let identity = match &config.identity {
        IdentitySource::File(path) => Identity::load(path)?,
        IdentitySource::Given(identity) => identity.clone(),
    };
    config.check_own_key(identity.peer_id())?;
    let mut text = format!("identity {}\n", identity.peer_id());
    // Writing to a string does not fail.
    let _ = describe_rest(config, &mut text);
    Ok(text.trim_end().to_owned())
}

/// Where the flows of an ingress go that no rule decides.
fn describe_via(config: &Config, ingress: &str) -> String {
    let Some(own) = config.policy.ingress(ingress) else { return String::new() };
    let name = |id: &PeerId| {
        let peer = config.peers.iter().find(|peer| peer.config.id == *id);
        peer.map_or_else(|| id.to_string(), |peer| peer.config.name.clone())
    };
    let via = match &own.via {
        None => return ", rules decide where to".to_owned(),
        Some(Via::Peers(peers)) => {
            let names: Vec<_> = peers.iter().map(name).collect();
            names.join(", else ")
        }
        Some(Via::Direct) => "direct".to_owned(),
        Some(Via::Reject) => return ", rejected where no rule matches".to_owned(),
    };
    let down = own.peer_down.map(|down| format!("; while down: {down}")).unwrap_or_default();
    format!(" via {via}{down}")
}

fn describe_rest(config: &Config, text: &mut String) -> fmt::Result {
    for addr in &config.listen {
        writeln!(text, "listens for peers on udp {addr}")?;
    }
    for uplink in &config.uplinks {
        let prefixes = uplink.prefixes.iter().map(|prefix| {
            let host = prefix.prefix_len() == prefix.max_prefix_len();
            if host { prefix.addr().to_string() } else { prefix.to_string() }
        });
        let interface = uplink.interface.iter().map(|name| format!("interface {name}"));
        let what: Vec<_> = prefixes.chain(interface).collect();
        let metered = if uplink.metered { ", metered" } else { "" };
        writeln!(text, "uplink {}: {}{metered}", uplink.name, what.join(", "))?;
    }
    if config.uplinks.is_empty() {
        writeln!(text, "uplinks are discovered")?;
    }
    if config.manage_routes {
        writeln!(text, "sets rules and routes for them (needs CAP_NET_ADMIN)")?;
    }
    for peer in &config.peers {
        let name = &peer.config.name;
        let locators: Vec<_> = peer.config.locators.iter().map(ToString::to_string).collect();
        let at = if locators.is_empty() { "dials us".to_owned() } else { locators.join(", ") };
        let allowed: Vec<_> = peer.acl.entries().iter().map(ToString::to_string).collect();
        let may = if allowed.is_empty() { "nothing".to_owned() } else { allowed.join(", ") };
        writeln!(text, "peer {name}: {at}; may reach {may} through us")?;
        if locators.is_empty() && config.listen.is_empty() {
            writeln!(
                text,
                "  note: neither side can dial: give {name} `locators`, or this host `listen`"
            )?;
        }
    }
    for ingress in &config.ingresses {
        let kind = match &ingress.kind {
            IngressKind::Socks5(None) => "socks5".to_owned(),
            IngressKind::Socks5(Some(_)) => "socks5 with a password".to_owned(),
            IngressKind::Forward(to) => format!("forward to {to}"),
        };
        let via = describe_via(config, &ingress.name);
        writeln!(text, "ingress {}: {kind} on tcp {}{via}", ingress.name, ingress.listen)?;
    }
    writeln!(text, "the configuration is right")
}
