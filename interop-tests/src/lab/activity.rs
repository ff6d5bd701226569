//! What two daemons did over a while, by their status and events.

use std::time::Instant;

use serde_json::Value;

use super::Side;
use super::daemons::{Daemons, list};
use crate::support::Outcome;

/// What both daemons did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Activity {
    /// Suspicions of a lane a minute, however brief, of both ends.
    pub suspicions: f64,
    /// Those of them that lasted or had bytes sent again.
    pub reported: f64,
    /// Of the bytes that applications got, the part that arrived twice unintended.
    pub twice: f64,
    /// Lanes that ended, and were not drained before: of those of a session's begin only the wanted ones stay.
    pub replaced: f64,
    /// How long they were up and why they ended, as the end says that knows of more.
    pub ends: Vec<String>,
}

/// The counters at a time.
pub(super) struct Snapshot {
    at: Instant,
    suspicions: u64,
    lanes: usize,
    twice: u64,
    received: u64,
    /// The number of the latest event, of each end.
    events: [Option<u64>; 2],
}

/// Both ends.
const SIDES: [Side; 2] = [Side::Client, Side::Server];

impl Snapshot {
    /// Asks both daemons.
    pub(super) fn take(daemons: &Daemons) -> Outcome<Self> {
        let mut snapshot = Self {
            at: Instant::now(),
            suspicions: 0,
            lanes: 0,
            twice: 0,
            received: 0,
            events: [None; 2],
        };
        for (side, latest) in SIDES.into_iter().zip(0..) {
            for session in daemons.sessions(side)? {
                for lane in list(&session["lanes"]) {
                    snapshot.suspicions += number(&lane["suspicions"]);
                    snapshot.lanes += usize::from(side == Side::Client);
                }
                for flow in list(&session["flows"]) {
                    let all = number(&flow["duplicate_bytes"]);
                    let intended = number(&flow["intended_duplicate_bytes"]);
                    snapshot.twice += all.saturating_sub(intended);
                    snapshot.received += number(&flow["received_bytes"]);
                }
            }
            let events = daemons.events(side)?;
            snapshot.events[latest] = events.iter().filter_map(|event| event["seq"].as_u64()).max();
        }
        Ok(snapshot)
    }

    /// Returns what the daemons have done since.
    pub(super) fn activity(&self, daemons: &Daemons) -> Outcome<Activity> {
        let now = Self::take(daemons)?;
        let (mut reported, mut ends) = (0, vec![]);
        for (side, latest) in SIDES.into_iter().zip(self.events) {
            let events = daemons.events(side)?;
            let is_new = |event: &&Value| event["seq"].as_u64() > latest;
            let new: Vec<_> = events.iter().filter(is_new).collect();
            reported += new
                .iter()
                .filter(|e| e["event"] == "lane-suspected" && e["detected_by"] == "us")
                .count();
            // Both ends tell of the end of a lane.
            let ended: Vec<_> = new.iter().filter_map(|event| end_of_lane(event)).collect();
            ends = if ended.len() > ends.len() { ended } else { ends };
        }
        let minutes = (now.at - self.at).as_secs_f64() / 60.0;
        let lane_minutes = now.lanes.max(self.lanes).max(1) as f64 * minutes;
        // A lane that has ended took its count with it.
        let suspicions = now.suspicions.saturating_sub(self.suspicions).max(reported as u64);
        let received = now.received.saturating_sub(self.received);
        let twice = now.twice.saturating_sub(self.twice);
        Ok(Activity {
            suspicions: suspicions as f64 / lane_minutes,
            reported: reported as f64 / lane_minutes,
            twice: twice as f64 / received.max(1) as f64,
            replaced: ends.len() as f64,
            ends,
        })
    }
}

/// Returns what an event says of a lane that has ended without having been drained.
fn end_of_lane(event: &Value) -> Option<String> {
    let reason = event["reason"].as_str().filter(|_| event["event"] == "lane-down")?;
    let up = event["duration_ms"].as_f64().unwrap_or_default() / 1e3;
    (!reason.contains("drained")).then(|| format!("a lane ended after {up:.1} s: {reason}"))
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lane_that_drained_or_does_something_else_has_not_been_replaced() {
        let down = |reason: &str| {
            end_of_lane(&json!({"event": "lane-down", "duration_ms": 6_150.4, "reason": reason}))
        };
        assert_eq!(down("silent").as_deref(), Some("a lane ended after 6.2 s: silent"));
        assert_eq!(down("closed by peer: drained (code 2)"), None);
        assert_eq!(end_of_lane(&json!({"event": "session-over", "reason": "silent"})), None);
    }
}
