//! Tests of the lanes that carry a flow: how it leaves them and comes back.

use super::*;
use crate::wire::fact::LaneUse;

const GUESS: Health = Health::Suspect { confirmed: false };
const SURE: Health = Health::Suspect { confirmed: true };

#[test]
fn a_thin_flow_in_auto_goes_on_two_lanes_and_a_bulk_one_on_one() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Auto);
    pair.write(A, id, 100);
    pair.run();
    assert_eq!((pair.given_to(L1), pair.given_to(L2)), (100, 100));
    pair.write(A, id, 80_000);
    pair.pass(ms(100));
    assert_eq!((pair.given_to(L1), pair.given_to(L2)), (80_100, 100));
}

#[test]
fn a_redundant_flow_goes_on_two_lanes_even_if_it_is_bulk() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Redundant);
    pair.hold(L1);
    pair.hold(L2);
    pair.write(A, id, 90_000);
    pair.run();
    assert_eq!((pair.given_to(L1), pair.given_to(L2)), (90_000, 90_000));
    assert!(pair.given.iter().all(|g| !g.resent));
}

#[test]
fn a_draining_lane_gets_nothing_new() {
    for mode in [Mode::Auto, Mode::Single, Mode::Bond, Mode::Redundant] {
        for side in [A, B] {
            let mut pair = Pair::new(2);
            let id = pair.joined(A, mode);
            pair.ends[side].advertise_use(pair.now, L1, Cost::FREE, true);
            pair.run();
            pair.write(A, id, 60_000);
            pair.run();
            assert_eq!((pair.given_to(L1), pair.given_to(L2)), (0, 60_000), "{mode}");
        }
    }
}

#[test]
fn a_bulk_flow_leaves_a_draining_lane_bit_by_bit_and_at_once_if_it_becomes_suspect() {
    for suspect in [false, true] {
        let mut pair = Pair::new(2);
        let id = pair.joined(A, Mode::Single);
        let carry = |pair: &mut Pair| {
            pair.given.clear();
            let written = pair.write(A, id, 90_000) as u64;
            assert!(written > 64 * 1024, "more than one lane takes at once");
            pair.pass(ms(20));
            assert_eq!(pair.read(B, id), (written, Ok(Read::Pending)));
            pair.pass(ms(20));
            (pair.given_to(L1) > 0, pair.given_to(L2) > 0)
        };
        assert_eq!(carry(&mut pair), (true, false));
        pair.ends[A].advertise_use(pair.now, L1, Cost::FREE, true);
        assert_eq!(carry(&mut pair), (true, true), "until the new one has its pace");
        if suspect {
            pair.health(A, L1, GUESS);
        } else {
            pair.pass(ms(300));
        }
        assert_eq!(carry(&mut pair), (false, true));
        assert!(pair.ends[A].lane_is_idle(L1));
    }
}

#[test]
fn a_redundant_flow_that_leaves_a_lane_does_not_use_three() {
    let mut pair = Pair::new(3);
    let id = pair.joined(A, Mode::Redundant);
    pair.write(A, id, 90_000);
    pair.pass(ms(20));
    let left = pair.ends[A].flow(id).unwrap().tx.placement.primary.unwrap();
    pair.ends[A].advertise_use(pair.now, left, Cost::FREE, true);
    pair.run();
    assert_eq!(pair.read(B, id).0, 90_000);
    pair.pass(ms(20));
    pair.given.clear();
    let written = pair.write(A, id, 90_000) as u64;
    pair.run();
    let given: Vec<u64> = (1..=3).map(|lane| pair.given_to(LaneId(lane))).collect();
    assert_eq!((pair.given_to(left), given.iter().sum::<u64>()), (0, 2 * written), "{given:?}");
}

#[test]
fn flows_leave_a_lossy_lane_and_stay_away_when_it_is_no_longer_lossy() {
    for mode in [Mode::Auto, Mode::Single, Mode::Bond, Mode::Redundant] {
        let mut pair = Pair::new(2);
        let id = pair.joined(A, mode);
        pair.write(A, id, 10);
        pair.run();
        assert!(pair.given_to(L1) == 10, "{mode}");
        for lossy in [true, false] {
            pair.ends[A].assume_loss(pair.now, L1, lossy);
            assert_eq!(pair.ends[A].flow(id).unwrap().tx.placement.primary, Some(L2), "{mode}");
        }
    }
}

