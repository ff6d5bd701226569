//! Where datagrams were dropped between the near application and the far one, by who counts them.

use std::collections::BTreeMap;
use std::fs;

use interop_tests::lab::daemons::Daemons;
use interop_tests::lab::host::Host;
use interop_tests::lab::{Lab, Side};
use interop_tests::support::Outcome;

/// What was dropped up to now, by place.
pub(super) struct Causes(BTreeMap<String, u64>);

impl Causes {
    /// Counts what was dropped up to now.
    pub(super) fn count(lab: &Lab, daemons: &Daemons) -> Outcome<Self> {
        let mut counts = BTreeMap::new();
        for (side, name) in [(Side::Client, "near"), (Side::Server, "far")] {
            let sessions = daemons.sessions(side)?;
            let sum = |list: &str, field: &str| -> u64 {
                let all = sessions.iter().filter_map(|session| session[list].as_array()).flatten();
                all.filter_map(|item| item[field].as_u64()).sum()
            };
            counts.insert(format!("{name} flows' queues"), sum("flows", "dropped_datagrams"));
            counts.insert(format!("{name} lanes' lost bytes"), sum("lanes", "lost_bytes"));
            let host = &lab.side(side).host;
            for (what, count) in of_kernel(host)? {
                counts.insert(format!("{name} {what}"), count);
            }
        }
        for isp in &lab.isps {
            let stats = isp.wire.stats();
            let ways = [("up", stats.up), ("down", stats.down)];
            for (way, stats) in ways {
                let name = format!("{} {way}", isp.name());
                counts.insert(format!("{name}: queue full"), stats.queue_full.packets);
                counts.insert(format!("{name}: refused"), stats.refused.packets);
            }
            for (what, count) in of_kernel(&isp.router)? {
                counts.insert(format!("{} {what}", isp.name()), count);
            }
        }
        Ok(Self(counts))
    }

    /// Returns what was dropped since, where anything was.
    pub(super) fn since(&self, before: &Self) -> String {
        let grown = self.0.iter().filter_map(|(place, count)| {
            let count = count.saturating_sub(before.0.get(place).copied().unwrap_or_default());
            (count > 0).then(|| format!("{place} {count}"))
        });
        grown.collect::<Vec<_>>().join(", ")
    }
}

/// Returns what a host's sockets and devices dropped.
fn of_kernel(host: &Host) -> Outcome<Vec<(String, u64)>> {
    let read = || -> std::io::Result<_> {
        Ok([
            fs::read_to_string("/proc/thread-self/net/snmp")?,
            fs::read_to_string("/proc/thread-self/net/dev")?,
        ])
    };
    let [snmp, devices] = host.run(read)??;
    let mut counts = Vec::new();
    let mut of_udp = snmp.lines().filter(|line| line.starts_with("Udp:"));
    if let (Some(names), Some(values)) = (of_udp.next(), of_udp.next()) {
        for (name, value) in names.split_whitespace().zip(values.split_whitespace()) {
            if name.ends_with("bufErrors") {
                counts.push((format!("sockets: {name}"), value.parse()?));
            }
        }
    }
    for line in devices.lines().skip(2) {
        let Some((device, fields)) = line.split_once(':') else { continue };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        // Of eight fields each way the fourth.
        for (way, field) in [("received", 3), ("sent", 11)] {
            let count = fields.get(field).map_or(Ok(0), |count| count.parse())?;
            counts.push((format!("{}: {way}, dropped", device.trim()), count));
        }
    }
    Ok(counts)
}

/// Returns what the lanes and flows of a side are like now.
pub(super) fn lanes(daemons: &Daemons, side: Side) -> Outcome<String> {
    let mut said = Vec::new();
    for session in daemons.sessions(side)? {
        let of = |list: &str| session[list].as_array().cloned().unwrap_or_default();
        for lane in of("lanes") {
            let [name, window, rtt, suspicions] =
                ["uplink", "cwnd_bytes", "rtt_ms", "suspicions"].map(|field| &lane[field]);
            said.push(format!(
                "{name}: window {window}, round trip {rtt} ms, suspicions {suspicions}"
            ));
        }
        for flow in of("flows") {
            said.push(flow.to_string());
        }
    }
    Ok(said.join("; "))
}
