//! Reports that a session has lost its redundancy, and that it has it again.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use crate::engine::context::NodeContext;
use crate::engine::session::{Core, LaneEntry, RedundancyLoss, SessionHandle};
use crate::events::EventKind;
use throughline_proto::hold_down::FailureDomain;
use throughline_proto::path::{Path, Prefix};
use throughline_proto::plan::{Redundancy, RedundancyChange, RedundancyInput};
use throughline_uplinks::{Snapshot, Uplink};

const UNANSWERED: &str = "no lane over it answers";

/// What there could be lanes over.
pub(super) struct PossiblePaths<'a> {
    pub(super) uplinks: &'a Snapshot,
    pub(super) paths: &'a [Path],
    /// The peer's addresses that it drains.
    pub(super) drained_remotes: Vec<IpAddr>,
    /// The prefixes of which only the peer has named an address.
    pub(super) named: Vec<Prefix>,
}

/// What was reported of the redundancy of a session.
#[derive(Default)]
pub(super) struct RedundancyReporter {
    redundancy: Redundancy,
    /// Why the last dial over each uplink failed; as many as there are uplinks.
    dial_errors: BTreeMap<String, String>,
}

impl RedundancyReporter {
    /// Notes why a dial over an uplink failed.
    pub(super) fn dial_failed(&mut self, uplink: Option<&str>, error: &dyn ToString) {
        if let Some(uplink) = uplink {
            self.dial_errors.insert(uplink.to_owned(), error.to_string());
        }
    }

    /// Notes that a dial over an uplink succeeded.
    pub(super) fn dial_succeeded(&mut self, uplink: &str) {
        self.dial_errors.remove(uplink);
    }

    /// Emits an event for each failure domain over which no lane answers for too long, or again one does;
    /// returns when to come back.
    pub(super) fn report(
        &mut self,
        session: &SessionHandle,
        context: &NodeContext,
        now: Instant,
        possible: &PossiblePaths<'_>,
    ) -> Option<Instant> {
        let uplinks = &possible.uplinks.uplinks;
        self.dial_errors.retain(|name, _| uplinks.iter().any(|uplink| uplink.name == *name));
        let is_unaddressed = |u: &&Uplink| {
            u.addresses.is_empty() && !u.metered && !u.discovered && !context.is_being_left(&u.name)
        };
        let unaddressed: Vec<&str> =
            uplinks.iter().filter(is_unaddressed).map(|u| u.name.as_str()).collect();
        let discovered: Vec<&str> =
            uplinks.iter().filter(|u| u.discovered).map(|u| u.name.as_str()).collect();
        let (changes, wake_at) = session.with(|core, _| {
            let answering: Vec<_> = answering(core).map(over).collect();
            let input = RedundancyInput {
                paths: possible.paths,
                unaddressed: &unaddressed,
                discovered: &discovered,
                drained_remotes: &possible.drained_remotes,
                named: &possible.named,
                answering: &answering,
            };
            self.redundancy.evaluate(now, &input)
        });
        if changes.is_empty() && self.redundancy.lost().next().is_none() {
            return wake_at;
        }
        // While something is lost, the reason may become another.
        let lost = self.redundancy.lost().map(|(domain, since)| RedundancyLoss {
            domain: domain.to_string(),
            since,
            reason: self.reason(domain, &unaddressed),
        });
        let lost: Vec<RedundancyLoss> = lost.collect();
        session.with(|core, _| core.redundancy_losses = lost);
        for (domain, change) in changes {
            let event = match change {
                RedundancyChange::Lost { others } => {
                    let reason = self.reason(&domain, &unaddressed);
                    EventKind::RedundancyLost { reason, others: others as u64 }
                }
                RedundancyChange::Restored { after } => {
                    EventKind::RedundancyRestored { duration: after }
                }
            };
            session.log().emit_over(Some(domain.to_string()), event);
        }
        wake_at
    }

    /// Returns why no lane over a domain answers.
    fn reason(&self, domain: &FailureDomain, unaddressed: &[&str]) -> String {
        match domain {
            FailureDomain::Uplink(name) if unaddressed.contains(&name.as_str()) => {
                "it has no address".to_owned()
            }
            FailureDomain::Uplink(name) => match self.dial_errors.get(name) {
                Some(error) => format!("{UNANSWERED}; the last dial: {error}"),
                None => UNANSWERED.to_owned(),
            },
            FailureDomain::Prefix(_) => UNANSWERED.to_owned(),
        }
    }
}

/// Returns the lanes that answer.
fn answering(core: &Core) -> impl Iterator<Item = &LaneEntry> {
    let answers =
        |(id, lane): &(&_, &LaneEntry)| core.session.lane_is_up(**id) && !lane.is_ending();
    core.lanes.iter().filter(answers).map(|(_, lane)| lane)
}

/// Returns what a lane runs over.
fn over(lane: &LaneEntry) -> (Option<&str>, Prefix) {
    (lane.uplink(), Prefix::of(lane.remote()))
}
