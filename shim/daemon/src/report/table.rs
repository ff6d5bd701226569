//! The state of a daemon as text for people.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::{
    BudgetReport, DescriptorsReport, DialFailureReport, FlowReport, InterceptingReport,
    InterceptionReport, LaneReport, PeerReport, RedundancyLossReport, Report, SessionReport,
    TotalsReport, UplinkReport,
};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  up {}", self.id, seconds(self.uptime_s))?;
        for addr in &self.listen {
            writeln!(f, "listening on udp {addr}")?;
        }
        let DescriptorsReport { limit, for_connections, connections } = self.descriptors;
        writeln!(
            f,
            "{connections} of {for_connections} descriptors for connections in use; the limit is \
             {limit}"
        )?;
        if let Some(interception) = &self.interception {
            write_interception(f, interception)?;
        }
        write_survival(f, &self.totals)?;
        for uplink in self.uplinks.iter().filter(|uplink| uplink.is_way_out()) {
            write_uplink(f, uplink)?;
        }
        for peer in &self.peers {
            writeln!(f, "\npeer {}  {}", peer.name, peer.id)?;
            write_dial_failure(f, peer)?;
            for session in &peer.sessions {
                write_session(f, session)?;
            }
        }
        Ok(())
    }
}

impl Report {
    /// Returns the table of the uplinks, which `uplink list` shows.
    pub(crate) fn uplink_table(&self) -> String {
        let row = |uplink: &UplinkReport| {
            let addresses: Vec<_> = uplink.addresses.iter().map(ToString::to_string).collect();
            [
                uplink.name.clone(),
                addresses.join(" "),
                uplink.class.clone(),
                uplink.tariff(),
                uplink.state().to_owned(),
                uplink.lanes.to_string(),
            ]
        };
        let rows: Vec<_> = self.uplinks.iter().filter(|u| u.is_way_out()).map(row).collect();
        let head = ["uplink", "addresses", "class", "metered", "state", "lanes"];
        if rows.is_empty() { "no uplink".to_owned() } else { lines_of(head, &rows, "") }
    }
}

impl UplinkReport {
    /// Returns what it is in: the state of its lanes.
    pub fn state(&self) -> &'static str {
        match (self.addresses.is_empty(), self.lanes, self.lanes_up) {
            _ if self.draining => "draining",
            _ if self.budget.as_ref().is_some_and(BudgetReport::forbids) => "budget spent",
            (true, _, _) => "no address",
            // It has one where no other uplink answers.
            (false, 0, _) if self.metered => "standby",
            (false, 0, _) => "no lane",
            (false, _, 0) => "no answer",
            (false, _, _) => "in use",
        }
    }

    /// Returns whether it is worth showing: loopback, where it was only discovered and nothing uses it, leads
    /// nowhere.
    fn is_way_out(&self) -> bool {
        self.is_followed() || !self.addresses.iter().all(IpAddr::is_loopback)
    }

    /// Returns whether it is shown where it is followed as it changes: one that was only discovered is of interest
    /// once it has a lane.
    pub(crate) fn is_followed(&self) -> bool {
        !self.discovered || self.lanes > 0 || self.draining
    }

    /// Returns what its use costs.
    fn tariff(&self) -> String {
        match (self.metered, self.overflow_after_s) {
            (true, _) => "yes".to_owned(),
            (false, Some(_)) => "overflow".to_owned(),
            (false, None) => "no".to_owned(),
        }
    }
}

impl BudgetReport {
    /// Returns whether nothing may go over the uplink.
    pub(crate) fn forbids(&self) -> bool {
        self.state == "spent" && self.at_budget == "stop"
    }

    /// Returns when it begins anew, as a phrase.
    pub(crate) fn until(&self) -> String {
        match &self.resets_on {
            Some(date) => format!("until {date}, 00:00 UTC"),
            None => "until the clock is set".to_owned(),
        }
    }
}

impl fmt::Display for BudgetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [used, left, all] =
            [self.used_bytes, self.remaining_bytes, self.budget_bytes].map(amount);
        let until = self.until();
        match (self.state.as_str(), self.forbids()) {
            ("spent", true) => {
                write!(f, "the budget of {all} is spent: nothing goes over it {until}")
            }
            ("spent", false) => write!(
                f,
                "the budget of {all} is spent: only thin flows use it, where no other answers, {until}"
            ),
            _ => write!(f, "{used} of {all} used, {left} left {until}"),
        }
    }
}

impl BudgetReport {
    /// Returns what is used of it, and when it begins anew, as short as can be.
    pub(crate) fn used(&self) -> String {
        let (used, all) = (amount(self.used_bytes), amount(self.budget_bytes));
        let state =
            if self.state == "within" { String::new() } else { format!(" ({})", self.state) };
        let anew = self.resets_on.as_ref().map_or_else(String::new, |date| format!(", new {date}"));
        format!("{used} of {all}{state}{anew}")
    }
}

fn write_interception(f: &mut fmt::Formatter<'_>, now: &InterceptionReport) -> fmt::Result {
    for ingress in &now.ingresses {
        let InterceptingReport { name, protocol, of, .. } = ingress;
        writeln!(
            f,
            "ingress {name} intercepts {protocol} of {of}, by the table inet {}",
            now.table
        )?;
    }
    match &now.problem {
        Some(problem) => writeln!(f, "  ! {problem}"),
        None => Ok(()),
    }
}

