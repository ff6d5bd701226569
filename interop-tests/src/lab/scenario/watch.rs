//! How long flows are watched after a failure: a table needs the worst gap only, a plot also what
//! follows.

use std::time::{Duration, Instant};

use crate::lab::failure::Struck;
use crate::lab::flow::Flow;

/// Between these times after the failure: no longer than until every flow runs again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    /// At least, from the failure's beginning on (and always until its effects are over).
    pub least: Duration,
    /// At most, from when it counts.
    pub most: Duration,
}

/// A flow runs that has been silent for no longer than this …
const MAX_GAP: Duration = Duration::from_millis(500);
/// … during all of this.
const STABLE_AFTER: Duration = Duration::from_secs(2);
/// Poll interval for flows that run again.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// For the end of a flow that stood still when the watch was over.
pub(super) const STUCK_FINISH_TIMEOUT: Duration = Duration::from_secs(1);

impl Watch {
    /// Watches; says for each flow whether it stands still. Without a watch nobody knows.
    pub(super) async fn over(self, flows: &[Flow], struck: Struck) -> Vec<bool> {
        if self.most.is_zero() {
            return vec![false; flows.len()];
        }
        tokio::time::sleep_until((struck.begun + self.least).into()).await;
        let last = struck.since + self.most;
        loop {
            let now = Instant::now();
            let steady = steady(flows, now - STABLE_AFTER, now).await;
            if steady || now >= last {
                break;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        let now = Instant::now();
        let mut stuck = Vec::new();
        for flow in flows {
            let latest = flow.record.latest().await;
            stuck.push(latest.is_none_or(|at| now.saturating_duration_since(at) > MAX_GAP));
        }
        stuck
    }
}

async fn steady(flows: &[Flow], from: Instant, to: Instant) -> bool {
    for flow in flows {
        if flow.record.longest_gap(from, to).await > MAX_GAP {
            return false;
        }
    }
    true
}
