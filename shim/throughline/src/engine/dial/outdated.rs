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
use throughline_proto::path::Path;
use throughline_proto::plan::{self, LaneView, Planner};
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

    /// Retires the outdated lanes that others have replaced, which can be had over these `paths`; returns when to
    /// come back.
    pub(super) fn retire(
        session: &SessionHandle,
        now: Instant,
        lanes: &DialedLanes,
        paths: &[Path],
    ) -> Option<Instant> {
        let wanted = plan::wanted_lanes(paths);
        let up = |lanes: &[LaneView]| lanes.iter().filter(|lane| lane.is_up()).count();
        let (current, former) = (&lanes.current[..], &lanes.former_key[..]);
        let replaced = !former.is_empty() && are_enough(up(current), up(former), wanted);
        let keys = replaced
            .then(|| standby::retire(session, now, former, "replaced by a lane with another key"));
        let has_successor = |lane: &&LaneView| is_replaced(lane, current, paths);
        let for_qlog: Vec<LaneView> =
            lanes.for_qlog.iter().filter(has_successor).cloned().collect();
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

/// Returns whether others have replaced a lane whose qlog is asked for, or is not any more: one over its own uplink,
/// since that is what is asked for, or any where the planner dials none over that uplink while another answers.
fn is_replaced(lane: &LaneView, current: &[LaneView], paths: &[Path]) -> bool {
    let is_of_its_uplink =
        |path: &Path| path.uplink == lane.uplink && !path.metered && !path.draining;
    let is_wanted = paths.iter().any(is_of_its_uplink);
    let serves = |other: &LaneView| other.uplink == lane.uplink || !is_wanted;
    current.iter().any(|other| other.is_up() && serves(other))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use throughline_proto::types::AddressClass;

    use super::*;

    fn path(uplink: &str) -> Path {
        Path {
            uplink: uplink.to_owned(),
            order: 0,
            class: AddressClass::default(),
            metered: false,
            draining: false,
            local: IpAddr::from([192, 0, 2, 1]),
            remote: SocketAddr::from(([198, 51, 100, 1], 5443)),
        }
    }

    fn lane(uplink: &str) -> LaneView {
        let Path { uplink, metered, local, remote, .. } = path(uplink);
        LaneView {
            id: LaneId(0),
            uplink,
            metered,
            local,
            remote,
            suspected_since: None,
            confirmed: false,
            conclusive: true,
            narrow: false,
            last_suspected: None,
            moved_at: None,
            validated: true,
            idle: true,
            peer_drains: false,
        }
    }

    #[test]
    fn a_lane_is_replaced_for_its_qlog_over_its_own_uplink_or_by_any_where_none_is_wanted_there() {
        let paths = [path("a"), path("b"), Path { metered: true, ..path("lte") }];
        let suspected = LaneView { suspected_since: Some(Instant::now()), ..lane("a") };
        for (current, a, lte) in [
            (vec![], false, false),
            (vec![suspected], false, false),
            (vec![lane("a")], true, true),
            (vec![lane("b")], false, true),
            (vec![lane("lte")], false, true),
        ] {
            let replaced = ["a", "lte"].map(|uplink| is_replaced(&lane(uplink), &current, &paths));
            assert_eq!(replaced, [a, lte], "{current:?}");
        }
        // Over an uplink that is drained, or gone, none is dialed either.
        let drained = [Path { draining: true, ..path("a") }, path("b")];
        assert!(is_replaced(&lane("a"), &[lane("b")], &drained));
        assert!(is_replaced(&lane("a"), &[lane("b")], &[path("b")]));
    }

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
