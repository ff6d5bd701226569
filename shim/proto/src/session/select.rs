//! Which lanes a flow uses: a pure function over what is known of them, with stickiness.
//!
//! What speaks for and against a lane is its *cost*, a number that either end may state and of which
//! the greater binds both ([`cost`] says what ours is made of):
//!
//! | cost | |
//! |---|---|
//! | 0–31 | a home like any other; lower first |
//! | 32–63 | settling, just off its probation: chosen like one of 0–31, but thick flows that live elsewhere stay there |
//! | 64–127 | held: on probation, no home for a flow that has another |
//! | 128–255 | costly: used only where no cheaper one is |
//!
//! A flow stays where it is while that is up. It leaves a lane in doubt (and comes back if the
//! doubt was brief (`pardon`)), one that drains, a costly one, and one that loses much (also
//! for one on probation: that may fail, this one does); and it [comes home](returns) when a lane
//! that it would rather have is off its probation: so each failure moves it once, and each recovery
//! once.

use crate::hold_down::HoldState;
use crate::types::LaneId;

/// A lane as a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The lane.
    pub id: LaneId,
    /// The uplink it shares with others of the same group.
    pub group: u64,
    /// The acceptor's address it shares with others of the same landing.
    pub landing: u64,
    /// 0 free, 255 most costly.
    pub cost: u8,
    /// Lower first.
    pub order: u32,
    /// It can carry bytes: the peer has stated its flows on it.
    pub synced: bool,
    /// Acknowledgements are overdue.
    pub suspect: bool,
    /// About to go: no home for a flow that has another.
    pub draining: bool,
    /// It loses much of what we send ([`LossMeter`](crate::loss::LossMeter)).
    pub lossy: bool,
}

/// From this cost up a lane has just come off its probation.
pub const SETTLING: u8 = 32;

/// From this cost up a lane is on probation.
pub const HELD: u8 = 64;

/// From this cost up a lane is used only where no cheaper one is (metered).
pub const COSTLY: u8 = 128;

/// The cost of a lane over a metered uplink.
const METERED: u8 = 200;

/// The cost of a lane, as its initiator states it: the order of its uplink, so that both ends
/// prefer the same, then how far it is trusted, and whether it costs money.
pub fn cost(order: u32, metered: bool, hold_state: HoldState) -> u8 {
    let order = order.min(15) as u8;
    let trust = match (hold_state, metered) {
        (HoldState::Normal, _) => 0,
        (HoldState::WaitToRestore, false) => SETTLING,
        (HoldState::HeldDown, false) => HELD,
        (HoldState::WaitToRestore | HoldState::HeldDown, true) => 16,
    };
    order + trust + if metered { METERED } else { 0 }
}

/// Which flows choose their home anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returning {
    /// Those that have to.
    None,
    /// Thin ones: they cost nothing where the lane fails again.
    Thin,
    /// All.
    All,
}

/// Who comes home to a lane whose cost was `before` and is `now`: thin flows when its probation is
/// over, all others when it has settled.
pub fn returns(before: u8, now: u8) -> Returning {
    match (before, now) {
        (SETTLING..COSTLY, ..SETTLING) => Returning::All,
        (HELD..COSTLY, ..HELD) => Returning::Thin,
        _ => Returning::None,
    }
}

/// The lane that takes a flow's new bytes.
///
/// The present one stays as long as it is up, not draining, no worse in cost class than what else
/// is up (a flow does not stay on a metered lane when a free one is back), and does not lose much
/// where another does not. Otherwise the best lane that is up;
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
    let stays = up().find(|l| Some(l.id) == present).filter(|l| class(l) <= class(best));
    Some(stays.unwrap_or(best).id)
}

/// The lane that carries a flow's bytes a second time: up, over another uplink than `home`, not
/// metered, not draining; if there is one, to another address of the acceptor as well, which may
/// be another ISP there. The present one stays while it is that.
pub fn second(lanes: &[Candidate], home: LaneId, present: Option<LaneId>) -> Option<LaneId> {
    let home = lanes.iter().find(|l| l.id == home)?;
    let fit = |l: &&Candidate| {
        l.synced && !l.suspect && !l.draining && l.cost < COSTLY && l.group != home.group
    };
    let shares = |l: &Candidate| l.landing == home.landing;
    let best = lanes.iter().filter(fit).min_by_key(|l| (class(l), shares(l), rank(lanes, l)))?;
    let same = lanes.iter().filter(fit).find(|l| Some(l.id) == present);
    Some(same.filter(|l| shares(l) <= shares(best)).unwrap_or(best).id)
}

/// Whether a lane that a flow has left may carry new bytes beside its home for a while. Not once it
/// is in doubt: what a drain prepares may have begun. Nor if it costs money or loses much.
pub fn serves_beside(lanes: &[Candidate], id: LaneId) -> bool {
    lanes.iter().any(|l| l.id == id && l.synced && !l.suspect && !l.lossy && l.cost < COSTLY)
}

