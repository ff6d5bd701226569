//! Judges the uplinks: which of this host's addresses each has, and why it has none.

use crate::catalogue::Code;
use crate::config::Config;
use crate::doctor::finding::{Finding, Severity};
use crate::doctor::observation::Observations;
use throughline::UplinkConfig;
use throughline_uplinks::{Address, AddressState, NetworkState, Uplink};

pub(super) fn judge(config: &Config, seen: &Observations) -> Vec<Finding> {
    let network = &seen.network.network;
    let usable: Vec<&Uplink> = seen.network.uplinks.iter().filter(|u| leads_out(u)).collect();
    let mut findings: Vec<Finding> = config
        .uplinks
        .iter()
        .filter(|uplink| !usable.iter().any(|found| found.name == uplink.name))
        .map(|uplink| unaddressed(uplink, network, usable.is_empty()))
        .collect();
    match usable[..] {
        [] if config.uplinks.is_empty() => findings.push(
            Finding::new(
                Code::NoUplink,
                Severity::Error,
                "uplinks",
                "This host has no address that a lane could start from.",
            )
            .cure("Connect it; `ip address` and `ip route` show what there is."),
        ),
        [only] => findings.push(
            Finding::new(
                Code::OneUplink,
                Severity::Note,
                "uplinks",
                format!(
                    "Lanes go over {} only, so that its failure stops every flow until it is back.",
                    only.name
                ),
            )
            .cure("Connect a second ISP; or write both as `[uplinks.NAME]` with `prefixes`, where one interface has two."),
        ),
        _ => {}
    }
    findings
}

/// Returns whether an uplink has an address; loopback that was merely discovered is none. One that is configured may be
/// an emulated network.
fn leads_out(uplink: &Uplink) -> bool {
    uplink.ips().any(|ip| !uplink.discovered || !ip.is_loopback())
}

/// Says why a configured uplink has no address.
pub(super) fn unaddressed(uplink: &UplinkConfig, network: &NetworkState, is_last: bool) -> Finding {
    let severity = if is_last { Severity::Error } else { Severity::Warning };
    let finding = |code, cause: String, cure: String| {
        Finding::new(code, severity, format!("uplink {}", uplink.name), cause).cure(cure)
    };
    let there: Vec<&str> =
        network.links.iter().filter(|link| !link.loopback).map(|link| link.name.as_str()).collect();
    let link = uplink.interface.as_ref().map(|name| {
        let found = network.links.iter().find(|link| link.name == *name);
        (name, found)
    });
    let held: Vec<&Address> = network
        .addresses
        .iter()
        .filter(|address| {
            let on_link = link.and_then(|(_, link)| link).is_some_and(|l| l.index == address.link);
            on_link || uplink.prefixes.iter().any(|prefix| prefix.contains(&address.net.addr()))
        })
        .collect();
    // Where an address tells, its interface may be switched off.
    let down = link.and_then(|(_, link)| link).or_else(|| network.link(held.first()?.link));
    if let Some((name, None)) = link
        && held.is_empty()
    {
        return finding(
            Code::NoInterface,
            format!("There is no interface {name}; there are {}.", or_none(&there)),
            "Write the name of one that there is as `interface`, or plug the device in.".to_owned(),
        );
    }
    if let Some(link) = down.filter(|link| !link.up) {
        return finding(
            Code::InterfaceDown,
            format!("The interface {} is down, or has no carrier.", link.name),
            format!("Run `ip link set dev {} up`, and see to the cable or the modem.", link.name),
        );
    }
    if held.is_empty() {
        let usable = network.usable();
        let ours = usable.iter().map(|a| a.net.addr()).filter(|ip| !ip.is_loopback());
        let ours: Vec<String> = ours.map(|ip| ip.to_string()).collect();
        let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
        let own = match link {
            Some((name, _)) => format!("The interface {name} has no address."),
            None => {
                let prefixes: Vec<_> = uplink.prefixes.iter().map(ToString::to_string).collect();
                format!(
                    "No address of this host is in {}; it has {}.",
                    prefixes.join(" or "),
                    or_none(&ours)
                )
            }
        };
        return finding(
            Code::NoAddress,
            own,
            "Correct `prefixes`, or name the uplink by its `interface`; if the address is to come by DHCP, see its client."
                .to_owned(),
        );
    }
    let (states, advice) = unusable(&held);
    finding(Code::AddressNotUsable, format!("Its addresses cannot be used: {states}."), advice)
}

/// Says of addresses why each cannot be used, and what to do.
fn unusable(held: &[&Address]) -> (String, String) {
    let state = |address: &&Address| {
        let fault = match address.state {
            AddressState::Deprecated => "deprecated",
            AddressState::Unready => "not yet checked for a duplicate, or a duplicate",
            AddressState::Preferred => "link-local",
        };
        format!("{} ({fault})", address.net.addr())
    };
    let states: Vec<String> = held.iter().map(state).collect();
    let advice = if held.iter().any(|a| a.state == AddressState::Deprecated) {
        "Renew the lease, or see why the router no longer announces the prefix: `ip address` shows `preferred_lft`."
    } else if held.iter().any(|a| a.state == AddressState::Unready) {
        "See `ip address`: `dadfailed` means that another host has this address; change one of the two."
    } else {
        "Give the interface an address of the ISP."
    };
    (states.join(", "), advice.to_owned())
}

fn or_none(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
