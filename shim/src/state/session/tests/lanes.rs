//! Suspicion, death and choice of lanes.

use super::*;
use crate::vocab::locator::Locator;
use crate::vocab::wire::fact::{LaneUse, Locators};

const GUESS: Health = Health::Suspect { confirmed: false };
const SURE: Health = Health::Suspect { confirmed: true };

#[test]
fn a_fact_lost_with_its_lane_is_stated_on_another() {
    let mut pair = Pair::new(1);
    let id = pair.joined(A, Mode::Single);
    pair.hold(L1);
    pair.write(A, id, 10);
    pair.ends[A].finish(pair.now, id).unwrap();
    pair.ends[B].reset(pair.now, id, 3);
    pair.run();
    pair.detach(L1);
    pair.run();
    pair.attach(L2);
    pair.pass(ms(20));
    assert_eq!(pair.ends[A].check_broken(id), Err(FlowError::ResetByPeer(3)));
    pair.drop_both(A, id);
    pair.drop_both(B, id);
    pair.assert_empty();
}

#[test]
fn a_fact_that_is_not_echoed_is_stated_on_another_lane() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Single);
    pair.hold(L1);
    pair.hold(L2);
    pair.ends[A].finish(pair.now, id).unwrap();
    pair.run();
    // Both lanes took it and keep it; one comes back, and the other never does.
    pair.wires.get_mut(&L2).unwrap().waiting = Default::default();
    pair.release(L2);
    pair.pass(ms(300));
    assert_eq!(pair.read(B, id), (0, Ok(Read::End)));
}

#[test]
fn a_suspect_lane_uncovers_its_bytes_and_a_cleared_one_covers_them_again() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Single);
    pair.hold(L1);
    pair.write(A, id, 10_000);
    pair.run();
    assert_eq!((pair.given_to(L1), pair.given_to(L2)), (10_000, 0));
    // Cleared before the other lane asked: nothing is sent again.
    pair.ends[A].lane_health(pair.now, L1, GUESS, ms(20), None);
    pair.ends[A].lane_health(pair.now, L1, Health::Alive, ms(20), Some(pair.now));
    pair.run();
    assert_eq!(pair.given_to(L2), 0);
    pair.health(A, L1, GUESS);
    assert_eq!(pair.given_to(L2), 10_000);
    assert!(pair.given.iter().all(|g| g.resent == (g.lane == L2)));
    assert_eq!(pair.read(B, id), (10_000, Ok(Read::Pending)));
    // What follows follows.
    pair.write(A, id, 10);
    pair.run();
    assert_eq!((pair.given_to(L1), pair.given_to(L2)), (10_000, 10_010));
}

#[test]
fn bytes_given_to_a_lane_in_doubt_go_to_the_next_lane_that_is_up() {
    let mut pair = Pair::new(1);
    let id = pair.joined(A, Mode::Single);
    pair.hold(L1);
    pair.health(A, L1, SURE);
    pair.write(A, id, 10);
    pair.run();
    assert_eq!(pair.given_to(L1), 10, "there is no other");
    pair.attach(L2);
    pair.run();
    assert_eq!(pair.read(B, id), (10, Ok(Read::Pending)));
}

#[test]
fn guesses_are_bounded_by_the_hedge_budget() {
    let mut pair = Pair::new(2);
    pair.ends.iter_mut().for_each(|end| end.peer.initial_window = 1 << 20);
    let id = pair.joined(A, Mode::Single);
    pair.hold(L1);
    let window = pair.ends[A].capacity(id).unwrap();
    pair.write(A, id, 1 << 20);
    pair.run();
    pair.ends[B].hedge = HedgeBudget::default();
    pair.hold(L2);
    pair.health(A, L1, GUESS);
    let guessed = pair.given_to(L2);
    assert!(guessed > 0 && guessed <= 128 * 1024 && guessed < window, "{guessed} of {window}");
    pair.health(A, L1, SURE);
    assert_eq!(pair.given_to(L2), window, "what is sure needs no budget");
}