/// Whether a flow that bonds lanes uses `id` beside its home: up, not metered, not on probation, not
/// draining, and the best over its uplink, which is not the home's. Any other is used only as a home.
pub fn bonds(lanes: &[Candidate], home: LaneId, id: LaneId) -> bool {
    let find = |id| lanes.iter().find(|l| l.id == id);
    let (Some(home), Some(lane)) = (find(home), find(id)) else { return false };
    let fit = |l: &&Candidate| l.synced && !l.suspect && !l.draining && !l.lossy && l.cost < HELD;
    let peers = lanes.iter().filter(|l| l.group == lane.group).filter(fit);
    lane.group != home.group
        && peers.min_by_key(|l| rank(lanes, l)).is_some_and(|best| best.id == id)
}

/// What a flow does not put up with where there is better: no better lane among equals is worth a
/// move. Money counts more than loss.
fn class(lane: &Candidate) -> (bool, bool, bool) {
    (lane.draining, lane.cost >= COSTLY, lane.lossy)
}

/// How good a lane is; the least is the best.
type Rank = ((bool, bool, bool), bool, (bool, bool), u8, u32, LaneId);

/// Better lanes first: by class, then away from an uplink in doubt, off probation, away from where
/// a lane in doubt lands, then cheap, then by order.
fn rank(lanes: &[Candidate], lane: &Candidate) -> Rank {
    let doubted = |shares: fn(&Candidate) -> u64| {
        lanes.iter().any(|l| l.suspect && l.id != lane.id && shares(l) == shares(lane))
    };
    let landing = (lane.cost >= HELD, doubted(|l| l.landing));
    (class(lane), doubted(|l| l.group), landing, price(lane.cost), lane.order, lane.id)
}

