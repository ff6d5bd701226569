//! Runs scenarios in the lab and says what the flows saw: a line of Markdown or JSON for each run,
//! and the medians.
//!
//! ```console
//! cargo run --release -p interop-tests --bin lab -- run blackhole --mode auto --runs 10
//! cargo run --release -p interop-tests --bin lab -- list
//! ```

mod output;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use interop_tests::lab::bgp::Bgp;
use interop_tests::lab::failure::Failure;
use interop_tests::lab::flow::{Flows, Kind};
use interop_tests::lab::plan::Family;
use interop_tests::lab::scenario::{FINISH_TIMEOUT, Scenario, System};
use interop_tests::lab::{Shape, Side, enter};
use interop_tests::support::Outcome;

/// An internet of ISPs in network namespaces, and what survives in it.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Subcommand)]
enum LabCommand {
    /// Lists the failures.
    List,
    /// Runs a failure.
    Run(Run),
}

#[derive(clap::Args)]
struct Run {
    /// Failures, as `list` names them.
    #[arg(required = true)]
    failures: Vec<Failure>,
    /// LabCommand carries the flows: a mode of Throughline (`single`, `auto`, …), `tcp` or `mptcp`.
    #[arg(long = "mode", value_delimiter = ',', default_value = "single,auto")]
    modes: Vec<System>,
    /// Flows: several with `+` run at once, several with `,` one after the other.
    #[arg(long, value_delimiter = ',', default_value = "echo,download,upload")]
    flows: Vec<Flows>,
    /// Whose ISP fails.
    #[arg(long, value_delimiter = ',', default_value = "client")]
    side: Vec<End>,
    /// How often.
    #[arg(long, default_value_t = 1)]
    runs: usize,
    /// Do not count runs in which the machine itself was later than this, in milliseconds, but
    /// repeat them; at most five times as many runs in all.
    #[arg(long)]
    believe: Option<u64>,
    /// Which addresses there are.
    #[arg(long, value_enum, default_value = "v4")]
    family: Addresses,
    /// Mbit/s of each ISP.
    #[arg(long, default_value_t = 200)]
    rate: u64,
    /// Round trip between the sites, in milliseconds.
    #[arg(long, default_value_t = 20)]
    rtt: u64,
    /// LabCommand each ISP queues, in milliseconds.
    #[arg(long, default_value_t = 50)]
    queue: u64,
    /// The client's site announces a prefix of its own by BGP with this hold time in seconds.
    #[arg(long)]
    bgp: Option<u64>,
    /// BGP with bidirectional forwarding detection.
    #[arg(long, requires = "bgp")]
    bfd: bool,
    /// One line of JSON for each run.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum End {
    Client,
    Server,
}

#[derive(Clone, Copy, ValueEnum)]
enum Addresses {
    V4,
    V6,
    Both,
}

fn main() -> Outcome<ExitCode> {
    let args = Args::parse();
    let LabCommand::Run(run) = args.command else {
        Failure::ALL.iter().for_each(|failure| println!("{failure}"));
        return Ok(ExitCode::SUCCESS);
    };
    enter::enter()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(enter::until_signal(all(&run)))
}

/// Returns every combination that was asked for.
async fn all(run: &Run) -> Outcome<ExitCode> {
    let mut right = true;
    if !run.json {
        output::head();
    }
    for failure in &run.failures {
        for system in &run.modes {
            for side in &run.side {
                for Flows(flows) in &run.flows {
                    right &= one(run, *failure, *system, *side, flows).await?;
                }
            }
        }
    }
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One combination, as often as was asked for; whether every byte was right.
async fn one(
    run: &Run,
    failure: Failure,
    system: System,
    side: End,
    flows: &[Kind],
) -> Outcome<bool> {
    let milliseconds = Duration::from_millis;
    let scenario = Scenario {
        shape: Shape {
            rate: run.rate * 1_000_000,
            rtt: milliseconds(run.rtt),
            queue: milliseconds(run.queue),
            family: match run.family {
                Addresses::V4 => Family::V4,
                Addresses::V6 => Family::V6,
                Addresses::Both => Family::Both,
            },
            bgp: run.bgp.map(|hold| Bgp { hold: Duration::from_secs(hold), bfd: run.bfd }),
            ..Shape::default()
        },
        system,
        failure,
        side: match side {
            End::Client => Side::Client,
            End::Server => Side::Server,
        },
        flows: flows.to_vec(),
        finish_timeout: FINISH_TIMEOUT,
    };
    let (mut all, mut right) = (Vec::new(), true);
    for _ in 0..run.runs * if run.believe.is_some() { 5 } else { 1 } {
        let seen = scenario.run().await?;
        right &= seen.flows.iter().all(|flow| flow.end.is_ok());
        if run.json {
            println!("{}", output::json(&scenario, &seen));
        } else {
            output::rows(&scenario, &seen);
        }
        if run.believe.is_none_or(|limit| seen.machine <= milliseconds(limit)) {
            all.push(seen);
        }
        if all.len() == run.runs {
            break;
        }
    }
    if all.len() > 1 && !run.json {
        output::medians(&scenario, &all);
    }
    Ok(right)
}
