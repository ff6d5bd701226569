//! Which lanes carry a flow, and how it leaves them and comes back.

use super::*;
use crate::wire::fact::LaneUse;

const GUESS: Health = Health::Suspect { confirmed: false };
const SURE: Health = Health::Suspect { confirmed: true };

#[test]
fn a_thin_flow_in_auto_goes_on_two_lanes_and_a_thick_one_on_one() {
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
fn a_redundant_flow_goes_on_two_lanes_however_thick() {
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
            let word = LaneUse { lane: L1, version: 1, cost: 0, draining: true };
            pair.ends[side].set_lane_use(pair.now, word);
            pair.run();
            pair.write(A, id, 60_000);
            pair.run();
            assert_eq!((pair.given_to(L1), pair.given_to(L2)), (0, 60_000), "{mode}");
        }
    }
}

#[test]
fn a_thick_flow_leaves_a_lane_that_drains_bit_by_bit_and_one_that_is_then_in_doubt_at_once() {
    for doubt in [false, true] {
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
        let word = LaneUse { lane: L1, version: 1, cost: 0, draining: true };
        pair.ends[A].set_lane_use(pair.now, word);
        assert_eq!(carry(&mut pair), (true, true), "until the new one has its pace");
        if doubt {
            pair.health(A, L1, GUESS);
        } else {
            pair.pass(ms(300));
        }
        assert_eq!(carry(&mut pair), (false, true));
        assert!(pair.ends[A].lane_is_idle(L1));
    }
}

#[test]
fn a_redundant_flow_that_moves_off_a_lane_does_not_go_over_three() {
    let mut pair = Pair::new(3);
    let id = pair.joined(A, Mode::Redundant);
    pair.write(A, id, 90_000);
    pair.pass(ms(20));
    let left = pair.ends[A].flow(id).unwrap().tx.home.unwrap();
    let word = LaneUse { lane: left, version: 1, cost: 0, draining: true };
    pair.ends[A].set_lane_use(pair.now, word);
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
fn flows_leave_a_lane_that_loses_much_and_stay_away_when_it_no_longer_does() {
    for mode in [Mode::Auto, Mode::Single, Mode::Bond, Mode::Redundant] {
        let mut pair = Pair::new(2);
        let id = pair.joined(A, mode);
        pair.write(A, id, 10);
        pair.run();
        assert!(pair.given_to(L1) == 10, "{mode}");
        for lossy in [true, false] {
            pair.ends[A].assume_loss(pair.now, L1, lossy);
            assert_eq!(pair.ends[A].flow(id).unwrap().tx.home, Some(L2), "{mode}");
        }
    }
}

#[test]
fn a_bonding_flow_leaves_a_lane_that_begins_to_drain_and_comes_back() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Bond);
    for (version, draining) in [(1, true), (2, false), (1, true)] {
        pair.given.clear();
        let word = LaneUse { lane: L2, version, cost: 0, draining };
        pair.ends[A].control(pair.now, L1, Message::LaneUse(word)).unwrap();
        let written = pair.write(A, id, 90_000) as u64;
        assert!(written > 64 * 1024, "more than one lane takes at once");
        pair.pass(ms(20));
        assert_eq!(pair.given_to(L2) == 0, pair.ends[A].lanes[&L2].draining());
        assert_eq!(pair.read(B, id), (written, Ok(Read::Pending)));
        pair.pass(ms(20));
    }
    assert!(!pair.ends[A].lanes[&L2].draining(), "an old word does not come back");
}

#[test]
fn a_metered_lane_bonds_nothing() {
    let mut pair = Pair::new(2);
    let word = LaneUse { lane: L2, version: 1, cost: 200, draining: false };
    pair.ends[A].set_lane_use(pair.now, word);
    let id = pair.joined(A, Mode::Bond);
    pair.write(A, id, 90_000);
    pair.run();
    assert_eq!((pair.given_to(L1), pair.given_to(L2)), (90_000, 0));
}

#[test]
fn a_lane_is_idle_when_no_flow_lives_on_it_and_nothing_is_under_way() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Single);
    pair.hold(L1);
    pair.write(A, id, 5_000);
    pair.run();
    assert!(!pair.ends[A].lane_is_idle(L1) && pair.ends[A].lane_is_idle(L2));
    let word = LaneUse { lane: L1, version: 1, cost: 0, draining: true };
    pair.ends[A].set_lane_use(pair.now, word);
    pair.run();
    assert!(!pair.ends[A].lane_is_idle(L1), "what it was given is still under way");
    pair.release(L1);
    pair.pass(ms(20));
    assert!(pair.ends[A].lane_is_idle(L1) && !pair.ends[A].lane_is_idle(L2));
    assert_eq!(pair.given_to(L2), 0, "nothing was sent again");
    assert!(pair.ends[B].peer_drains(L1) && !pair.ends[A].peer_drains(L1));
}