#[test]
fn a_bonding_flow_leaves_a_lane_that_begins_to_drain_and_comes_back() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Bond);
    for (version, draining) in [(1, true), (2, false), (1, true)] {
        pair.given.clear();
        let lane_use = LaneUse { lane: L2, version, cost: 0, draining };
        pair.ends[A].handle_control(pair.now, L1, Message::LaneUse(lane_use)).unwrap();
        let written = pair.write(A, id, 90_000) as u64;
        assert!(written > 64 * 1024, "more than one lane takes at once");
        pair.pass(ms(20));
        assert_eq!(pair.given_to(L2) == 0, pair.ends[A].lanes[&L2].is_draining());
        assert_eq!(pair.read(B, id), (written, Ok(Read::Pending)));
        pair.pass(ms(20));
    }
    assert!(!pair.ends[A].lanes[&L2].is_draining(), "an old advertisement does not come back");
}

#[test]
fn a_metered_lane_is_no_bond_member() {
    let mut pair = Pair::new(2);
    pair.ends[A].advertise_use(pair.now, L2, Cost::from_wire(200), false);
    let id = pair.joined(A, Mode::Bond);
    pair.write(A, id, 90_000);
    pair.run();
    assert_eq!((pair.given_to(L1), pair.given_to(L2)), (90_000, 0));
}

#[test]
fn a_lane_is_idle_when_no_flow_uses_it_and_nothing_is_in_flight() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Single);
    pair.hold(L1);
    pair.write(A, id, 5_000);
    pair.run();
    assert!(!pair.ends[A].lane_is_idle(L1) && pair.ends[A].lane_is_idle(L2));
    pair.ends[A].advertise_use(pair.now, L1, Cost::FREE, true);
    pair.run();
    assert!(!pair.ends[A].lane_is_idle(L1), "its bytes are still in flight");
    pair.release(L1);
    pair.pass(ms(20));
    assert!(pair.ends[A].lane_is_idle(L1) && !pair.ends[A].lane_is_idle(L2));
    assert_eq!(pair.given_to(L2), 0, "nothing was sent again");
    assert!(pair.ends[B].peer_drains(L1) && !pair.ends[A].peer_drains(L1));
}

#[test]
fn flows_of_both_ends_revert_after_the_hold_down_thin_flows_first() {
    let mut pair = Pair::new(2);
    let thin = pair.joined(A, Mode::Single);
    let bulk = pair.joined(A, Mode::Single);
    pair.write(A, bulk, 80_000);
    pair.write(B, bulk, 80_000);
    pair.pass(ms(20));
    let primaries = |pair: &Pair, side: usize| {
        [thin, bulk].map(|id| pair.ends[side].flow(id).unwrap().tx.placement.primary.unwrap())
    };
    let advertise = |pair: &mut Pair, cost| {
        pair.ends[A].advertise_use(pair.now, L1, Cost::from_wire(cost), false);
        pair.run();
    };
    pair.health(A, L1, SURE);
    advertise(&mut pair, 64);
    pair.health(A, L1, Health::Alive);
    for side in [A, B] {
        assert_eq!(primaries(&pair, side), [L2, L2], "{side}: in hold-down");
    }
    advertise(&mut pair, 32);
    for side in [A, B] {
        assert_eq!(primaries(&pair, side), [L1, L2], "{side}: wait to restore");
    }
    advertise(&mut pair, 0);
    for side in [A, B] {
        assert_eq!(primaries(&pair, side), [L1, L1], "{side}: restored");
    }
}

#[test]
fn flows_come_back_after_a_brief_suspicion_of_either_end_and_stay_away_after_a_long_one() {
    for (duration_ms, back) in [(99, true), (100, false)] {
        for suspecter in [A, B] {
            let mut pair = Pair::new(2);
            let thin = pair.joined(A, Mode::Auto);
            let bulk = pair.joined(A, Mode::Single);
            for side in [A, B] {
                pair.write(side, thin, 100);
                pair.write(side, bulk, 80_000);
            }
            pair.pass(ms(20));
            let primaries = |pair: &Pair| {
                [A, B].map(|side| {
                    [thin, bulk]
                        .map(|id| pair.ends[side].flow(id).unwrap().tx.placement.primary.unwrap())
                })
            };
            assert_eq!(primaries(&pair), [[L1; 2]; 2]);
            pair.health(suspecter, L1, GUESS);
            assert_eq!(primaries(&pair), [[L2; 2]; 2], "displaced at once");
            pair.now += ms(duration_ms);
            pair.health(suspecter, L1, Health::Alive);
            let expected = if back { L1 } else { L2 };
            assert_eq!(primaries(&pair), [[expected; 2]; 2], "{duration_ms} ms, by {suspecter}");
        }
    }
}

