//! Runs two daemons for hours under all failures, and says whether they hold more at the end than at the
//! beginning.
//!
//! ```console
//! cargo run --release -p interop-tests --bin soak -- --minutes 240 --seed 1
//! ```
//!
//! Every byte is compared. Exit status 1 if one was wrong, a connection broke or stood still, or memory,
//! descriptors, threads, tasks or flows grew. `THROUGHLINE_SOAK_TRACE=1` prints each failure.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use interop_tests::soak::{self, Soak};
use interop_tests::support::Outcome;

#[derive(Parser)]
struct Args {
    /// For how many minutes there is trouble.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The minutes between two rests, at which is counted what the daemons hold.
    #[arg(long, default_value_t = 5)]
    rest_every: u64,
    /// Decides when what fails.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The rate of either ISP, in Mbit/s.
    #[arg(long, default_value_t = 20)]
    rate: u64,
    /// Connections that live as long as the soak.
    #[arg(long, default_value_t = 100)]
    lasting: usize,
    /// Connections that come and go, at a time.
    #[arg(long, default_value_t = 10)]
    passing: usize,
}

#[tokio::main]
async fn main() -> Outcome<ExitCode> {
    let args = Args::parse();
    let soak = Soak {
        time: Duration::from_secs(60 * args.minutes),
        rest_every: Duration::from_secs(60 * args.rest_every),
        settle: Duration::from_secs(20),
        rate: 1_000_000 * args.rate,
        seed: args.seed,
        lasting: args.lasting,
        passing: args.passing,
    };
    let report = soak::run(&soak, |at, [near, far]| {
        println!("{:5.1} min  near: {near}", at.as_secs_f64() / 60.0);
        println!("           far:  {far}");
    })
    .await?;
    println!("{:#?}", report.counts);
    let growth = report.growth();
    growth.iter().for_each(|what| println!("GROWN: {what}"));
    report.faults.iter().for_each(|what| println!("FAULT: {what}"));
    Ok(if growth.is_empty() && report.faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
