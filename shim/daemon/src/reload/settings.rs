//! What changes of the fields at the top level, the addresses that we listen on and the uplinks.

use std::time::Duration;

use super::change::Change;
use crate::config::{Config, ExistingFlows, Web};
use throughline::UplinkConfig;

/// The notes on settings that not everything live follows.
const SESSIONS_TO_COME: &str = ", for sessions to come";
const CONNECTIONS_TO_COME: &str = ", for connections to come";

/// Returns what changes of the fields at the top level and in `[limits]`.
pub(super) fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let of = |config: &Config| {
        let (limits, connections, tcp) = (&config.limits, &config.connections, &config.tcp);
        [
            ("linger", duration(limits.linger), SESSIONS_TO_COME),
            ("memory", bytes(limits.memory), ""),
            ("flows", limits.flows_per_session.to_string(), SESSIONS_TO_COME),
            ("sessions", limits.sessions_per_peer.to_string(), ""),
            ("lanes", limits.lanes_per_session.to_string(), ""),
            ("connections", connections.per_ingress.to_string(), ""),
            ("dials", connections.dials_of_peer.to_string(), ""),
            ("tcp-keepalive", or_off(tcp.keepalive), CONNECTIONS_TO_COME),
            ("tcp-user-timeout", or_off(tcp.user_timeout), CONNECTIONS_TO_COME),
            ("manage-routes", config.manage_routes.to_string(), ""),
            ("log", config.log.clone().unwrap_or_else(|| "the default".to_owned()), ""),
            ("on-event", command(&config.on_event), ""),
            ("web", web(config.web.as_ref()), ""),
            ("web-token-file", web_token_file(config.web.as_ref()), ""),
            ("existing-flows", existing_flows(config.existing_flows).to_owned(), ""),
        ]
    };
    let differs = |((field, from, note), (_, to, _)): (Setting, Setting)| {
        (from != to).then_some(Change::Setting { field, from, to, note })
    };
    of(old).into_iter().zip(of(new)).filter_map(differs).collect()
}

/// A field, its value and the note on it.
type Setting = (&'static str, String, &'static str);

fn duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

fn or_off(duration: Option<Duration>) -> String {
    duration.map_or_else(|| "off".to_owned(), self::duration)
}

/// Returns an amount of memory as it is written in the file.
fn bytes(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes > 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

fn command(command: &[String]) -> String {
    if command.is_empty() { "off".to_owned() } else { command.join(" ") }
}

fn web(web: Option<&Web>) -> String {
    web.map_or_else(|| "off".to_owned(), |web| web.listen.to_string())
}

fn web_token_file(web: Option<&Web>) -> String {
    let file = web.and_then(|web| web.token_file.as_ref());
    file.map_or_else(|| "off".to_owned(), |file| file.display().to_string())
}

fn existing_flows(what: ExistingFlows) -> &'static str {
    match what {
        ExistingFlows::End => "end",
        ExistingFlows::Keep => "keep",
    }
}

/// Returns what changes of the addresses that peers dial.
pub(super) fn listening(old: &Config, new: &Config) -> Vec<Change> {
    let removed = old.listen.iter().filter(|addr| !new.listen.contains(addr));
    let added = new.listen.iter().filter(|addr| !old.listen.contains(addr));
    let removed = removed.map(|addr| Change::ListenRemoved(*addr));
    removed.chain(added.map(|addr| Change::ListenAdded(*addr))).collect()
}

/// Returns what changes of the uplinks.
pub(super) fn uplinks(old: &Config, new: &Config) -> Vec<Change> {
    let budget = |config: &Config, name: &str| {
        config.budgets.iter().find(|(of, _)| of == name).map(|(_, budget)| *budget)
    };
    let (before, after) = (old, new);
    let (old, new) = (&old.uplinks, &new.uplinks);
    let find = |all: &[UplinkConfig], name: &str| all.iter().position(|u| u.name == name);
    let gone = old.iter().filter(|u| find(new, &u.name).is_none());
    let mut changes: Vec<_> = gone.map(|u| Change::UplinkRemoved(u.name.clone())).collect();
    let mut order = Vec::new();
    for uplink in new {
        match find(old, &uplink.name) {
            None => changes.push(Change::UplinkAdded(uplink.name.clone())),
            Some(index) => {
                order.push(index);
                if old[index] != *uplink
                    || budget(before, &uplink.name) != budget(after, &uplink.name)
                {
                    changes.push(Change::UplinkChanged(uplink.name.clone()));
                }
            }
        }
    }
    if !order.is_sorted() {
        changes.push(Change::UplinkOrder);
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_they_are_written() {
        assert_eq!(bytes(256 << 20), "256MiB");
        assert_eq!(bytes(1 << 30), "1GiB");
        assert_eq!(bytes(1_000_001), "1000001");
        assert_eq!(duration(Duration::from_secs(12 * 3600)), "12h");
        assert_eq!(or_off(None), "off");
    }
}