#[test]
fn flows_of_both_ends_come_home_after_the_probation_thin_ones_first() {
    let mut pair = Pair::new(2);
    let thin = pair.joined(A, Mode::Single);
    let thick = pair.joined(A, Mode::Single);
    pair.write(A, thick, 80_000);
    pair.write(B, thick, 80_000);
    pair.pass(ms(20));
    let homes = |pair: &Pair, side: usize| {
        [thin, thick].map(|id| pair.ends[side].flow(id).unwrap().tx.home.unwrap())
    };
    let say = |pair: &mut Pair, version, cost| {
        let word = LaneUse { lane: L1, version, cost, draining: false };
        pair.ends[A].set_lane_use(pair.now, word);
        pair.run();
    };
    pair.health(A, L1, SURE);
    say(&mut pair, 1, 64);
    pair.health(A, L1, Health::Alive);
    for side in [A, B] {
        assert_eq!(homes(&pair, side), [L2, L2], "{side}: on probation");
    }
    say(&mut pair, 2, 32);
    for side in [A, B] {
        assert_eq!(homes(&pair, side), [L1, L2], "{side}: settling");
    }
    say(&mut pair, 3, 0);
    for side in [A, B] {
        assert_eq!(homes(&pair, side), [L1, L1], "{side}: well");
    }
}

#[test]
fn flows_come_back_after_a_brief_doubt_of_either_end_and_stay_away_after_a_long_one() {
    for (lasts, back) in [(99, true), (100, false)] {
        for doubter in [A, B] {
            let mut pair = Pair::new(2);
            let thin = pair.joined(A, Mode::Auto);
            let thick = pair.joined(A, Mode::Single);
            for side in [A, B] {
                pair.write(side, thin, 100);
                pair.write(side, thick, 80_000);
            }
            pair.pass(ms(20));
            let homes = |pair: &Pair| {
                [A, B].map(|side| {
                    [thin, thick].map(|id| pair.ends[side].flow(id).unwrap().tx.home.unwrap())
                })
            };
            assert_eq!(homes(&pair), [[L1; 2]; 2]);
            pair.health(doubter, L1, GUESS);
            assert_eq!(homes(&pair), [[L2; 2]; 2], "aside at once");
            pair.now += ms(lasts);
            pair.health(doubter, L1, Health::Alive);
            let home = if back { L1 } else { L2 };
            assert_eq!(homes(&pair), [[home; 2]; 2], "{lasts} ms, by {doubter}");
        }
    }
}

#[test]
fn flows_do_not_come_back_to_a_lane_whose_doubt_ended_because_it_moved() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Single);
    let home = |pair: &Pair| pair.ends[A].flow(id).unwrap().tx.home.unwrap();
    pair.write(A, id, 10);
    pair.run();
    pair.health(A, L1, SURE);
    assert_eq!(home(&pair), L2);
    pair.ends[A].assume_new_path(pair.now, L1);
    pair.health(A, L1, Health::Alive);
    assert_eq!(home(&pair), L2);
    assert_eq!(pair.ends[A].flow(id).unwrap().tx.aside, None);
}

#[test]
fn flows_do_not_come_back_from_a_lane_that_is_well_nor_to_one_that_both_doubt() {
    let mut pair = Pair::new(3);
    let id = pair.joined(A, Mode::Single);
    let home = |pair: &Pair| pair.ends[A].flow(id).unwrap().tx.home.unwrap();
    pair.write(A, id, 10);
    pair.run();
    pair.health(A, L1, GUESS);
    pair.health(B, L1, GUESS);
    let aside = home(&pair);
    assert_ne!(aside, L1);
    pair.health(A, L1, Health::Alive);
    assert_eq!(home(&pair), aside, "the other end doubts it still");
    // The lane it is on is in doubt as well: once both are well it is the first that it came from.
    pair.health(A, aside, GUESS);
    let third = home(&pair);
    assert!(third != L1 && third != aside);
    pair.health(A, aside, Health::Alive);
    assert_eq!(home(&pair), third);
    pair.health(B, L1, Health::Alive);
    assert_eq!(home(&pair), L1);
    assert_eq!(pair.ends[A].flow(id).unwrap().tx.aside, None);
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
fn a_bonding_flow_loses_nothing_with_the_lane_that_is_not_its_home() {
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
fn a_draining_lane_carries_no_statements_while_another_does() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Single);
    pair.ends[A].use_lane(pair.now, L1, 0, true);
    pair.run();
    let backlog = |pair: &Pair, lane| [A, B].map(|side| pair.ends[side].lane_backlog(lane));
    pair.hold(L1);
    pair.write(A, id, 60_000);
    pair.pass(ms(300));
    assert_eq!(pair.read(B, id), (60_000, Ok(Read::Pending)));
    pair.pass(ms(300));
    assert_eq!(backlog(&pair, L1), [0, 0]);
    // With no other it is better than none.
    pair.detach(L2);
    pair.release(L1);
    pair.write(A, id, 1_000);
    pair.pass(ms(300));
    assert_eq!(pair.read(B, id), (1_000, Ok(Read::Pending)));
}
