//! The states that a lane may be in, and how it gets there.

use super::bench::{Bench, MS};
use crate::lane::condition::LaneState;
use crate::lane::observation::AddressListing;
use crate::lane::rules::Rules;
use crate::wire::fact::Suspicion;

/// A state, and all that matters of how it came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    Idle,
    Busy,
    Pausing,
    Losing,
    Lossy,
    Unvalidated,
    SuspectByBulkRule,
    SuspectByThinRule,
    SuspectByPeer,
    SuspectByBoth,
    Confirmed,
    ConfirmedByPeer,
    AddressLost,
    OneWay,
    Closed,
}

impl Given {
    pub(super) const ALL: [Self; 15] = [
        Self::Idle,
        Self::Busy,
        Self::Pausing,
        Self::Losing,
        Self::Lossy,
        Self::Unvalidated,
        Self::SuspectByBulkRule,
        Self::SuspectByThinRule,
        Self::SuspectByPeer,
        Self::SuspectByBoth,
        Self::Confirmed,
        Self::ConfirmedByPeer,
        Self::AddressLost,
        Self::OneWay,
        Self::Closed,
    ];

    /// How the table calls the state.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Idle => "alive, idle",
            Self::Busy => "alive, busy with bulk",
            Self::Pausing => "alive, busy, it pauses",
            Self::Losing => "alive, loses now and then",
            Self::Lossy => "alive, lossy",
            Self::Unvalidated => "alive, just migrated",
            Self::SuspectByBulkRule => "suspect by the bulk rule",
            Self::SuspectByThinRule => "suspect by the thin rule",
            Self::SuspectByPeer => "suspect by the peer",
            Self::SuspectByBoth => "suspect by both ends",
            Self::Confirmed => "confirmed for 70 ms",
            Self::ConfirmedByPeer => "confirmed by the peer",
            Self::AddressLost => "confirmed, address lost",
            Self::OneWay => "one-way, being told",
            Self::Closed => "closed",
        }
    }

    /// A lane in this state.
    pub(super) fn bench(self, rules: Rules) -> Bench {
        let mut bench = Bench::new(rules);
        match self {
            Self::Idle => {}
            Self::Busy => bench.busy(),
            Self::Pausing => bench.pausing(),
            Self::Losing => bench.pass_with(60, |bench| {
                bench.seen.acked_bytes += 3_000;
                bench.seen.lost_bytes += 100;
            }),
            Self::Lossy => bench.lose_a_tenth(800),
            Self::Unvalidated => {
                bench.monitor.handle_migration(bench.now);
                bench.new_path();
            }
            Self::SuspectByBulkRule => {
                bench.busy();
                bench.pass(10);
            }
            Self::SuspectByThinRule => {
                bench.seen.oldest_unacked = Some(bench.now);
                bench.pass(30);
            }
            Self::SuspectByPeer => bench.advertised(Suspicion::Suspected),
            Self::SuspectByBoth => {
                bench.busy();
                bench.pass(10);
                bench.advertised(Suspicion::Suspected);
            }
            Self::Confirmed => {
                bench.busy();
                bench.pass(110);
            }
            Self::ConfirmedByPeer => {
                bench.advertised(Suspicion::Suspected);
                bench.pass(40);
            }
            Self::AddressLost => {
                bench.evaluate();
                bench.address = AddressListing::Unlisted;
            }
            Self::OneWay => {
                bench.busy();
                bench.pass(50);
                for _ in 0..80 {
                    if bench.monitor.state() != LaneState::OneWay {
                        bench.receive(10);
                    }
                }
            }
            Self::Closed => {
                bench.busy();
                bench.pass(10_100);
            }
        }
        bench.evaluate();
        bench.take();
        bench
    }
}

impl Bench {
    /// The lane is busy, and its path is known to pause.
    fn pausing(&mut self) {
        self.busy();
        self.seen.pauses.suspect_after = 180 * MS;
        self.seen.pauses.fail_after = 400 * MS;
    }

    /// For so long a tenth of the bytes is lost.
    pub(super) fn lose_a_tenth(&mut self, ms: u32) {
        self.pass_with(ms, |bench| {
            bench.seen.acked_bytes += 9_000;
            bench.seen.lost_bytes += 1_000;
        });
    }

    /// For so long the peer's packets come, and ours are not acknowledged.
    pub(super) fn receive(&mut self, ms: u32) {
        self.pass_with(ms, |bench| bench.received += 1);
    }
}
