//! Tests of lanes that become suspect or are lost, and of what the ends advertise of them.

use super::*;
use crate::types::Locator;
use crate::wire::fact::Locators;

const GUESS: Health = Health::Suspect { confirmed: false };
const SURE: Health = Health::Suspect { confirmed: true };

#[test]
fn facts_lost_with_their_lane_are_sent_on_another() {
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
fn facts_that_are_not_acknowledged_are_sent_on_another_lane() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Single);
    pair.hold(L1);
    pair.hold(L2);
    pair.ends[A].finish(pair.now, id).unwrap();
    pair.run();
    // Both lanes hold the facts; one releases them again, and the other never does.
    pair.wires.get_mut(&L2).unwrap().waiting = Default::default();
    pair.release(L2);
    pair.pass(ms(300));
    assert_eq!(pair.read(B, id), (0, Ok(Read::End)));
}

#[test]
fn the_bytes_of_a_suspect_lane_are_at_risk_until_it_is_trusted_again() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Single);
    pair.hold(L1);
    pair.write(A, id, 10_000);
    pair.run();
    assert_eq!((pair.given_to(L1), pair.given_to(L2)), (10_000, 0));
    // Trusted again before the other lane asked: nothing is sent again.
    pair.ends[A].assume_health(pair.now, L1, GUESS, ms(20), None);
    pair.ends[A].assume_health(pair.now, L1, Health::Alive, ms(20), Some(pair.now));
    pair.run();
    assert_eq!(pair.given_to(L2), 0);
    pair.health(A, L1, GUESS);
    assert_eq!(pair.given_to(L2), 10_000);
    assert!(pair.given.iter().all(|g| g.resent == (g.lane == L2)));
    assert_eq!(pair.read(B, id), (10_000, Ok(Read::Pending)));
    // Later bytes take the same lane.
    pair.write(A, id, 10);
    pair.run();
    assert_eq!((pair.given_to(L1), pair.given_to(L2)), (10_000, 10_010));
}

#[test]
fn bytes_given_to_a_suspect_lane_go_to_the_next_lane_that_is_up() {
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
    assert_eq!(pair.given_to(L2), window, "a confirmed suspicion needs no budget");
}

#[test]
fn a_confirmed_suspicion_needs_no_budget_where_the_lane_had_collapsed_before_it() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Single);
    pair.hold(L1);
    let written = pair.write(A, id, 90_000) as u64;
    pair.run();
    pair.ends[A].hedge.spend(u64::MAX);
    pair.ends[A].assume_collapse(L1);
    pair.health(A, L1, GUESS);
    assert_eq!(pair.given_to(L2), 0, "a guess, and no budget");
    pair.health(A, L1, SURE);
    assert_eq!(pair.given_to(L2), written);
    assert_eq!(pair.read(B, id), (written, Ok(Read::Pending)));
}

