//! What is wrong with a daemon at one moment, for a monitor that asks at intervals: `status --check`.

use super::{PeerReport, Report, SessionReport};
use crate::shell;

/// A peer counts as unreachable when it has had no lane for so long, in seconds: a restart of either end, or an
/// outage that flows sit out, is over by then.
const UNREACHABLE_AFTER_S: f64 = 5.0;

/// What is wrong with an uplink that has nothing to send from.
pub(crate) const NO_ADDRESS: &str = "has no usable address";

impl Report {
    /// Returns what is wrong, as sentences without a full stop; nothing where all is well.
    ///
    /// A peer that has no locator here, and no flow, is none of it: it need not come.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(self.interception.as_ref().and_then(|now| now.problem.clone()));
        let unaddressed = self.uplinks.iter().filter(|u| u.addresses.is_empty() && !u.draining);
        // Who can look at its interface says why.
        let file =
            self.file.as_deref().map_or_else(String::new, |f| format!(" -c {}", shell::path(f)));
        problems.extend(unaddressed.map(|u| {
            format!("uplink {} {NO_ADDRESS}; `throughline check{file}` says why", u.name)
        }));
        let spent = |uplink: &super::UplinkReport| {
            let budget = uplink.budget.as_ref().filter(|budget| budget.state == "spent")?;
            Some(format!("uplink {}: {budget}", uplink.name))
        };
        problems.extend(self.uplinks.iter().filter_map(spent));
        let checks = |u: &super::UplinkReport| u.egress_checks.clone();
        let wrong = self.uplinks.iter().flat_map(checks).filter_map(|check| check.problem);
        problems.extend(wrong);
        let of_peer = |peer| problems_of_peer(peer, self.uptime_s);
        problems.extend(self.peers.iter().flat_map(of_peer));
        problems.dedup();
        problems
    }
}

fn problems_of_peer(peer: &PeerReport, uptime_s: f64) -> Vec<String> {
    let name = &peer.name;
    let has_lane = peer.sessions.iter().any(|session| session.detached_s.is_none());
    if has_lane {
        let losses = peer.sessions.iter().flat_map(|session| &session.redundancy_losses);
        let refusal = peer.key_refusal.iter();
        let refusal =
            refusal.map(|refusal| format!("peer {name} gets no new lane: {}", refusal.reason));
        return losses
            .map(|loss| {
                let (domain, seconds) = (&loss.domain, loss.duration_s);
                format!(
                    "peer {name} lost its redundancy {seconds:.0} s ago: {domain}: {}",
                    loss.reason
                )
            })
            .chain(refusal)
            .collect();
    }
    // Who can only come by itself, and has left nothing here, need not come.
    let is_expected =
        |session: &&SessionReport| !peer.locators.is_empty() || session.live_flows > 0;
    let waiting = peer.sessions.iter().filter(is_expected);
    let detached = waiting.filter_map(|session| session.detached_s).reduce(f64::min);
    match (&peer.dial_failure, detached) {
        (Some(failure), _) => vec![format!("peer {name} has no lane: {}", failure.reason)],
        (None, Some(seconds)) if seconds >= UNREACHABLE_AFTER_S => {
            vec![format!("peer {name} has had no lane for {seconds:.0} s")]
        }
        // It is dialed, and should have been reached by now.
        (None, None) if !peer.locators.is_empty() && uptime_s >= UNREACHABLE_AFTER_S => {
            vec![format!("peer {name} has no lane yet")]
        }
        _ => Vec::new(),
    }
}