#[test]
fn nothing_is_sent_again_to_the_lane_in_doubt() {
    let mut pair = Pair::new(1);
    let id = pair.joined(A, Mode::Auto);
    pair.hold(L1);
    pair.write(A, id, 5_000);
    pair.run();
    for health in [GUESS, SURE] {
        pair.health(A, L1, health);
        assert_eq!(pair.given_to(L1), 5_000);
    }
}

#[test]
fn stale_segments_on_a_lane_in_doubt_are_reset_once_their_bytes_are_acknowledged() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Single);
    pair.hold(L1);
    pair.write(A, id, 1_000);
    pair.run();
    pair.hold(L2);
    pair.health(A, L1, GUESS);
    assert!(pair.resets.is_empty(), "never before");
    pair.release(L2);
    pair.pass(ms(20));
    assert_eq!(pair.resets, [(A, L1, 0)]);
}

#[test]
fn a_word_on_health_that_comes_late_does_not_bring_back_an_old_doubt() {
    let mut pair = Pair::new(3);
    pair.hold(L2);
    pair.health(A, L1, GUESS);
    assert!(!pair.ends[B].lane_is_up(L1));
    pair.health(A, L1, Health::Alive);
    assert!(pair.ends[B].lane_is_up(L1));
    pair.release(L2);
    assert!(pair.ends[B].lane_is_up(L1));
}

#[test]
fn the_peer_is_told_on_another_lane_which_direction_is_dead() {
    let mut pair = Pair::new(2);
    pair.hold(L1);
    pair.ends[A].found_one_way(L1);
    pair.run();
    assert!(!pair.ends[B].peer_finds_one_way(L1), "the lane was well");
    pair.health(A, L1, SURE);
    assert!(!pair.ends[B].peer_finds_one_way(L1));
    pair.ends[A].found_one_way(L1);
    pair.run();
    assert!(pair.ends[B].peer_finds_one_way(L1) && !pair.ends[A].peer_finds_one_way(L1));
    pair.health(A, L1, Health::Alive);
    assert!(!pair.ends[B].peer_finds_one_way(L1));
    pair.health(A, L1, GUESS);
    assert!(!pair.ends[B].peer_finds_one_way(L1), "another doubt");
}

#[test]
fn the_peers_doubt_is_cleared_by_its_word_or_by_proof_when_it_is_not_repeated() {
    let mut pair = Pair::new(2);
    pair.health(A, L1, GUESS);
    assert!(!pair.ends[B].lane_is_up(L1));
    pair.health(A, L1, Health::Alive);
    assert!(pair.ends[B].lane_is_up(L1));

    pair.health(A, L1, GUESS);
    let prove = |pair: &mut Pair, after: u64| {
        let sent = pair.now + ms(after);
        pair.ends[B].lane_health(sent + ms(20), L1, Health::Alive, ms(20), Some(sent));
        pair.ends[B].lane_is_up(L1)
    };
    assert!(!prove(&mut pair, 200), "our packets do not show that the peer's pass");
    pair.pass(ms(200));
    pair.ends[A].repeat_suspicion(L1);
    pair.run();
    assert!(!prove(&mut pair, 200), "said again");
    assert!(prove(&mut pair, 251));
}

#[test]
fn a_doubt_is_told_on_the_lane_itself_where_it_is_the_only_one() {
    let mut pair = Pair::new(1);
    pair.health(A, L1, GUESS);
    assert!(pair.ends[B].peer_suspects_lane(L1));
    pair.ends[A].repeat_suspicion(L1);
    pair.run();
    assert!(!pair.ends[B].lane_is_up(L1));
}

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
            pair.ends[A].lane_loses(pair.now, L1, lossy);
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
fn what_was_said_of_lanes_is_said_on_every_new_lane() {
    let mut pair = Pair::new(2);
    pair.hold(L1);
    pair.hold(L2);
    let word = LaneUse { lane: L1, version: 1, cost: 200, draining: false };
    pair.ends[A].set_lane_use(pair.now, word);
    pair.health(A, L1, SURE);
    pair.detach(L2);
    pair.attach(LaneId(3));
    pair.run();
    assert_eq!(pair.ends[B].lanes[&L1].cost(), 200);
    assert!(!pair.ends[B].lane_is_up(L1));
}