#[test]
fn nothing_is_sent_again_on_the_suspect_lane() {
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
fn stale_segments_on_a_suspect_lane_are_reset_once_their_bytes_are_acknowledged() {
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
fn a_late_advertisement_of_health_does_not_bring_back_an_old_suspicion() {
    let mut pair = Pair::new(3);
    pair.hold(L2);
    pair.health(A, L1, GUESS);
    assert!(!pair.ends[B].lane_is_up(L1));
    pair.health(A, L1, Health::Alive);
    assert!(pair.ends[B].lane_is_up(L1));
    pair.release(L2);
    assert!(pair.ends[B].lane_is_up(L1));
}

/// Returns whether the peer of `side` advertised that our direction of the first lane works, and its
/// own does not.
fn peers_one_way(pair: &Pair, side: usize) -> bool {
    pair.ends[side].lanes[&L1].monitor.peer_advertises_one_way()
}

#[test]
fn the_dead_direction_is_advertised_on_another_lane() {
    let mut pair = Pair::new(2);
    pair.hold(L1);
    pair.ends[A].assume_one_way(L1);
    pair.run();
    assert!(!peers_one_way(&pair, B), "the lane was trusted");
    pair.health(A, L1, SURE);
    assert!(!peers_one_way(&pair, B));
    pair.ends[A].assume_one_way(L1);
    pair.run();
    assert!(peers_one_way(&pair, B) && !peers_one_way(&pair, A));
    pair.health(A, L1, Health::Alive);
    assert!(!peers_one_way(&pair, B));
    pair.health(A, L1, GUESS);
    assert!(!peers_one_way(&pair, B), "another suspicion");
}

#[test]
fn the_peers_suspicion_is_ended_by_the_peer_or_by_proof_when_it_is_not_repeated() {
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
    pair.ends[A].advertise_health(L1);
    pair.run();
    assert!(!prove(&mut pair, 200), "advertised again");
    assert!(prove(&mut pair, 251));
}

#[test]
fn a_suspicion_is_advertised_on_the_lane_itself_where_it_is_the_only_one() {
    let mut pair = Pair::new(1);
    pair.health(A, L1, GUESS);
    assert!(pair.ends[B].lane_condition(L1).unwrap().suspected_since.is_some());
    pair.ends[A].advertise_health(L1);
    pair.run();
    assert!(!pair.ends[B].lane_is_up(L1));
}

#[test]
fn advertisements_are_repeated_on_every_new_lane() {
    let mut pair = Pair::new(2);
    pair.hold(L1);
    pair.hold(L2);
    pair.ends[A].advertise_use(pair.now, L1, Cost::from_wire(200), false);
    pair.health(A, L1, SURE);
    pair.detach(L2);
    pair.attach(LaneId(3));
    pair.run();
    assert_eq!(pair.ends[B].lanes[&L1].usage.cost().to_wire(), 200);
    assert!(!pair.ends[B].lane_is_up(L1));
}

#[test]
fn flows_wait_without_lanes_and_go_on_with_the_next_lane() {
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
    assert_eq!(pair.count(A, &SessionEvent::Incoming(early)), 1);
}

#[test]
fn locators_are_advertised_on_every_lane_and_the_latest_stand() {
    let mut pair = Pair::new(1);
    let at = |port| Locator::from(std::net::SocketAddr::from(([192, 0, 2, 1], port)));
    pair.hold(L1);
    pair.ends[B].set_locators(vec![at(1)]);
    pair.run();
    pair.ends[B].set_locators(vec![at(2)]);
    pair.ends[B].set_locators(vec![at(2)]);
    pair.run();
    // The advertisement is lost with its lane; the next lane begins with it.
    pair.detach(L1);
    pair.attach(L2);
    pair.run();
    assert_eq!(pair.ends[A].peer_locators(), [at(2)]);
    assert_eq!(pair.count(A, &SessionEvent::Locators), 1);
    let old = Locators { generation: 1, list: vec![at(1)] };
    pair.ends[A].handle_control(pair.now, L2, Message::Locators(old)).unwrap();
    assert_eq!(pair.ends[A].peer_locators(), [at(2)], "an old advertisement does not come back");
    pair.detach(L2);
    assert_eq!(pair.ends[A].peer_locators(), [at(2)], "remembered without a lane");
}

#[test]
fn the_stricter_of_two_advertisements_applies_at_both_ends() {
    for side in [A, B] {
        let mut pair = Pair::new(2);
        let advertise = |pair: &mut Pair, side: usize, cost, draining| {
            pair.ends[side].advertise_use(pair.now, L1, Cost::from_wire(cost), draining);
            pair.run();
        };
        advertise(&mut pair, side, 200, false);
        advertise(&mut pair, 1 - side, 10, true);
        for end in &pair.ends {
            assert_eq!(
                (end.lanes[&L1].usage.cost().to_wire(), end.lanes[&L1].is_draining()),
                (200, true)
            );
        }
        advertise(&mut pair, 1 - side, 10, false);
        advertise(&mut pair, side, 0, false);
        for end in &pair.ends {
            assert_eq!(
                (end.lanes[&L1].usage.cost().to_wire(), end.lanes[&L1].is_draining()),
                (10, false)
            );
        }
    }
}

#[test]
fn a_migration_changes_which_lanes_share_an_uplink() {
    let mut pair = Pair::new(2);
    let id = pair.joined(A, Mode::Redundant);
    pair.ends[A].handle_lane_migrated(pair.now, L1, 2, 0);
    pair.write(A, id, 1_000);
    pair.run();
    assert_eq!(
        (pair.given_to(L1), pair.given_to(L2)),
        (1_000, 0),
        "no secondary lane over the same uplink"
    );
    pair.ends[A].handle_lane_migrated(pair.now, L1, 1, 0);
    pair.write(A, id, 1_000);
    pair.run();
    assert!(pair.given_to(L2) > 0, "disjoint again");
}

#[test]
fn advertisements_of_use_are_numbered_in_one_place_and_sent_once() {
    let mut pair = Pair::new(2);
    let advertised = |pair: &Pair| {
        pair.ends[A].lanes[&L1].usage.advertised().map(|w| (w.version, w.cost, w.draining))
    };
    // Unadvertised, a lane is free and stays.
    pair.ends[A].advertise_use(pair.now, L1, Cost::FREE, false);
    assert_eq!(advertised(&pair), None);
    for (version, cost, draining) in [(1, 200, false), (2, 200, true), (3, 0, true), (4, 0, false)]
    {
        for _ in 0..2 {
            pair.ends[A].advertise_use(pair.now, L1, Cost::from_wire(cost), draining);
            assert_eq!(advertised(&pair), Some((version, cost, draining)));
        }
        pair.run();
        let there = &pair.ends[B].lanes[&L1];
        assert_eq!((there.usage.cost().to_wire(), there.is_draining()), (cost, draining));
    }
}
