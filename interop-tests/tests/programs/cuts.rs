//! Random cuts: one ISP at a time is dead for a while.

use std::time::Duration;

use interop_tests::support::clock;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use throughline_emulator::{IspHandle, Way};
use tokio::task::JoinHandle;

/// Cuts until it is dropped; the seed says when and which.
pub(crate) struct Cuts(JoinHandle<()>);

impl Cuts {
    /// Silences one of the ISPs every 1 to 3 s, for 0.3 to 1 s, either way or both.
    pub(crate) fn begin(isps: [IspHandle; 2], seed: u64) -> Self {
        println!("    cuts with seed {seed}");
        Self(tokio::spawn(async move {
            let mut rng = SmallRng::seed_from_u64(seed);
            loop {
                let pause = Duration::from_millis(rng.random_range(1000..3000));
                let length = Duration::from_millis(rng.random_range(300..1000));
                let isp = &isps[rng.random_range(0..2)];
                let way = [Way::Both, Way::Both, Way::Up, Way::Down][rng.random_range(0..4)];
                println!("    {} {} is cut ({way:?}) for {length:?}", clock(), isp.name());
                isp.blackhole(way);
                tokio::time::sleep(length).await;
                isp.heal(way);
                tokio::time::sleep(pause - length.min(pause)).await;
            }
        }))
    }
}

impl Drop for Cuts {
    fn drop(&mut self) {
        self.0.abort();
    }
}
