//! Why a live flow is on its lanes, when it moved and why, and when it returns. Pure, but for asking the daemon.

use std::fmt::Write;
use std::process::ExitCode;
use std::str::FromStr;

use super::target::reason;
use crate::admin;
use crate::catalogue::Code;
use crate::cli::daemon::DaemonArgs;
use crate::cli::output::{fail, fail_as, print};
use crate::config::Config;
use crate::proxy::rules::Decision;
use crate::report::{FlowReport, LaneReport, MoveReport, PeerReport, Report, SessionReport};
use throughline::{FlowId, Side, Target};

/// A flow as `status` shows it: `f12`, where several sessions have one of this number with the beginning of the
/// session's id before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowName {
    /// The beginning of the session's id.
    pub session: Option<String>,
    /// Its number.
    pub id: u64,
}

impl FromStr for FlowName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (session, flow) = match text.split_once('/') {
            Some((session, flow)) => (Some(session.to_owned()), flow),
            None => (None, text),
        };
        let id = flow.strip_prefix('f').unwrap_or(flow).parse().map_err(drop)?;
        Ok(Self { session, id })
    }
}

/// A flow, and whose it is.
#[derive(Clone, Copy)]
struct Found<'a> {
    peer: &'a PeerReport,
    session: &'a SessionReport,
    flow: &'a FlowReport,
}

pub(super) async fn execute(name: &FlowName, daemon: &DaemonArgs) -> ExitCode {
    let path = match daemon.socket_path() {
        Ok(path) => path,
        Err(code) => return code,
    };
    let report = match admin::status(&path).await {
        Ok(report) => report,
        Err(error) => return fail(error),
    };
    // The rules are those of the file that the daemon reads; without it the rest is told.
    let file = daemon.config.clone().or_else(|| report.file.clone());
    let config = file.and_then(|file| Config::load(&file).ok());
    let found = find(&report, name);
    if found.is_empty() {
        return fail_as(
            Code::UnknownName,
            format!(
                "there is no flow f{} now; {} lists the live ones",
                name.id,
                daemon.command("status")
            ),
        );
    }
    let explained: Vec<String> =
        found.into_iter().map(|found| explain(found, config.as_ref())).collect();
    print(&explained.join("\n"))
}

fn find<'a>(report: &'a Report, name: &FlowName) -> Vec<Found<'a>> {
    let sessions =
        report.peers.iter().flat_map(|peer| peer.sessions.iter().map(move |s| (peer, s)));
    let of_session = |session: &SessionReport| {
        name.session.as_ref().is_none_or(|beginning| session.id.starts_with(beginning.as_str()))
    };
    sessions
        .filter(|(_, session)| of_session(session))
        .filter_map(|(peer, session)| {
            let flow = session.flows.iter().find(|flow| flow.id == name.id)?;
            Some(Found { peer, session, flow })
        })
        .collect()
}

/// Says all that is known of a flow.
fn explain(found: Found<'_>, config: Option<&Config>) -> String {
    let Found { peer, session, flow } = found;
    let kind = if flow.thin { "thin" } else { "bulk" };
    let id = session.id.get(..8).unwrap_or(&session.id);
    let mut text = format!(
        "f{} to {} through {}, mode {}, {kind}, in session {id}",
        flow.id, flow.target, peer.name, flow.mode
    );
    // Writing to a string does not fail.
    let _ = write!(text, "\n  {}", origin(found, config));
    for line in lanes(found) {
        let _ = write!(text, "\n  {line}");
    }
    let _ = write!(text, "\n  {}", last_move(session, flow.last_move.as_ref()));
    if let Some(home) = home(found) {
        let _ = write!(text, "\n  {home}");
    }
    text
}

/// Says who opened the flow, and by what it leads to this peer.
fn origin(found: Found<'_>, config: Option<&Config>) -> String {
    let Found { peer, session, flow } = found;
    let side = if session.side == "initiator" { Side::Initiator } else { Side::Acceptor };
    if FlowId(flow.id).opener() != side {
        return format!("{} opened it; its `allow` here lets it reach {}", peer.name, flow.target);
    }
    let Some(config) = config else {
        return "opened here; the rules are not known without the configuration (-c FILE)"
            .to_owned();
    };
    let Ok(target) = flow.target.parse::<Target>() else {
        return format!("opened here, to a service of {}", peer.name);
    };
    let leads_here = |ingress: &&str| match config.policy.decide(ingress, &target) {
        Decision::Peers { via, .. } => via.iter().any(|id| {
            config
                .peers
                .iter()
                .any(|p| p.config.name == peer.name && p.config.keys().any(|k| k == *id))
        }),
        Decision::Direct | Decision::Reject => false,
    };
    let ingresses = config.ingresses.iter().map(|ingress| ingress.name.as_str());
    let ways: Vec<String> = ingresses
        .filter(leads_here)
        .map(|ingress| {
            format!("{} where it enters at {ingress}", reason(&config.policy, ingress, &target))
        })
        .collect();
    match ways.is_empty() {
        true => {
            "opened here, under another configuration: by the present one a new connection would not go this way".to_owned()
        }
        false => format!("opened here; to this peer by {}", ways.join(", or by ")),
    }
}

fn name(session: &SessionReport, id: u64) -> String {
    match session.lanes.iter().find(|lane| lane.id == id) {
        Some(lane) => format!("l{id} over {}", lane.uplink.as_deref().unwrap_or("-")),
        None => format!("l{id}, which is gone"),
    }
}

