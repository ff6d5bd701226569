//! Judges what the daemon says of itself.

use std::collections::HashSet;

use crate::catalogue::Code;
use crate::config::{Admin, Config};
use crate::doctor::finding::{Finding, Severity};
use crate::doctor::observation::{DaemonSeen, Observations};
use crate::report::{LaneReport, NO_ADDRESS, PeerReport, Report};
use crate::sentence::sentence;

/// A lane's losses are looked at once it has sent so much.
const ENOUGH_SENT: u64 = 1 << 20;

/// Losses above this part of what was sent are told: the bound at which a lane counts as lossy.
const LOSSY: f64 = 0.05;

pub(super) fn judge(config: &Config, seen: &Observations) -> Vec<Finding> {
    match &seen.daemon {
        DaemonSeen::Absent if config.admin == Admin::Off => vec![Finding::new(
            Code::DaemonAbsent,
            Severity::Note,
            "daemon",
            "The configuration has no admin socket (`admin = false`): no daemon was asked, and who has its ports was not looked at.",
        )],
        DaemonSeen::Absent => vec![
            Finding::new(
                Code::DaemonAbsent,
                Severity::Note,
                "daemon",
                "No daemon answers at the admin socket of this configuration; the paths were probed without one.",
            )
            .cure("If it should be running, start it (`systemctl start throughline`, or `throughline run -c FILE`); its log says why it ended."),
        ],
        DaemonSeen::Denied(reason) => vec![
            Finding::new(Code::DaemonDenied, Severity::Warning, "daemon", sentence(reason))
                .cure("Run this as the daemon's user or as root."),
        ],
        DaemonSeen::Confused(reason) => vec![
            Finding::new(Code::DaemonOther, Severity::Warning, "daemon", sentence(reason))
                .cure("Update the older one of the program and the daemon that runs, and restart it."),
        ],
        DaemonSeen::Running { report, unloaded } => running(config, seen, report, unloaded),
    }
}

fn running(
    config: &Config,
    seen: &Observations,
    report: &Report,
    unloaded: &Result<Vec<String>, String>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(Ok(key)) = &seen.own_key
        && key.to_string() != report.id
    {
        let cause = format!(
            "The daemon at this admin socket has the key {}, and this configuration {key}: it is another one's, or \
             was started before the identity was changed.",
            report.id
        );
        let cure = "Give each daemon its own `admin` path; if it is this one's, run `throughline reload -c FILE`.";
        findings.push(Finding::new(Code::DaemonOther, Severity::Error, "daemon", cause).cure(cure));
        return findings;
    }
    match unloaded {
        Ok(changes) if changes.is_empty() => {}
        Ok(changes) => findings.push(
            Finding::new(
                Code::NotReloaded,
                Severity::Note,
                "daemon",
                format!(
                    "The file has changes that the daemon has not read: {}.",
                    changes.join("; ")
                ),
            )
            .cure("Run `throughline reload -c FILE`."),
        ),
        Err(reason) => findings.push(
            Finding::new(
                Code::NotReloaded,
                Severity::Warning,
                "daemon",
                format!("The daemon would refuse the file as it is: {}", sentence(reason)),
            )
            .cure(
                "Correct the file before the daemon is restarted; until then it goes on as it was.",
            ),
        ),
    }
    let of_config = |name: &str| config.peers.iter().any(|peer| peer.config.name == name);
    for peer in report.peers.iter().filter(|peer| of_config(&peer.name)) {
        findings.extend(of_peer(peer));
    }
    findings.extend(reported(report, seen));
    findings
}

fn of_peer(peer: &PeerReport) -> Vec<Finding> {
    let lanes = || peer.sessions.iter().flat_map(|session| &session.lanes);
    let is_lossy = |lane: &&LaneReport| {
        lane.sent_bytes >= ENOUGH_SENT && lane.lost_bytes as f64 > lane.sent_bytes as f64 * LOSSY
    };
    let mut findings: Vec<Finding> = lanes()
        .filter(is_lossy)
        .map(|lane| {
            let part = lane.lost_bytes as f64 / lane.sent_bytes as f64 * 100.0;
            let uplink = lane.uplink.as_deref().unwrap_or("-");
            Finding::new(
                Code::LossyLane,
                Severity::Warning,
                format!("peer {}, lane l{} over {uplink}", peer.name, lane.id),
                format!("{part:.0} % of what the lane has sent was lost: a policer, a bad link or a full queue."),
            )
            .cure(format!("`throughline doctor --rate -c FILE` tells a policer from a bad link; until it is mended, `throughline uplink drain {uplink} -c FILE` moves the flows to another uplink."))
        })
        .collect();
    if peer.locators.is_empty() && lanes().next().is_none() {
        findings.push(
            Finding::new(
                Code::PeerNotHere,
                Severity::Warning,
                format!("peer {}", peer.name),
                "It has no lane, and only it can dial: it has no locator here.",
            )
            .cure("Run `throughline doctor` there; see that this host's firewall lets UDP in at the address of `listen`."),
        );
    }
    findings
}

/// Returns what the daemon reports, but for what the paths have shown already.
fn reported(report: &Report, seen: &Observations) -> Vec<Finding> {
    let routes: HashSet<&str> = report
        .uplinks
        .iter()
        .flat_map(|uplink| &uplink.egress_checks)
        .filter_map(|check| check.problem.as_deref())
        .collect();
    let unaddressed = |problem: &str| problem.contains(NO_ADDRESS);
    let reached: HashSet<&str> =
        seen.paths.iter().filter(|path| path.is_reached()).map(|path| path.peer.as_str()).collect();
    let probed: HashSet<&str> = seen.paths.iter().map(|path| path.peer.as_str()).collect();
    // A peer that the probes do not reach either has its cause named there.
    let is_explained = |problem: &str| {
        probed
            .iter()
            .any(|peer| !reached.contains(peer) && problem.starts_with(&format!("peer {peer} ")))
    };
    report
        .problems()
        .into_iter()
        .filter(|problem| {
            !routes.contains(problem.as_str()) && !unaddressed(problem) && !is_explained(problem)
        })
        .map(|problem| {
            Finding::new(Code::DaemonReports, Severity::Warning, "daemon", sentence(&problem)).cure(
                "`throughline events -c FILE` shows since when; the other findings may say why.",
            )
        })
        .collect()
}