#[test]
fn flows_wait_without_lanes_and_go_on_with_the_next() {
    let mut pair = Pair::new(1);
    let id = pair.joined(A, Mode::Auto);
    pair.hold(L1);
    pair.write(A, id, 40_000);
    pair.write(B, id, 30);
    pair.run();
    pair.detach(L1);
    let early = pair.open(B, Mode::Auto);
    pair.pass(Duration::from_secs(3600));
    pair.attach(L2);
    pair.run();
    assert_eq!(pair.read(B, id), (40_000, Ok(Read::Pending)));
    assert_eq!(pair.read(A, id), (30, Ok(Read::Pending)));
    assert_eq!(pair.count(A, &Event::Incoming(early)), 1);
}

#[test]
fn locators_are_said_on_every_lane_and_the_latest_stands() {
    let mut pair = Pair::new(1);
    let at = |port| Locator::from(std::net::SocketAddr::from(([192, 0, 2, 1], port)));
    pair.hold(L1);
    pair.ends[B].set_locators(vec![at(1)]);
    pair.run();
    pair.ends[B].set_locators(vec![at(2)]);
    pair.ends[B].set_locators(vec![at(2)]);
    pair.run();
    // What was said is lost with its lane; the next one begins with it.
    pair.detach(L1);
    pair.attach(L2);
    pair.run();
    assert_eq!(pair.ends[A].peer_locators(), [at(2)]);
    assert_eq!(pair.count(A, &Event::Locators), 1);
    let old = Locators { generation: 1, list: vec![at(1)] };
    pair.ends[A].control(pair.now, L2, Message::Locators(old)).unwrap();
    assert_eq!(pair.ends[A].peer_locators(), [at(2)], "an old word does not come back");
    pair.detach(L2);
    assert_eq!(pair.ends[A].peer_locators(), [at(2)], "remembered without a lane");
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
fn the_stricter_of_two_words_binds_both_ends() {
    for side in [A, B] {
        let mut pair = Pair::new(2);
        let say = |pair: &mut Pair, side: usize, version, cost, draining| {
            let word = LaneUse { lane: L1, version, cost, draining };
            pair.ends[side].set_lane_use(pair.now, word);
            pair.run();
        };
        say(&mut pair, side, 1, 200, false);
        say(&mut pair, 1 - side, 1, 10, true);
        for end in &pair.ends {
            assert_eq!((end.lanes[&L1].cost(), end.lanes[&L1].draining()), (200, true));
        }
        say(&mut pair, 1 - side, 2, 10, false);
        say(&mut pair, side, 2, 0, false);
        for end in &pair.ends {
            assert_eq!((end.lanes[&L1].cost(), end.lanes[&L1].draining()), (10, false));
        }
    }
}

#[test]
fn what_shares_an_uplink_after_a_move_is_known() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Redundant);
    pair.ends[A].lane_moved(pair.now, L1, 2, 0);
    pair.write(A, id, 1_000);
    pair.run();
    assert_eq!((pair.given_to(L1), pair.given_to(L2)), (1_000, 0), "no second over one uplink");
    pair.ends[A].lane_moved(pair.now, L1, 1, 0);
    pair.write(A, id, 1_000);
    pair.run();
    assert!(pair.given_to(L2) > 0, "disjoint again");
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
fn words_on_a_lane_are_numbered_in_one_place_and_said_once() {
    let mut pair = Pair::new(2);
    let word =
        |pair: &Pair| pair.ends[A].lanes[&L1].our_use.map(|w| (w.version, w.cost, w.draining));
    // Free and staying is what is assumed of a lane of which nothing was said.
    pair.ends[A].use_lane(pair.now, L1, 0, false);
    assert_eq!(word(&pair), None);
    for (version, cost, draining) in [(1, 200, false), (2, 200, true), (3, 0, true), (4, 0, false)]
    {
        for _ in 0..2 {
            pair.ends[A].use_lane(pair.now, L1, cost, draining);
            assert_eq!(word(&pair), Some((version, cost, draining)));
        }
        pair.run();
        let there = &pair.ends[B].lanes[&L1];
        assert_eq!((there.cost(), there.draining()), (cost, draining));
    }
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
