//! What may happen to a lane.

use std::time::{Duration, Instant};

use super::bench::{Bench, MS};
use crate::lane::action::Action;
use crate::lane::observation::AddressListing;
use crate::wire::fact::Suspicion;

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Nothing,
    Silence10,
    Silence40,
    Silence100,
    Silence300,
    Silence10s,
    LonePacketUnacked,
    FullPacketBefore,
    FullPacketAfter,
    SmallPacketAfter,
    PeerSuspects,
    PeerFindsOneWay,
    PeerNotices,
    PeerIsNarrow,
    PeerTrusts,
    PeerForgets,
    AddressLost,
    AddressBack,
    WeMigrate,
    PeerMigrates,
    Resumed,
    LateTimer,
    LateTimerAgain,
    LittleLateTimer,
    ResentElsewhere,
    OnlyReceives,
    SmallPacketsPass,
    FullPacketsVanish,
    FullPacketsWereLost,
    LosesATenth,
    Ends,
}

impl Input {
    pub(super) const ALL: [Self; 31] = [
        Self::Nothing,
        Self::Silence10,
        Self::Silence40,
        Self::Silence100,
        Self::Silence300,
        Self::Silence10s,
        Self::LonePacketUnacked,
        Self::FullPacketBefore,
        Self::FullPacketAfter,
        Self::SmallPacketAfter,
        Self::PeerSuspects,
        Self::PeerFindsOneWay,
        Self::PeerNotices,
        Self::PeerIsNarrow,
        Self::PeerTrusts,
        Self::PeerForgets,
        Self::AddressLost,
        Self::AddressBack,
        Self::WeMigrate,
        Self::PeerMigrates,
        Self::Resumed,
        Self::LateTimer,
        Self::LateTimerAgain,
        Self::LittleLateTimer,
        Self::ResentElsewhere,
        Self::OnlyReceives,
        Self::SmallPacketsPass,
        Self::FullPacketsVanish,
        Self::FullPacketsWereLost,
        Self::LosesATenth,
        Self::Ends,
    ];

    /// How the table calls the input.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing new is seen",
            Self::Silence10 => "10 ms pass in silence",
            Self::Silence40 => "40 ms pass in silence",
            Self::Silence100 => "100 ms pass in silence",
            Self::Silence300 => "300 ms pass in silence",
            Self::Silence10s => "10 s pass in silence",
            Self::LonePacketUnacked => "a lone packet is not acked in time",
            Self::FullPacketBefore => "a full packet sent before is acked",
            Self::FullPacketAfter => "a full packet sent after is acked",
            Self::SmallPacketAfter => "a small packet sent after is acked",
            Self::PeerSuspects => "the peer suspects",
            Self::PeerFindsOneWay => "the peer finds it one-way",
            Self::PeerNotices => "the peer gives notice",
            Self::PeerIsNarrow => "the peer says that it is narrow",
            Self::PeerTrusts => "the peer trusts",
            Self::PeerForgets => "the peer is quiet, full packets pass",
            Self::AddressLost => "our address is lost",
            Self::AddressBack => "our address is there",
            Self::WeMigrate => "we migrate",
            Self::PeerMigrates => "the peer migrates",
            Self::Resumed => "the machine resumes",
            Self::LateTimer => "our timer is late",
            Self::LateTimerAgain => "our timer is late twice",
            Self::LittleLateTimer => "our timer is late by 4 ms",
            Self::ResentElsewhere => "bytes are sent again elsewhere",
            Self::OnlyReceives => "only the peer's packets pass",
            Self::SmallPacketsPass => "only small packets pass",
            Self::FullPacketsVanish => "small packets overtake full ones",
            Self::FullPacketsWereLost => "one did, and silence follows",
            Self::LosesATenth => "a tenth is lost",
            Self::Ends => "the lane ends",
        }
    }

    /// Lets it happen.
    #[expect(clippy::too_many_lines, reason = "one arm for each input")]
    pub(super) fn happen(self, bench: &mut Bench) {
        match self {
            Self::Nothing => {
                bench.now += MS;
                bench.evaluate();
            }
            Self::Silence10 => bench.pass(10),
            Self::Silence40 => bench.pass(40),
            Self::Silence100 => bench.pass(100),
            Self::Silence300 => bench.pass(300),
            Self::Silence10s => bench.pass(10_000),
            Self::LonePacketUnacked => {
                bench.seen.oldest_unacked.get_or_insert(bench.now);
                bench.pass(30);
            }
            Self::FullPacketBefore => {
                let sent = bench.now - 15 * MS;
                bench.now += 5 * MS;
                bench.acked_full(sent.min(bench.suspected_or_now()));
                bench.evaluate();
            }
            Self::FullPacketAfter => {
                let sent = bench.now + MS;
                bench.now += 21 * MS;
                bench.acked_full(sent);
                bench.evaluate();
            }
            Self::SmallPacketAfter => {
                let sent = bench.now + MS;
                bench.now += 21 * MS;
                bench.acked_small(sent);
                bench.evaluate();
            }
            Self::PeerSuspects => bench.advertised(Suspicion::Suspected),
            Self::PeerFindsOneWay => bench.advertised(Suspicion::OneWay),
            Self::PeerNotices => bench.noticed(false),
            Self::PeerIsNarrow => bench.noticed(true),
            Self::PeerTrusts => bench.advertised(Suspicion::None),
            Self::PeerForgets => {
                bench.pass_with(300, |bench| bench.acked_full(bench.now - 20 * MS));
            }
            Self::AddressLost => {
                bench.address = AddressListing::Unlisted;
                bench.evaluate();
            }
            Self::AddressBack => {
                bench.address = AddressListing::Listed;
                bench.evaluate();
            }
            Self::WeMigrate => {
                bench.monitor.handle_migration(bench.now);
                bench.new_path();
                bench.evaluate();
            }
            Self::PeerMigrates => {
                bench.remote = "198.51.100.7:443".parse().unwrap();
                bench.new_path();
                bench.evaluate();
            }
            Self::Resumed => bench.wake(Duration::ZERO, true),
            Self::LateTimer => bench.sleep_through_timer(),
            Self::LateTimerAgain => {
                bench.sleep_through_timer();
                bench.now += 1000 * MS;
                bench.wake(1000 * MS, false);
            }
            Self::LittleLateTimer => {
                bench.now += 10 * MS;
                bench.wake(4 * MS, false);
            }
            Self::ResentElsewhere => {
                bench.now += MS;
                bench.resent += 1_000;
                bench.evaluate();
            }
            Self::OnlyReceives => bench.receive(700),
            Self::SmallPacketsPass => bench.pass_with(700, |bench| {
                bench.received += 1;
                bench.acked_small(bench.now - 20 * MS);
            }),
            Self::FullPacketsVanish => bench.pass_with(200, |bench| {
                bench.received += 1;
                bench.overtaken(2);
                bench.acked_small(bench.now - 20 * MS);
            }),
            Self::FullPacketsWereLost => {
                bench.overtaken(1);
                bench.pass(100);
            }
            Self::LosesATenth => bench.lose_a_tenth(800),
            Self::Ends => {
                let reports = bench.monitor.final_reports();
                bench.actions.extend(reports.into_iter().map(Action::report));
            }
        }
    }
}

impl Bench {
    fn suspected_or_now(&self) -> Instant {
        self.monitor.condition().suspected_since.unwrap_or(self.now)
    }

    /// We do not run for a second (SIGSTOP), and then learn that the timer was due long ago.
    fn sleep_through_timer(&mut self) {
        self.now += 1000 * MS;
        self.wake(990 * MS, false);
    }
}
