//! Lanes that are to be replaced by others of their kind: make before break where we dial.
//!
//! Those that were dialed with a former key of ours, or of the peer's; and those whose qlog is asked for, or is not any
//! more, since quinn begins and ends one only with a connection.
//!
//! **Dialed** ones are no lanes to the planner, which therefore dials what it wants beside them. As soon as others
//! replace them they drain, and each is closed when it is empty.
//!
//! **Accepted** ones only the peer can dial anew, and it does when one ends. So one ends at a time, and only beside
//! another that answers: what it had not delivered goes over that one at once.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::standby;
use crate::engine::context::NodeContext;
use crate::engine::quic::close;
use crate::engine::session::{Core, LaneEntry, SessionHandle};
use crate::label::PeerLabel;
use throughline_proto::plan::{LaneView, Planner};
use throughline_proto::session::LanePlace;
use throughline_proto::types::{LaneId, PeerId};

/// Why lanes retire whose qlog is asked for, or is not any more.
const FOR_QLOG: &str = "replaced by another lane, for its qlog";

/// How long the peer has to dial anew what ended before the next one ends: a dial over a slow path.
const BETWEEN_ENDS: Duration = Duration::from_secs(2);

/// The lanes of a session that we dialed, as the planner sees them.
#[derive(Default)]
pub(super) struct DialedLanes {
    pub(super) current: Vec<LaneView>,
    /// Those with a former key of either end.
    pub(super) former_key: Vec<LaneView>,
    /// Those that are there with a qlog that nobody reads, or without one that somebody would.
    pub(super) for_qlog: Vec<LaneView>,
}

impl DialedLanes {
    pub(super) fn of(core: &Core, context: &NodeContext, peer: PeerId, label: &PeerLabel) -> Self {
        let our_key = context.identity().peer_id();
        let mut lanes: Vec<LaneView> =
            core.lanes.iter().filter_map(|lane| view(core, context, lane)).collect();
        lanes.sort_unstable_by_key(|lane| lane.id);
        let mut found = Self::default();
        for view in lanes {
            let lane = &core.lanes[&view.id];
            let of_its_kind =
                if lane.keys.ours != our_key || label.outdates(lane.keys.peers, lane.attached_at) {
                    &mut found.former_key
                } else if context.qlogs.outdates(&lane.trace, peer, lane.uplink()) {
                    &mut found.for_qlog
                } else {
                    &mut found.current
                };
            of_its_kind.push(view);
        }
        found
    }

    /// Returns those that are to be replaced.
    pub(super) fn outdated(&self) -> impl Iterator<Item = &LaneView> {
        self.former_key.iter().chain(&self.for_qlog)
    }

    /// Returns all of them.
    pub(super) fn all(&self) -> Vec<LaneView> {
        self.current.iter().chain(self.outdated()).cloned().collect()
    }
}

/// Returns a lane that we dialed as the planner sees it.
fn view(core: &Core, context: &NodeContext, (id, lane): (&LaneId, &LaneEntry)) -> Option<LaneView> {
    let dialed = lane.dialed()?;
    // One that is being closed is no lane any more, though its task has not ended yet.
    if lane.is_ending() {
        return None;
    }
    let place = LanePlace {
        uplink: dialed.uplink.clone(),
        metered: dialed.metered || context.is_for_thin_flows(&dialed.uplink),
        local: dialed.local.ip(),
        remote: dialed.remote,
    };
    core.session.lane_view(*id, place)
}

/// What becomes of the outdated lanes of a session.
#[derive(Default)]
pub(super) struct OutdatedLanes {
    /// Those that the planner was told of.
    known: BTreeSet<LaneId>,
    /// When an accepted one was ended last.
    ended_at: Option<Instant>,
}

impl OutdatedLanes {
    /// Takes the outdated lanes out of the planner's hands.
    pub(super) fn release(&mut self, planner: &mut Planner, lanes: &DialedLanes) {
        let ids: BTreeSet<LaneId> = lanes.outdated().map(|lane| lane.id).collect();
        let fresh: Vec<LaneId> = ids.iter().copied().filter(|id| self.known.insert(*id)).collect();
        planner.release(&fresh);
        self.known.retain(|id| ids.contains(id));
    }

    /// Retires the outdated lanes that others have replaced, where `wanted` are to be had; returns when to come
    /// back.
    pub(super) fn retire(
        session: &SessionHandle,
        now: Instant,
        lanes: &DialedLanes,
        wanted: usize,
    ) -> Option<Instant> {
        let up = |lanes: &[LaneView]| lanes.iter().filter(|lane| lane.is_up()).count();
        let (current, former) = (&lanes.current[..], &lanes.former_key[..]);
        let replaced = !former.is_empty() && are_enough(up(current), up(former), wanted);
        let keys = replaced
            .then(|| standby::retire(session, now, former, "replaced by a lane with another key"));
        // Each by one over its own uplink: that is what is asked for.
        let is_replaced = |lane: &&LaneView| {
            current.iter().any(|other| other.is_up() && other.uplink == lane.uplink)
        };
        let for_qlog: Vec<LaneView> = lanes.for_qlog.iter().filter(is_replaced).cloned().collect();
        let qlog =
            (!for_qlog.is_empty()).then(|| standby::retire(session, now, &for_qlog, FOR_QLOG));
        keys.into_iter().chain(qlog).min()
    }

    /// Ends an accepted lane that is there with a qlog that nobody reads, or without one that somebody would, where
    /// another answers; returns when to come back.
    pub(super) fn renew_accepted(
        &mut self,
        session: &SessionHandle,
        context: &NodeContext,
        now: Instant,
    ) -> Option<Instant> {
        session.with(|core, _| {
            let is_outdated = |lane: &LaneEntry| {
                lane.dialed().is_none()
                    && !lane.is_ending()
                    && context.qlogs.outdates(&lane.trace, session.peer(), lane.uplink())
            };
            let outdated = core.lanes.iter().filter(|(_, lane)| is_outdated(lane));
            let next = *outdated.map(|(id, _)| id).min()?;
            if let Some(due) = self.ended_at.map(|at| at + BETWEEN_ENDS).filter(|due| now < *due) {
                return Some(due);
            }
            let answers = |(id, lane): (&LaneId, &LaneEntry)| {
                *id != next && !lane.is_ending() && core.session.lane_is_up(*id)
            };
            // Where none does, one that comes wakes the driver.
            if core.lanes.iter().any(answers) {
                core.lanes.get_mut(&next)?.end(close::REPLACED, FOR_QLOG);
                self.ended_at = Some(now);
            }
            None
        })
    }
}

/// Returns whether so many lanes that are up replace the former ones that are up, where `wanted` are to be had:
/// an uplink may be gone since, and with it the lane that would have replaced another.
fn are_enough(up: usize, former_up: usize, wanted: usize) -> bool {
    up > 0 && up >= former_up.min(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_lanes_are_replaced_by_as_many_or_by_as_many_as_can_be_had() {
        for (up, former_up, wanted, enough) in [
            (1, 2, 2, false),
            (2, 2, 2, true),
            (1, 1, 2, true),
            (1, 2, 1, true),
            (1, 0, 2, true),
            // Without a path none is to be had, and one is better than a former one all the same.
            (1, 2, 0, true),
            (0, 2, 0, false),
            (0, 0, 2, false),
        ] {
            assert_eq!(are_enough(up, former_up, wanted), enough, "{up} {former_up} {wanted}");
        }
    }
}
