//! When a session is told to have lost its redundancy.

use super::*;
use crate::hold_down::FailureDomain;
use crate::path::Prefix;
use crate::plan::redundancy::{Redundancy, RedundancyChange, RedundancyInput};

const SECOND: Duration = Duration::from_secs(1);
const LOST: RedundancyChange = RedundancyChange::Lost { others: 1 };

fn uplink(name: &str) -> FailureDomain {
    FailureDomain::Uplink(name.to_owned())
}

/// What the lanes on `paths` run over.
fn over(paths: &[Path]) -> Vec<(Option<&str>, Prefix)> {
    paths.iter().map(|p| (Some(p.uplink.as_str()), Prefix::of(p.remote))).collect()
}

/// Nothing but paths.
fn input(paths: &[Path]) -> RedundancyInput<'_> {
    RedundancyInput {
        paths,
        unaddressed: &[],
        discovered: &[],
        drained_remotes: &[],
        named: &[],
        answering: &[],
    }
}

struct Evaluated {
    redundancy: Redundancy,
    began: Instant,
}

impl Evaluated {
    fn new() -> Self {
        Self { redundancy: Redundancy::default(), began: Instant::now() }
    }

    /// Returns what is told after `seconds`.
    fn at(
        &mut self,
        seconds: u32,
        paths: &[Path],
        lanes: &[Path],
    ) -> Vec<(FailureDomain, RedundancyChange)> {
        let input = RedundancyInput { answering: &over(lanes), ..input(paths) };
        self.redundancy.evaluate(self.began + seconds * SECOND, &input).0
    }
}

#[test]
fn an_uplink_without_a_lane_that_answers_is_reported_once_and_so_is_its_return() {
    let paths = [path(1, 1), path(2, 1)];
    let (first, name) = (&paths[..1], paths[1].uplink.clone());
    let mut evaluated = Evaluated::new();
    assert_eq!(evaluated.at(0, &paths, first), [], "its dial has its time");
    assert_eq!(evaluated.at(4, &paths, first), []);
    assert_eq!(evaluated.at(5, &paths, first), [(uplink(&name), LOST)]);
    assert_eq!(evaluated.at(60, &paths, first), []);
    assert_eq!(evaluated.redundancy.lost().count(), 1);
    let after = 65 * SECOND;
    assert_eq!(
        evaluated.at(65, &paths, &paths),
        [(uplink(&name), RedundancyChange::Restored { after })]
    );
    assert_eq!(evaluated.redundancy.lost().count(), 0);
}

#[test]
fn a_pause_and_a_replaced_lane_are_not_reported() {
    let paths = [path(1, 1), path(2, 1)];
    let mut evaluated = Evaluated::new();
    for round in 0..10 {
        assert_eq!(evaluated.at(10 * round, &paths, &paths[..1]), []);
        assert_eq!(evaluated.at(10 * round + 4, &paths, &paths), []);
    }
}

#[test]
fn a_session_without_a_lane_reports_nothing_here_and_forgets_nothing() {
    let paths = [path(1, 1), path(2, 1)];
    let mut evaluated = Evaluated::new();
    assert_eq!(evaluated.at(0, &paths, &[]), []);
    assert_eq!(evaluated.at(100, &paths, &paths[..1]), [], "time without any lane does not count");
    assert_eq!(evaluated.at(105, &paths, &paths[..1]).len(), 1);
    assert_eq!(evaluated.at(110, &paths, &[]), []);
    assert_eq!(evaluated.redundancy.lost().count(), 1);
    assert_eq!(evaluated.at(120, &paths, &paths).len(), 1);
}

#[test]
fn what_is_metered_or_drained_is_not_missed() {
    let paths = [path(1, 1), metered(path(2, 1)), draining(path(3, 1))];
    let mut evaluated = Evaluated::new();
    assert_eq!(evaluated.at(0, &paths, &paths[..1]), []);
    assert_eq!(evaluated.at(60, &paths, &paths[..1]), []);
}

#[test]
fn a_prefix_of_the_peer_is_missed_as_an_uplink_is() {
    let paths = [path(1, 1), path(1, 2)];
    let mut evaluated = Evaluated::new();
    assert_eq!(evaluated.at(0, &paths, &paths[..1]), []);
    let prefix = FailureDomain::Prefix(Prefix::of(paths[1].remote));
    assert_eq!(evaluated.at(5, &paths, &paths[..1]), [(prefix, LOST)]);
}

