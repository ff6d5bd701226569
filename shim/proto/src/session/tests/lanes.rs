//! Suspicion and death of lanes, and what is said of them.

use super::*;
use crate::types::Locator;
use crate::wire::fact::{LaneUse, Locators};

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
    pair.ends[A].assume_health(pair.now, L1, GUESS, ms(20), None);
    pair.ends[A].assume_health(pair.now, L1, Health::Alive, ms(20), Some(pair.now));
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

/// Whether the peer of `side` advertised that our direction of the first lane works, and its own
/// does not.
fn peers_one_way(pair: &Pair, side: usize) -> bool {
    pair.ends[side].lanes[&L1].monitor.peer_advertises_one_way()
}

#[test]
fn the_peer_is_told_on_another_lane_which_direction_is_dead() {
    let mut pair = Pair::new(2);
    pair.hold(L1);
    pair.ends[A].assume_one_way(L1);
    pair.run();
    assert!(!peers_one_way(&pair, B), "the lane was well");
    pair.health(A, L1, SURE);
    assert!(!peers_one_way(&pair, B));
    pair.ends[A].assume_one_way(L1);
    pair.run();
    assert!(peers_one_way(&pair, B) && !peers_one_way(&pair, A));
    pair.health(A, L1, Health::Alive);
    assert!(!peers_one_way(&pair, B));
    pair.health(A, L1, GUESS);
    assert!(!peers_one_way(&pair, B), "another doubt");
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
        pair.ends[B].assume_health(sent + ms(20), L1, Health::Alive, ms(20), Some(sent));
        pair.ends[B].lane_is_up(L1)
    };
    assert!(!prove(&mut pair, 200), "our packets do not show that the peer's pass");
    pair.pass(ms(200));
    pair.ends[A].tell_health(L1);
    pair.run();
    assert!(!prove(&mut pair, 200), "said again");
    assert!(prove(&mut pair, 251));
}

#[test]
fn a_doubt_is_told_on_the_lane_itself_where_it_is_the_only_one() {
    let mut pair = Pair::new(1);
    pair.health(A, L1, GUESS);
    assert!(pair.ends[B].lane_condition(L1).unwrap().suspected_since.is_some());
    pair.ends[A].tell_health(L1);
    pair.run();
    assert!(!pair.ends[B].lane_is_up(L1));
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
