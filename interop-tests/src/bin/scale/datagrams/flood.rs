//! What a flood on one flow does to the datagrams of another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use interop_tests::support::Outcome;

use super::setup::{Options, WARM_UP, bind, forward, plain, spread};
use super::traffic::{self, Ends, Trips};
use crate::pair::Pair;
use crate::process::quantile;

/// How often the sparse flow sends, unless it is to be another one.
pub(crate) const SPARSE_INTERVAL: Duration = Duration::from_millis(5);

pub(super) fn measure(options: &Options) -> Outcome {
    println!("a sparse flow alone, and beside a flood of {} Gbit/s on another", options.flood);
    let mut added: [Vec<f64>; 2] = Default::default();
    for round in 1..=options.rounds {
        let (sparse, thick) = (bind()?, bind()?);
        let tables =
            forward("sparse", sparse.local_addr()?) + &forward("thick", thick.local_addr()?);
        let pair = Pair::start_with(0, "", &tables)?;
        let ours = [
            Ends::connect(bind()?, pair.ingress_named("sparse")?, sparse)?,
            Ends::connect(bind()?, pair.ingress_named("thick")?, thick)?,
        ];
        let systems = [("plain", [plain()?, plain()?]), ("throughline", ours)];
        for ((name, ends), added) in systems.iter().zip(&mut added) {
            let span = Duration::from_secs(options.seconds);
            let beside = Beside::measure(ends, SPARSE_INTERVAL, options.flood * 1e9, span)?;
            println!("round {round} {name}: {beside}");
            added.push(beside.added_ms());
        }
    }
    for (name, list) in ["plain", "throughline"].into_iter().zip(&mut added) {
        println!("{name}: the flood adds to the p99, ms: {}", spread(list));
    }
    Ok(())
}

/// How a sparse flow fared alone, and beside a flood.
pub(crate) struct Beside {
    alone: Trips,
    flooded: Trips,
    /// Bit/s of the flood, as offered and as received.
    flood: [f64; 2],
}

impl Beside {
    /// Measures the first of two flows, with a flood on the other.
    pub(crate) fn measure(
        [sparse, thick]: &[Ends; 2],
        every: Duration,
        rate: f64,
        span: Duration,
    ) -> Outcome<Self> {
        let alone = traffic::trips(sparse, every, span)?;
        let over = AtomicBool::new(false);
        let (flooded, counts) = thread::scope(|scope| {
            let taking = scope.spawn(|| traffic::drain(&thick.server, &over));
            let sending = scope.spawn(|| traffic::flood(&thick.client, rate, &over));
            thread::sleep(WARM_UP);
            let flooded = traffic::trips(sparse, every, span);
            over.store(true, Ordering::Relaxed);
            let took = (span + WARM_UP + traffic::SILENCE).as_secs_f64();
            let counts = [sending.join(), taking.join()].map(|count| count.unwrap_or_default());
            Outcome::Ok((flooded?, counts.map(|count| count as f64 * traffic::BITS / took)))
        })?;
        Ok(Self { alone, flooded, flood: counts })
    }

    /// Returns what the flood adds to the p99, in milliseconds.
    pub(crate) fn added_ms(&self) -> f64 {
        let p99 = |trips: &Trips| quantile(&trips.delays, 0.99).as_secs_f64() * 1e3;
        p99(&self.flooded) - p99(&self.alone)
    }
}

impl std::fmt::Display for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, Trips { delays, sent }) in [("alone", &self.alone), ("beside", &self.flooded)] {
            let [p50, p99] = [0.5, 0.99].map(|part| quantile(delays, part));
            let got = delays.len();
            write!(f, "{name} p50 {p50:.1?}, p99 {p99:.1?}, {got} of {sent}; ")?;
        }
        let [offered, received] = self.flood.map(|rate| rate / 1e9);
        write!(f, "flood {offered:.3} → {received:.3} Gbit/s")
    }
}