/// Says of each lane what it is to the flow, and why.
fn lanes(found: Found<'_>) -> Vec<String> {
    let Found { session, flow, .. } = found;
    if session.lanes.is_empty() {
        return vec![
            "no lane is left: the flow waits for the next one, and loses nothing".to_owned(),
        ];
    }
    let primary = session.lanes.iter().find(|lane| Some(lane.id) == flow.primary_lane);
    let bonds = |lane: &LaneReport| {
        ["bond", "auto+bond"].contains(&flow.mode.as_str())
            && ["preferred", "wait-to-restore"].contains(&lane.cost.as_str())
            && defect(lane).is_none()
            && primary.is_some_and(|primary| primary.uplink != lane.uplink)
    };
    let role = |lane: &LaneReport| {
        let reason = match (defect(lane), lane.cost.as_str()) {
            (Some(defect), _) => defect,
            (None, "held-down") => "it failed, and is held down until it has answered for a while",
            (None, "wait-to-restore") => {
                "it has answered again for a while; bulk flows do not return to it yet"
            }
            (None, _) if Some(lane.id) == flow.primary_lane => {
                "it is in good health, and was the first such lane when the flow came to it"
            }
            (None, _) => {
                "it is in good health and stands by: a flow stays on its lane while that is in good health"
            }
        };
        let is = if Some(lane.id) == flow.primary_lane {
            "carries its bytes"
        } else if Some(lane.id) == flow.secondary_lane {
            "carries them a second time, as its uplink is another one"
        } else if bonds(lane) {
            return format!(
                "{} may carry a part of its bytes, as the mode bonds lanes",
                name(session, lane.id)
            );
        } else {
            "is not used"
        };
        format!("{} {is}: {reason}", name(session, lane.id))
    };
    let mut lanes: Vec<&LaneReport> = session.lanes.iter().collect();
    lanes.sort_by_key(|lane| {
        (Some(lane.id) != flow.primary_lane, Some(lane.id) != flow.secondary_lane, lane.id)
    });
    lanes.into_iter().map(role).collect()
}

/// Returns what flows do not put up with in a lane.
fn defect(lane: &LaneReport) -> Option<&'static str> {
    match lane.state.as_str() {
        "suspect" => {
            return Some("it is suspect: acknowledgements are late, so it may have failed");
        }
        "connecting" => return Some("it is being set up"),
        _ => {}
    }
    match lane {
        lane if lane.draining => Some("it is drained"),
        lane if lane.cost == "metered" => Some("it is metered, and used where no other is"),
        lane if lane.cost == "overflow" => Some(
            "it costs money: bulk uses it when every other is full, and all do where no other is",
        ),
        lane if lane.cost == "thin-flows" => {
            Some("its budget is spent: thin flows use it where no other is, and bulk waits")
        }
        lane if lane.lossy => Some("it loses much of what is sent"),
        _ => None,
    }
}

fn last_move(session: &SessionReport, last: Option<&MoveReport>) -> String {
    let Some(MoveReport { from, ago_s, reason }) = last else {
        return "it has never moved".to_owned();
    };
    let left = name(session, *from);
    let text = match reason.as_str() {
        "gone" => "that lane was gone",
        "suspect" => "that lane was suspect",
        "unready" => "that lane could not carry bytes yet",
        "draining" => "that lane was drained",
        "metered" => "that lane is metered, and another one is not",
        "lossy" => "that lane lost much of what was sent",
        "more-elsewhere" => "the other lane gave it much more",
        "restored" => "the other lane, which comes first, was restored",
        "spurious" => "the lane that it had left answered at once, and had not failed",
        _ => "for a reason that this version of the program does not know",
    };
    let ago = humantime::format_duration(std::time::Duration::from_secs(ago_s.max(0.0) as u64));
    format!("it moved {ago} ago, away from {left}: {text}")
}

/// Says when the flow returns to the lane that it would rather have, if that is not the present one.
fn home(found: Found<'_>) -> Option<String> {
    let Found { session, flow, .. } = found;
    if let Some(displaced) = flow.displaced_from {
        return Some(format!(
            "it returns to {} at once if that answers within 100 ms of its suspicion, else {}",
            name(session, displaced),
            match flow.thin {
                true => "when its hold-down is over",
                false => "when it has been well for as long again as it is held down",
            }
        ));
    }
    let held = |lane: &&LaneReport| {
        Some(lane.id) != flow.primary_lane
            && ["held-down", "wait-to-restore"].contains(&lane.cost.as_str())
    };
    let lane = session.lanes.iter().find(held)?;
    let uplink = lane.uplink.as_deref().unwrap_or("-");
    let hold = session
        .hold_downs
        .iter()
        .find(|hold| hold.domain == uplink || hold.domain.starts_with("the peer's"));
    let after = hold.map_or_else(String::new, |hold| {
        format!(", {:.0} s after it answers again", hold.duration_s)
    });
    let when = match (lane.cost.as_str(), flow.thin) {
        ("held-down", true) => format!("when its hold-down is over{after}"),
        ("held-down", false) => format!("when its hold-down is over{after}, and it has been well for as long again"),
        (_, true) => "with its next move: its hold-down is over, and thin flows that were there have returned".to_owned(),
        (_, false) => "when it has been well for as long again as it was held down".to_owned(),
    };
    Some(format!("it returns to {} {when}, if that comes first then", name(session, lane.id)))
}

#[cfg(test)]
mod tests;
