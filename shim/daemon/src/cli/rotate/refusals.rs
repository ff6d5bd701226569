//! Which peers do not take a key that has just come into use.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::admin::AdminError;
use crate::report::{Report, SessionReport};
use throughline::PeerId;

/// How long peers have to answer: lanes are dialed anew at once, and a refusal takes two round trips.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// A peer that refuses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) peer: String,
    pub(super) reason: String,
}

/// Waits until each lane that this host dialed has the key, or some peer refuses it; returns those that do. Who does
/// not answer in time is not among them: a path may be out.
pub(super) async fn refusals(
    key: PeerId,
    status: impl AsyncFn() -> Result<Report, AdminError>,
) -> Vec<Refusal> {
    let (key, until) = (key.to_string(), Instant::now() + ANSWER_TIMEOUT);
    let mut refused = Vec::new();
    while Instant::now() < until {
        // The daemon answered a moment ago; where it does not now, nothing is known.
        let Ok(report) = status().await else { return refused };
        refused = refusals_in(&report);
        let is_settled = |session: &SessionReport| {
            session.side != "initiator" || session.lanes.iter().all(|lane| lane.our_key == key)
        };
        let is_answered = |peer: &crate::report::PeerReport| {
            peer.key_refusal.is_some() || peer.sessions.iter().all(is_settled)
        };
        if report.peers.iter().all(is_answered) {
            return refused;
        }
        sleep(POLL_INTERVAL).await;
    }
    refused
}

fn refusals_in(report: &Report) -> Vec<Refusal> {
    let failing = report.peers.iter().filter_map(|peer| {
        // Without any lane left it is a failed dial like others.
        let failure = peer.key_refusal.as_ref()?;
        Some(Refusal { peer: peer.name.clone(), reason: failure.reason.clone() })
    });
    failing.collect()
}
