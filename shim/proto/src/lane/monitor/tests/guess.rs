//! How long a suspicion is a guess.

use std::time::Duration;

use super::bench::Bench;
use crate::lane::rules::Rules;
use crate::wire::fact::Suspicion;

/// A lane that either end suspects, and whose round trips seem to take seconds.
fn suspected(by_peer: bool) -> Bench {
    let mut bench = Bench::new(Rules::default());
    if by_peer {
        bench.advertised(Suspicion::Suspected);
    } else {
        bench.busy();
        while !bench.monitor.is_suspected() {
            bench.pass(10);
        }
    }
    (bench.seen.srtt, bench.seen.rttvar) = (Duration::from_secs(3), Duration::from_secs(1));
    bench
}

#[test]
fn a_suspicion_is_a_guess_for_a_second_at_most_however_long_the_timeout_is() {
    for by_peer in [false, true] {
        let mut bench = suspected(by_peer);
        bench.pass(950);
        assert!(!bench.monitor.condition().confirmed, "by the peer: {by_peer}");
        bench.take();
        bench.pass(100);
        assert!(bench.monitor.condition().confirmed, "by the peer: {by_peer}");
        assert!(bench.take().contains(&"mark at risk".to_owned()), "by the peer: {by_peer}");
    }
}
