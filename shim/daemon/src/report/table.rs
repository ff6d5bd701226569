//! The state of a daemon for a person.

use std::fmt;
use std::time::Duration;

use super::{
    FailingReport, FlowReport, LaneReport, PeerReport, Report, SessionReport, UplinkReport,
};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  up {}", self.id, seconds(self.uptime_s))?;
        for addr in &self.listen {
            writeln!(f, "listening on udp {addr}")?;
        }
        for uplink in &self.uplinks {
            let metered = if uplink.metered { "  metered" } else { "" };
            let addresses: Vec<_> = uplink.addresses.iter().map(ToString::to_string).collect();
            let addresses =
                if addresses.is_empty() { "no address".to_owned() } else { addresses.join(" ") };
            let draining = if uplink.draining { "  draining" } else { "" };
            let (name, class) = (&uplink.name, &uplink.class);
            writeln!(f, "uplink {name}  {addresses}  {class}{metered}{draining}")?;
            for trouble in uplink.egress_checks.iter().filter_map(|exit| exit.trouble.as_ref()) {
                writeln!(f, "  ! {trouble}")?;
            }
        }
        for peer in &self.peers {
            writeln!(f, "\npeer {}  {}", peer.name, peer.id)?;
            write_failing(f, peer)?;
            for session in &peer.sessions {
                write_session(f, session)?;
            }
        }
        Ok(())
    }
}

impl Report {
    /// The uplinks alone, as `uplink list` shows them.
    pub(crate) fn uplink_table(&self) -> String {
        let row = |uplink: &UplinkReport| {
            let addresses: Vec<_> = uplink.addresses.iter().map(ToString::to_string).collect();
            let state = match (uplink.draining, uplink.addresses.is_empty(), uplink.lanes) {
                (true, _, _) => "draining",
                (false, true, _) => "no address",
                (false, false, 0) => "no lane",
                (false, false, _) => "in use",
            };
            [
                uplink.name.clone(),
                addresses.join(" "),
                uplink.class.clone(),
                if uplink.metered { "yes" } else { "no" }.to_owned(),
                state.to_owned(),
                uplink.lanes.to_string(),
            ]
        };
        let rows: Vec<_> = self.uplinks.iter().map(row).collect();
        let head = ["uplink", "addresses", "class", "metered", "state", "lanes"];
        if rows.is_empty() { "no uplink".to_owned() } else { lines_of(head, &rows, "") }
    }
}

/// Why there is no lane to a peer, or not all the lanes that there could be.
fn write_failing(f: &mut fmt::Formatter<'_>, peer: &PeerReport) -> fmt::Result {
    let lane = peer.sessions.iter().any(|session| !session.lanes.is_empty());
    match &peer.failing {
        Some(FailingReport { since_s, error }) if lane => {
            writeln!(f, "  no dial gets through for {}; the last: {error}", seconds(*since_s))
        }
        Some(FailingReport { since_s, error }) => {
            write!(f, "  no lane: {error}")?;
            // The first failure has lasted for no time.
            if *since_s >= 1.0 {
                write!(f, " (for {} by now)", seconds(*since_s))?;
            }
            writeln!(f)
        }
        None if !peer.sessions.is_empty() => Ok(()),
        None if peer.locators.is_empty() => {
            writeln!(f, "  no lane: it has no locators here, so it has to dial us")
        }
        None => writeln!(f, "  no lane yet: the first dials are under way"),
    }
}

fn write_session(f: &mut fmt::Formatter<'_>, session: &SessionReport) -> fmt::Result {
    let id = session.id.get(..8).unwrap_or(&session.id);
    write!(f, "  session {id}  {}  ", session.side)?;
    match session.detached_s {
        Some(since) => writeln!(f, "without a lane for {}", seconds(since))?,
        None => writeln!(f, "attached")?,
    }
    let lanes: Vec<_> = session.lanes.iter().map(lane_row).collect();
    let head = ["lane", "uplink", "local", "remote", "state", "rtt", "sent", "received", "moved"];
    write_rows(f, head, &lanes)?;
    let flows: Vec<_> = session.flows.iter().map(flow_row).collect();
    let head = ["flow", "target", "mode", "sent", "received", "resent", "duplicate", "copies"];
    write_rows(f, head, &flows)
}

fn lane_row(lane: &LaneReport) -> [String; 9] {
    [
        format!("l{}", lane.id),
        lane.uplink.clone().unwrap_or_else(|| "-".to_owned()),
        lane.local.to_string(),
        lane.remote.to_string(),
        lane.state.clone(),
        format!("{:.1} ms", lane.rtt_ms),
        amount(lane.sent_bytes),
        amount(lane.received_bytes),
        format!("{}x", lane.migrations),
    ]
}

fn flow_row(flow: &FlowReport) -> [String; 8] {
    [
        format!("f{}", flow.id),
        flow.target.clone(),
        flow.mode.clone(),
        amount(flow.sent_bytes),
        amount(flow.received_bytes),
        amount(flow.resent_bytes),
        // A flow on two lanes gets everything twice; what is left came for want of a lane.
        amount(flow.duplicate_bytes.saturating_sub(flow.copy_bytes)),
        amount(flow.copy_bytes),
    ]
}

/// Columns as wide as they need to be; nothing where there is no row.
fn write_rows<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    head: [&str; N],
    rows: &[[String; N]],
) -> fmt::Result {
    f.write_str(&lines_of(head, rows, "    "))
}

fn lines_of<const N: usize>(head: [&str; N], rows: &[[String; N]], indent: &str) -> String {
    let mut text = String::new();
    if rows.is_empty() {
        return text;
    }
    let head = head.map(str::to_owned);
    let width = |column: usize| rows.iter().chain([&head]).map(|row| row[column].len()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    for row in [&head].into_iter().chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            line.push_str(&format!("{cell:width$}  "));
        }
        text.push_str(indent);
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Whole seconds, in words.
fn seconds(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    humantime::format_duration(Duration::from_secs(whole)).to_string()
}

/// Bytes with a decimal unit, three digits.
fn amount(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if value < 999.5 {
            let digits = usize::from(unit != "B" && value < 99.95);
            return format!("{value:.digits$} {unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.0} PB")
}
