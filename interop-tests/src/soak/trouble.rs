//! Failures by seed, one after the other.

use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use throughline_emulator::{IspHandle, Loss, Profile, Rate, Way};
use throughline_fixture::ProgramPair;
use tokio::time::sleep;

use super::footprint::socket;
use crate::support::{Outcome, clock};
use throughline_daemon::admin::{AdminError, UplinkChange, change_uplink};

/// A large delay beside the usual 10 ms.
const FAR: Duration = Duration::from_millis(150);

/// What fails, and for how many milliseconds.
const KINDS: [(Kind, u64, u64); 9] = [
    (Kind::Silent, 300, 3_000),
    (Kind::Silent, 3_000, 40_000),
    (Kind::AllSilent, 300, 15_000),
    (Kind::Lossy, 3_000, 20_000),
    (Kind::Slow, 3_000, 20_000),
    (Kind::Far, 1_000, 10_000),
    (Kind::SmallMtu, 3_000, 20_000),
    (Kind::Drained, 1_000, 10_000),
    (Kind::Stopped, 500, 5_000),
];

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// An ISP loses everything, one way or both.
    Silent,
    /// Both lose everything.
    AllSilent,
    /// An ISP loses some packets.
    Lossy,
    /// An ISP has a twentieth of its rate.
    Slow,
    /// An ISP takes a long way.
    Far,
    /// An ISP loses large packets.
    SmallMtu,
    /// Somebody drains an uplink, and resumes it.
    Drained,
    /// A daemon's process is stopped, and goes on.
    Stopped,
}

/// Draws failures.
pub(super) struct Trouble {
    rng: SmallRng,
    /// What an ISP is like when all is well.
    well: Profile,
}

impl Trouble {
    pub(super) fn new(seed: u64, well: Profile) -> Self {
        Self { rng: SmallRng::seed_from_u64(seed), well }
    }

    /// Makes trouble for about `time`; returns how many failures that were. All is well afterwards.
    pub(super) async fn reign(&mut self, pair: &ProgramPair, time: Duration) -> Outcome<u64> {
        let begun = Instant::now();
        let mut number = 0;
        while begun.elapsed() < time {
            let (kind, least, most) = KINDS[self.rng.random_range(0..KINDS.len())];
            let most = most.min(time.as_millis() as u64).max(least + 1);
            let length = Duration::from_millis(self.rng.random_range(least..most));
            if std::env::var_os("THROUGHLINE_SOAK_TRACE").is_some() {
                println!("    {} {kind:?} for {length:?}", clock());
            }
            self.strike(pair, kind, length).await?;
            number += 1;
            sleep(Duration::from_millis(self.rng.random_range(200..4_000))).await;
        }
        Ok(number)
    }

    async fn strike(&mut self, pair: &ProgramPair, kind: Kind, length: Duration) -> Outcome {
        let isps = pair.isps();
        let isp = &isps[self.rng.random_range(0..isps.len())];
        let way = [Way::Both, Way::Both, Way::Up, Way::Down][self.rng.random_range(0..4)];
        match kind {
            Kind::Silent => silence(&[isp], way, length).await,
            Kind::AllSilent => silence(&[&isps[0], &isps[1]], Way::Both, length).await,
            Kind::Lossy => {
                let loss = self.rng.random_range(0.01..0.3);
                self.change(isp, way, length, |profile| profile.loss = Loss::Random(loss)).await;
            }
            Kind::Slow => {
                let slow = |profile: &mut Profile| profile.rate = Rate::from_bits(1_000_000);
                self.change(isp, way, length, slow).await;
            }
            Kind::Far => self.change(isp, way, length, |profile| profile.delay = FAR).await,
            Kind::SmallMtu => {
                self.change(isp, way, length, |profile| profile.mtu = Some(1300)).await;
            }
            Kind::Drained => {
                let socket = socket(pair, "near");
                match change_uplink(&socket, isp.name(), UplinkChange::Drain).await {
                    // One that nothing else can take over stays in use.
                    Ok(_) | Err(AdminError::Refused(_)) => sleep(length).await,
                    Err(error) => return Err(error.into()),
                }
                change_uplink(&socket, isp.name(), UplinkChange::Resume).await?;
            }
            Kind::Stopped => {
                let daemon = if self.rng.random() { &pair.near } else { &pair.far };
                daemon.signal("STOP")?;
                sleep(length).await;
                daemon.signal("CONT")?;
            }
        }
        Ok(())
    }

    /// Changes what an ISP is like for a while.
    async fn change(
        &self,
        isp: &IspHandle,
        way: Way,
        length: Duration,
        change: impl Fn(&mut Profile),
    ) {
        isp.change(way, change);
        sleep(length).await;
        isp.change(Way::Both, |profile| *profile = self.well.clone());
    }
}

async fn silence(isps: &[&IspHandle], way: Way, length: Duration) {
    isps.iter().for_each(|isp| isp.blackhole(way));
    sleep(length).await;
    isps.iter().for_each(|isp| isp.heal(way));
}
