//! Judges the locators: whether their names resolve, and whether any address of this host fits.

use crate::catalogue::Code;
use crate::doctor::finding::{Finding, Severity};
use crate::doctor::observation::{LocatorSeen, Observations};

pub(super) fn judge(seen: &Observations) -> Vec<Finding> {
    seen.locators.iter().filter_map(|locator| of_locator(locator, seen)).collect()
}

fn of_locator(locator: &LocatorSeen, seen: &Observations) -> Option<Finding> {
    let subject = format!("peer {}, locator {}", locator.peer, locator.locator);
    let is_reached = seen.paths.iter().any(|path| path.peer == locator.peer && path.is_reached());
    let severity = if is_reached { Severity::Warning } else { Severity::Error };
    let addresses = match &locator.addresses {
        Ok(addresses) => addresses,
        Err(reason) => {
            let cause = format!("The name {} has no address: {reason}.", locator.locator);
            let cure = "Correct the name, or see to the name server (`resolvectl query NAME`); better write addresses, \
                        which need no name server in an outage.";
            let finding = Finding::new(Code::NameUnresolved, severity, subject, cause);
            return Some(finding.cure(cure));
        }
    };
    if let [first, ..] = locator.own[..] {
        let cause = format!(
            "{} is an address of this host itself, so that it would dial itself.",
            first.ip()
        );
        let finding = Finding::new(Code::LocatorIsOurs, severity, subject, cause);
        return Some(
            finding.cure(format!("Write an address of {} in its `locators`.", locator.peer)),
        );
    }
    let has_path = |addr: &std::net::SocketAddr| {
        let ours = seen.network.uplinks.iter().flat_map(|uplink| uplink.ips());
        ours.filter(|ip| !ip.is_loopback() || addr.ip().is_loopback())
            .any(|ip| ip.is_ipv4() == addr.is_ipv4())
    };
    let mut ours = seen.network.uplinks.iter().flat_map(|uplink| uplink.ips());
    // Where there is no address at all, that is what is wrong.
    if addresses.iter().any(has_path) || ours.all(|ip| ip.is_loopback()) {
        return None;
    }
    let family = if addresses.first().is_some_and(|a| a.is_ipv4()) { "IPv4" } else { "IPv6" };
    let cause = format!("It has {family} addresses only, and no uplink of this host has one.");
    // What is missed is a second family; the peer may be reached by the other.
    let severity = if is_reached { Severity::Note } else { severity };
    Some(Finding::new(Code::NoFamily, severity, subject, cause).cure(format!(
        "Have an ISP give this host {family}, or name an address of the other family in `locators`."
    )))
}