#[test]
fn flows_do_not_come_back_to_a_lane_whose_suspicion_ended_because_it_migrated() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Single);
    let primary = |pair: &Pair| pair.ends[A].flow(id).unwrap().tx.placement.primary.unwrap();
    pair.write(A, id, 10);
    pair.run();
    pair.health(A, L1, SURE);
    assert_eq!(primary(&pair), L2);
    pair.ends[A].assume_new_path(pair.now, L1);
    pair.health(A, L1, Health::Alive);
    assert_eq!(primary(&pair), L2);
    assert_eq!(pair.ends[A].flow(id).unwrap().tx.placement.displaced_from, None);
}

#[test]
fn flows_do_not_come_back_to_a_lane_that_one_end_still_suspects() {
    let mut pair = Pair::new(3);
    let id = pair.joined(A, Mode::Single);
    let primary = |pair: &Pair| pair.ends[A].flow(id).unwrap().tx.placement.primary.unwrap();
    pair.write(A, id, 10);
    pair.run();
    pair.health(A, L1, GUESS);
    pair.health(B, L1, GUESS);
    let next_lane = primary(&pair);
    assert_ne!(next_lane, L1);
    pair.health(A, L1, Health::Alive);
    assert_eq!(primary(&pair), next_lane, "the other end still suspects it");
    // Its present lane becomes suspect as well: once both are trusted it is on the first lane again.
    pair.health(A, next_lane, GUESS);
    let third = primary(&pair);
    assert!(third != L1 && third != next_lane);
    pair.health(A, next_lane, Health::Alive);
    assert_eq!(primary(&pair), third);
    pair.health(B, L1, Health::Alive);
    assert_eq!(primary(&pair), L1);
    assert_eq!(pair.ends[A].flow(id).unwrap().tx.placement.displaced_from, None);
}

#[test]
fn a_redundant_flow_goes_on_over_one_lane_and_over_two_again() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Redundant);
    pair.health(A, L2, SURE);
    pair.write(A, id, 10_000);
    pair.pass(ms(20));
    assert_eq!(pair.read(B, id), (10_000, Ok(Read::Pending)));
    pair.health(A, L2, Health::Alive);
    pair.given.clear();
    pair.write(A, id, 20_000);
    pair.run();
    assert_eq!((pair.given_to(L1), pair.given_to(L2)), (20_000, 20_000));
    pair.pass(ms(20));
    assert_eq!(pair.read(B, id), (20_000, Ok(Read::Pending)));
}

#[test]
fn a_bonding_flow_loses_nothing_with_a_lane_that_is_not_its_primary() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Bond);
    pair.hold(L2);
    let written = pair.write(A, id, 100_000) as u64;
    pair.run();
    assert!(pair.given_to(L2) > 0);
    pair.detach(L2);
    pair.pass(ms(50));
    assert_eq!(pair.read(B, id), (written, Ok(Read::Pending)));
}

#[test]
fn a_draining_lane_carries_no_facts_while_another_does() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Single);
    pair.ends[A].advertise_use(pair.now, L1, Cost::FREE, true);
    pair.run();
    let backlog = |pair: &Pair, lane| [A, B].map(|side| pair.ends[side].lane_backlog(lane));
    pair.hold(L1);
    pair.write(A, id, 60_000);
    pair.pass(ms(300));
    assert_eq!(pair.read(B, id), (60_000, Ok(Read::Pending)));
    pair.pass(ms(300));
    assert_eq!(backlog(&pair, L1), [0, 0]);
    // Without another lane it is better than none.
    pair.detach(L2);
    pair.release(L1);
    pair.write(A, id, 1_000);
    pair.pass(ms(300));
    assert_eq!(pair.read(B, id), (1_000, Ok(Read::Pending)));
}