#[test]
fn one_lane_is_enough_for_both_families_of_a_provider() {
    let v6 = Path {
        local: "2001:db8:a::1".parse().unwrap(),
        remote: "[2001:db8:b::1]:5443".parse().unwrap(),
        ..path(1, 1)
    };
    let paths = [path(1, 1), v6];
    let mut evaluated = Evaluated::new();
    assert_eq!(evaluated.at(0, &paths, &paths[..1]), []);
    assert_eq!(evaluated.at(60, &paths, &paths[..1]), []);
}

#[test]
fn no_more_is_missed_than_a_session_has_lanes() {
    let paths: Vec<Path> = (1..=6).map(|n| path(n, n)).collect();
    let mut evaluated = Evaluated::new();
    for seconds in [0, 60] {
        assert_eq!(evaluated.at(seconds, &paths, &paths[..MAX_LANES]), []);
    }
    assert_eq!(evaluated.at(61, &paths, &paths[..MAX_LANES - 1]), []);
    let reported = evaluated.at(66, &paths, &paths[..MAX_LANES - 1]);
    assert!(reported.iter().any(|(domain, _)| *domain == uplink(&paths[5].uplink)), "{reported:?}");
}

#[test]
fn an_uplink_without_an_address_is_missed_and_a_discovered_one_once_it_has_answered() {
    let (paths, began) = ([path(1, 1), path(2, 1)], Instant::now());
    let name = paths[1].uplink.as_str();
    let mut redundancy = Redundancy::default();
    let mut count = |seconds: u32, unaddressed: &[&str], discovered: &[&str], lanes: &[Path]| {
        let answering = &over(lanes);
        let input = RedundancyInput { unaddressed, discovered, answering, ..input(&paths) };
        redundancy.evaluate(began + seconds * SECOND, &input).0.len()
    };
    assert_eq!(count(0, &[], &[name], &paths[..1]), 0);
    assert_eq!(count(60, &[], &[name], &paths[..1]), 0, "it may lead nowhere");
    assert_eq!(count(61, &[], &[name], &paths), 0);
    assert_eq!(count(62, &[], &[name], &paths[..1]), 0);
    assert_eq!(count(67, &[], &[name], &paths[..1]), 1, "it has answered before");
    assert_eq!(count(68, &["isp-z"], &[name], &paths), 1, "its return");
    assert_eq!(count(73, &["isp-z"], &[name], &paths), 1, "no address for 5 s");
}

#[test]
fn what_the_peer_drains_is_not_missed() {
    let paths = [path(1, 1), path(1, 2)];
    let drained = [paths[1].remote.ip()];
    let mut redundancy = Redundancy::default();
    let began = Instant::now();
    for seconds in [0, 60] {
        let answering = &over(&paths[..1]);
        let input = RedundancyInput { drained_remotes: &drained, answering, ..input(&paths) };
        assert_eq!(redundancy.evaluate(began + seconds * SECOND, &input).0, []);
    }
}

#[test]
fn a_prefix_that_only_the_peer_has_named_is_missed_once_it_has_answered() {
    let paths = [path(1, 1), path(1, 2)];
    let named = [Prefix::of(paths[1].remote)];
    let (mut redundancy, began) = (Redundancy::default(), Instant::now());
    let mut count = |seconds: u32, lanes: &[Path]| {
        let input = RedundancyInput { named: &named, answering: &over(lanes), ..input(&paths) };
        redundancy.evaluate(began + seconds * SECOND, &input).0.len()
    };
    assert_eq!((count(0, &paths[..1]), count(60, &paths[..1])), (0, 0), "it may be closed");
    assert_eq!(count(61, &paths), 0);
    assert_eq!((count(62, &paths[..1]), count(67, &paths[..1])), (0, 1));
}

#[test]
fn a_metered_lane_that_carries_is_one_of_the_ways_that_are_left() {
    let paths = [path(1, 1), path(2, 1), metered(path(3, 1))];
    let carrying = [paths[2].clone()];
    let mut evaluated = Evaluated::new();
    assert_eq!(evaluated.at(0, &paths, &carrying), []);
    let reported = evaluated.at(5, &paths, &carrying);
    assert_eq!(reported.len(), 2);
    assert!(reported.iter().all(|(_, change)| *change == LOST), "{reported:?}");
}