/// The cost as it counts in a choice: a lane that settles is as good as one that is well.
fn price(cost: u8) -> u8 {
    if (SETTLING..HELD).contains(&cost) { cost - SETTLING } else { cost }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(id: u64) -> Candidate {
        Candidate {
            id: LaneId(id),
            group: id,
            landing: id,
            cost: 0,
            order: 0,
            synced: true,
            suspect: false,
            draining: false,
            lossy: false,
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
    fn home_leaves_a_lossy_lane_for_one_that_is_not_and_costs_nothing() {
        let lossy = Candidate { lossy: true, ..lane(1) };
        assert_eq!(pick(&[lossy, lane(2)], Some(1)), Some(2));
        assert_eq!(pick(&[lossy, lane(2)], None), Some(2));
        for no_better in [
            Candidate { lossy: true, ..lane(2) },
            Candidate { cost: COSTLY, ..lane(2) },
            Candidate { draining: true, ..lane(2) },
            Candidate { suspect: true, ..lane(2) },
        ] {
            assert_eq!(pick(&[lossy, Candidate { cost: HELD, ..lane(3) }], Some(1)), Some(3));
            assert_eq!(pick(&[lossy, no_better], Some(1)), Some(1), "{no_better:?}");
        }
        assert!(!bonds(&[lane(2), lossy], LaneId(2), LaneId(1)));
    }

    #[test]
    fn a_draining_lane_is_better_than_none() {
        let lanes = [Candidate { draining: true, ..lane(1) }];
        assert_eq!(pick(&lanes, Some(1)), Some(1));
    }

    #[test]
    fn a_lane_that_is_left_serves_on_unless_in_doubt_metered_mute_or_gone() {
        let left = Candidate { draining: true, ..lane(1) };
        assert!(serves_beside(&[left, lane(2)], LaneId(1)));
        for bad in [
            Candidate { suspect: true, ..left },
            Candidate { cost: COSTLY, ..left },
            Candidate { lossy: true, ..left },
            Candidate { synced: false, ..left },
            lane(2),
        ] {
            assert!(!serves_beside(&[bad], LaneId(1)), "{bad:?}");
        }
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

    #[test]
    fn the_second_lane_lands_elsewhere_where_it_can() {
        let home = LaneId(1);
        let same = Candidate { landing: 1, ..lane(2) };
        assert_eq!(second(&[lane(1), same], home, None), Some(LaneId(2)));
        assert_eq!(second(&[lane(1), same, lane(3)], home, Some(LaneId(2))), Some(LaneId(3)));
        let lossy = Candidate { lossy: true, ..lane(3) };
        assert_eq!(second(&[lane(1), same, lossy], home, None), Some(LaneId(2)));
    }

    #[test]
    fn a_lane_that_lands_where_one_in_doubt_does_comes_after_others_off_probation() {
        let suspect = Candidate { suspect: true, ..lane(1) };
        let same = Candidate { landing: 1, ..lane(2) };
        assert_eq!(pick(&[suspect, same, lane(3)], Some(1)), Some(3));
        let held = Candidate { cost: HELD, ..lane(3) };
        assert_eq!(pick(&[suspect, same, held], Some(1)), Some(2));
        let beside = Candidate { group: 1, ..lane(4) };
        assert_eq!(pick(&[suspect, same, beside], Some(1)), Some(2), "our uplink counts more");
    }

    #[test]
    fn a_held_lane_is_chosen_only_where_no_other_is_up() {
        let held = Candidate { cost: cost(0, false, HoldState::HeldDown), ..lane(1) };
        let other = Candidate { cost: cost(1, false, HoldState::Normal), order: 1, ..lane(2) };
        assert_eq!(pick(&[held, other], None), Some(2));
        assert_eq!(pick(&[held], None), Some(1), "the last path is never held down");
        let also = Candidate { cost: cost(1, false, HoldState::HeldDown), ..other };
        assert_eq!(pick(&[held, also], None), Some(1), "all alike");
        let costly = Candidate { cost: cost(1, true, HoldState::Normal), ..other };
        assert_eq!(pick(&[held, costly], None), Some(1), "not onto one that costs");
        assert_eq!(pick(&[held, costly], Some(2)), Some(1));
    }

    #[test]
    fn a_flow_on_a_lane_that_comes_onto_probation_stays_where_it_is() {
        let held = Candidate { cost: cost(0, false, HoldState::HeldDown), ..lane(1) };
        assert_eq!(pick(&[held, lane(2)], Some(1)), Some(1));
    }

    #[test]
    fn a_held_lane_is_a_second_one_where_there_is_no_better_and_bonds_nothing() {
        let held = Candidate { cost: cost(1, false, HoldState::HeldDown), ..lane(2) };
        assert_eq!(second(&[lane(1), held], LaneId(1), None), Some(LaneId(2)));
        assert_eq!(second(&[lane(1), held, lane(3)], LaneId(1), None), Some(LaneId(3)));
        assert!(!bonds(&[lane(1), held], LaneId(1), LaneId(2)));
        let settling = Candidate { cost: cost(1, false, HoldState::WaitToRestore), ..held };
        assert!(bonds(&[lane(1), settling], LaneId(1), LaneId(2)));
    }

    #[test]
    fn a_bonding_flow_uses_the_best_lane_of_every_other_uplink() {
        let lanes = [
            lane(1),
            Candidate { group: 1, ..lane(2) },
            Candidate { order: 1, ..lane(3) },
            Candidate { group: 3, ..lane(4) },
            Candidate { suspect: true, ..lane(5) },
            Candidate { group: 5, ..lane(6) },
            lane(7),
        ];
        let used: Vec<u64> = (1..=7).filter(|id| bonds(&lanes, LaneId(1), LaneId(*id))).collect();
        assert_eq!(used, [4, 6, 7], "not over the home's uplink, one over each other");
        assert!(!bonds(&lanes, LaneId(9), LaneId(7)), "without a home nothing is bonded");
        for unfit in [
            Candidate { draining: true, ..lane(7) },
            Candidate { cost: COSTLY, ..lane(7) },
            Candidate { synced: false, ..lane(7) },
        ] {
            assert!(!bonds(&[lane(1), unfit], LaneId(1), LaneId(7)), "{unfit:?}");
        }
    }

    #[test]
    fn thin_flows_come_home_after_the_probation_and_the_others_when_the_lane_has_settled() {
        let at = |hold_state| cost(3, false, hold_state);
        let (held, settling, well) =
            (at(HoldState::HeldDown), at(HoldState::WaitToRestore), at(HoldState::Normal));
        assert_eq!(returns(held, settling), Returning::Thin);
        assert_eq!(returns(settling, well), Returning::All);
        assert_eq!(returns(held, well), Returning::All);
        let costly = cost(3, true, HoldState::Normal);
        for (before, now) in [
            (well, held),
            (settling, held),
            (well, well),
            (held, held),
            (costly, well),
            (well, costly),
        ] {
            assert_eq!(returns(before, now), Returning::None, "{before} to {now}");
        }
    }

    #[test]
    fn costs_order_lanes_by_trust_and_money_before_the_order_of_uplinks() {
        let all = [
            cost(0, false, HoldState::Normal),
            cost(99, false, HoldState::Normal),
            cost(0, false, HoldState::WaitToRestore),
            cost(99, false, HoldState::WaitToRestore),
            cost(0, false, HoldState::HeldDown),
            cost(99, false, HoldState::HeldDown),
            cost(0, true, HoldState::Normal),
            cost(99, true, HoldState::Normal),
            cost(0, true, HoldState::HeldDown),
            cost(99, true, HoldState::HeldDown),
        ];
        assert!(all.windows(2).all(|two| two[0] < two[1]), "{all:?}");
        assert_eq!(
            all.map(|c| c >= HELD),
            [false, false, false, false, true, true, true, true, true, true]
        );
        assert_eq!(all.map(|c| c >= COSTLY).iter().filter(|c| **c).count(), 4);
    }
}
