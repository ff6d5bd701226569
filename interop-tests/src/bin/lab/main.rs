//! Runs scenarios in the lab and says what the flows saw: a line of Markdown or JSON for each run,
//! and the medians.
//!
//! ```console
//! cargo run --release -p interop-tests --bin lab -- run blackhole --mode auto --runs 10
//! cargo run --release -p interop-tests --bin lab -- field radio --traces DOWN,UP
//! cargo run --release -p interop-tests --bin lab -- list
//! ```

mod internet;
mod output;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use interop_tests::field;
use interop_tests::lab::failure::Failure;
use interop_tests::lab::flow::{Flows, Kind};
use interop_tests::lab::scenario::{FINISH_TIMEOUT, Scenario, System};
use interop_tests::lab::{Side, enter};
use interop_tests::support::Outcome;

use internet::Internet;

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
    Run(Box<Run>),
    /// Makes tables of what applications get on links as they are in the field: radio, other
    /// people's traffic, long and lossy links, outages.
    Field(Box<field::Options>),
}

#[derive(clap::Args)]
struct Run {
    /// Failures, as `list` names them.
    #[arg(required = true)]
    failures: Vec<Failure>,
    /// What carries the flows: a mode of Throughline (`single`, `auto`, …), `tcp`, `tcp-cubic`,
    /// `tcp-bbr`, `tcp-reno` or `mptcp`.
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
    #[command(flatten)]
    internet: Internet,
    /// One line of JSON for each run.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum End {
    Client,
    Server,
}

fn main() -> Outcome<ExitCode> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match args.command {
        LabCommand::List => {
            Failure::ALL.iter().for_each(|failure| println!("{failure}"));
            Ok(ExitCode::SUCCESS)
        }
        LabCommand::Run(run) => {
            // What cannot be is said before anything is made.
            run.internet.shape()?;
            enter::enter()?;
            runtime.block_on(enter::until_signal(all(&run)))
        }
        LabCommand::Field(options) => {
            options.check()?;
            enter::enter()?;
            runtime.block_on(enter::until_signal(in_the_field(&options)))
        }
    }
}

/// Makes tables; fails where a run could not be made or a byte was wrong.
async fn in_the_field(options: &field::Options) -> Outcome<ExitCode> {
    let tables = field::make(options).await?;
    let right = tables.iter().all(field::Table::is_sound);
    Ok(if right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
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
        shape: run.internet.shape()?,
        system,
        failure,
        side: match side {
            End::Client => Side::Client,
            End::Server => Side::Server,
        },
        flows: flows.to_vec(),
        competition: run.internet.competition(),
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