/// Writes what the daemon is there for, once there was occasion.
fn write_survival(f: &mut fmt::Formatter<'_>, totals: &[TotalsReport]) -> fmt::Result {
    let failed: u64 = totals.iter().map(|totals| totals.failed_lanes).sum();
    let flows: u64 = totals.iter().map(|totals| totals.surviving_flows).sum();
    match failed {
        0 => Ok(()),
        1 => writeln!(f, "a lane failed once; {flows} live flows went on"),
        _ => writeln!(f, "lanes failed {failed} times; {flows} live flows in all went on"),
    }
}

fn write_uplink(f: &mut fmt::Formatter<'_>, uplink: &UplinkReport) -> fmt::Result {
    let UplinkReport { name, class, .. } = uplink;
    let addresses = match &uplink.addresses[..] {
        [] => "no address".to_owned(),
        addresses => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    };
    let metered = match (uplink.metered, uplink.overflow_after_s) {
        (true, _) => "  metered".to_owned(),
        (false, Some(after)) => format!("  overflow after {after:.0} s"),
        (false, None) => String::new(),
    };
    let draining = if uplink.draining { "  draining" } else { "" };
    writeln!(f, "uplink {name}  {addresses}  {class}{metered}{draining}")?;
    if let Some(budget) = &uplink.budget {
        let mark = if budget.state == "within" { " " } else { "!" };
        writeln!(f, "  {mark} {budget}")?;
    }
    for problem in uplink.egress_checks.iter().filter_map(|check| check.problem.as_ref()) {
        writeln!(f, "  ! {problem}")?;
    }
    Ok(())
}

/// Writes why there is no lane to a peer, or fewer lanes than there could be.
fn write_dial_failure(f: &mut fmt::Formatter<'_>, peer: &PeerReport) -> fmt::Result {
    let has_lane = peer.sessions.iter().any(|session| !session.lanes.is_empty());
    if let Some(DialFailureReport { duration_s, reason }) = &peer.key_refusal {
        writeln!(f, "  ! no new lane for {}: {reason}", seconds(*duration_s))?;
    }
    match &peer.dial_failure {
        Some(DialFailureReport { duration_s, reason }) if has_lane => {
            writeln!(
                f,
                "  every dial has failed for {}; the last one: {reason}",
                seconds(*duration_s)
            )
        }
        Some(DialFailureReport { duration_s, reason }) => {
            write!(f, "  no lane: {reason}")?;
            // The first failure has no duration yet.
            if *duration_s >= 1.0 {
                write!(f, " (for {})", seconds(*duration_s))?;
            }
            writeln!(f)
        }
        None if !peer.sessions.is_empty() => Ok(()),
        None if peer.locators.is_empty() => {
            writeln!(
                f,
                "  no lane: it has no `locators` in this configuration, so it has to dial us"
            )
        }
        None => writeln!(f, "  no lane yet: the first dials are in progress"),
    }
}

fn write_session(f: &mut fmt::Formatter<'_>, session: &SessionReport) -> fmt::Result {
    let id = session.id.get(..8).unwrap_or(&session.id);
    write!(f, "  session {id}  {}  ", session.side)?;
    match session.detached_s {
        Some(since) => writeln!(f, "without a lane for {}", seconds(since))?,
        None => writeln!(f, "attached")?,
    }
    for loss in &session.redundancy_losses {
        let RedundancyLossReport { domain, duration_s, reason } = loss;
        writeln!(f, "    ! redundancy lost for {}: {domain}: {reason}", seconds(*duration_s))?;
    }
    let lanes: Vec<_> = session.lanes.iter().map(lane_row).collect();
    let head =
        ["lane", "uplink", "local", "remote", "state", "rtt", "sent", "received", "migrated"];
    write_rows(f, head, &lanes)?;
    let flows: Vec<_> = session.flows.iter().map(flow_row).collect();
    let head = ["flow", "target", "mode", "sent", "received", "resent", "duplicate", "intended"];
    write_rows(f, head, &flows)
}

fn lane_row(lane: &LaneReport) -> [String; 9] {
    [
        format!("l{}", lane.id),
        lane.uplink.clone().unwrap_or_else(|| "-".to_owned()),
        lane.local.to_string(),
        lane.remote.to_string(),
        match lane.usual_pause_ms {
            0.0 => lane.state.clone(),
            pause => format!("{}, pauses up to {pause:.0} ms", lane.state),
        },
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
        // On two lanes every byte arrives twice, as intended; the others were resent in vain.
        amount(flow.duplicate_bytes.saturating_sub(flow.intended_duplicate_bytes)),
        amount(flow.intended_duplicate_bytes),
    ]
}

/// Writes columns as wide as their widest cell; nothing if there is no row.
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

/// Formats whole seconds: `1h 2m 3s`.
fn seconds(seconds: f64) -> String {
    let whole = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    humantime::format_duration(Duration::from_secs(whole)).to_string()
}

/// Formats bytes with a decimal unit and three digits.
pub(crate) fn amount(bytes: u64) -> String {
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
