//! Which lanes a flow uses: a pure function over what is known of them, with stickiness.

use crate::vocab::ids::LaneId;

/// A lane as a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The lane.
    pub id: LaneId,
    /// The uplink it shares with others of the same group.
    pub group: u64,
    /// 0 free, 255 most costly.
    pub cost: u8,
    /// Lower first.
    pub order: u32,
    /// It can carry bytes: the peer has stated its flows on it.
    pub synced: bool,
    /// Acknowledgements are overdue.
    pub suspect: bool,
    /// About to go: nothing new on it.
    pub draining: bool,
}

/// From this cost up a lane is used only where no cheaper one is (metered).
pub const COSTLY: u8 = 128;

/// The lane that takes a flow's new bytes.
///
/// The present one stays as long as it is up, not draining, and no worse in cost class than what
/// else is up (a flow does not stay on a metered lane when a free one is back). Otherwise the best lane that is up;
/// where none is, the present one if it still exists (the suspicion may be wrong), else any that
/// can carry bytes at all.
pub fn home(lanes: &[Candidate], present: Option<LaneId>) -> Option<LaneId> {
    let up = || lanes.iter().filter(|l| l.synced && !l.suspect);
    let best = up().min_by_key(|l| rank(lanes, l));
    let Some(best) = best else {
        let usable = |l: &&Candidate| l.synced;
        let same = lanes.iter().filter(usable).find(|l| Some(l.id) == present);
        let any = || lanes.iter().filter(usable).min_by_key(|l| rank(lanes, l));
        return same.or_else(any).map(|l| l.id);
    };
    let stays = up()
        .find(|l| Some(l.id) == present)
        .filter(|l| (l.draining, l.cost >= COSTLY) <= (best.draining, best.cost >= COSTLY));
    Some(stays.unwrap_or(best).id)
}

/// The lane that carries a flow's bytes a second time: up, over another uplink than `home`, not
/// metered, not draining. The present one stays while it is that.
pub fn second(lanes: &[Candidate], home: LaneId, present: Option<LaneId>) -> Option<LaneId> {
    let group = lanes.iter().find(|l| l.id == home)?.group;
    let fit = |l: &&Candidate| {
        l.synced && !l.suspect && !l.draining && l.cost < COSTLY && l.id != home && l.group != group
    };
    let same = lanes.iter().filter(fit).find(|l| Some(l.id) == present);
    same.or_else(|| lanes.iter().filter(fit).min_by_key(|l| rank(lanes, l))).map(|l| l.id)
}

/// Whether a flow that bonds lanes uses `id` beside its home: up, not metered, not draining, and
/// the best over its uplink, which is not the home's. A costly lane is used only as a home.
pub fn bonds(lanes: &[Candidate], home: LaneId, id: LaneId) -> bool {
    let find = |id| lanes.iter().find(|l| l.id == id);
    let (Some(home), Some(lane)) = (find(home), find(id)) else { return false };
    let fit = |l: &&Candidate| l.synced && !l.suspect && !l.draining && l.cost < COSTLY;
    let peers = lanes.iter().filter(|l| l.group == lane.group).filter(fit);
    lane.group != home.group
        && peers.min_by_key(|l| rank(lanes, l)).is_some_and(|best| best.id == id)
}

/// Better lanes first: staying ones, then away from an uplink in doubt, then cheap, then by order.
fn rank(lanes: &[Candidate], lane: &Candidate) -> (bool, bool, u8, u32, LaneId) {
    let doubted = lanes.iter().any(|l| l.suspect && l.group == lane.group && l.id != lane.id);
    (lane.draining, doubted, lane.cost, lane.order, lane.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(id: u64) -> Candidate {
        Candidate {
            id: LaneId(id),
            group: id,
            cost: 0,
            order: 0,
            synced: true,
            suspect: false,
            draining: false,
        }
    }

    fn pick(lanes: &[Candidate], present: Option<u64>) -> Option<u64> {
        home(lanes, present.map(LaneId)).map(|l| l.0)
    }

    #[test]
    fn the_first_lane_by_order_is_home() {
        let lanes = [Candidate { order: 1, ..lane(1) }, lane(2)];
        assert_eq!(pick(&lanes, None), Some(2));
        assert_eq!(pick(&[], None), None);
    }

    #[test]
    fn home_stays_although_a_better_lane_is_there() {
        let lanes = [lane(1), Candidate { order: 9, cost: 5, ..lane(2) }];
        assert_eq!(pick(&lanes, Some(2)), Some(2));
    }

    #[test]
    fn home_leaves_a_suspect_a_draining_and_a_metered_lane() {
        for bad in [
            Candidate { suspect: true, ..lane(1) },
            Candidate { draining: true, ..lane(1) },
            Candidate { cost: COSTLY, ..lane(1) },
            Candidate { synced: false, ..lane(1) },
        ] {
            assert_eq!(pick(&[bad, lane(2)], Some(1)), Some(2), "{bad:?}");
        }
    }

    #[test]
    fn a_draining_lane_is_better_than_none() {
        let lanes = [Candidate { draining: true, ..lane(1) }];
        assert_eq!(pick(&lanes, Some(1)), Some(1));
    }

    #[test]
    fn where_every_lane_is_suspect_home_stays() {
        let doubt = |id| Candidate { suspect: true, ..lane(id) };
        assert_eq!(pick(&[doubt(1), doubt(2)], Some(2)), Some(2));
        assert_eq!(pick(&[doubt(1), doubt(2)], Some(3)), Some(1));
    }

    #[test]
    fn a_lane_over_the_uplink_of_a_suspect_comes_last() {
        let lanes =
            [Candidate { suspect: true, ..lane(1) }, Candidate { group: 1, ..lane(2) }, lane(3)];
        assert_eq!(pick(&lanes, Some(1)), Some(3));
    }

    #[test]
    fn the_second_lane_is_disjoint_free_and_sticky() {
        let home = LaneId(1);
        let lanes = [lane(1), Candidate { group: 1, ..lane(2) }, lane(3), lane(4)];
        assert_eq!(second(&lanes, home, None), Some(LaneId(3)));
        assert_eq!(second(&lanes, home, Some(LaneId(4))), Some(LaneId(4)));
        for unfit in [
            Candidate { suspect: true, ..lane(3) },
            Candidate { draining: true, ..lane(3) },
            Candidate { cost: COSTLY, ..lane(3) },
            Candidate { synced: false, ..lane(3) },
        ] {
            assert_eq!(second(&[lane(1), unfit], home, None), None, "{unfit:?}");
        }
    }
}
