//! Measures scale: many flows over one session, many peers of one daemon, many opens a second, all flows
//! moved at once, bulk beside raw quinn, `ssh -L` and stunnel, datagrams beside plain UDP, interception beside a
//! forward, and what watching costs. docs/PERFORMANCE.md has the figures.
//!
//! ```console
//! cargo run --release -p interop-tests --bin scale -- flows 10000
//! cargo run --release -p interop-tests --bin scale -- flows 20000 --linked
//! cargo run --release -p interop-tests --bin scale -- peers 1000
//! cargo run --release -p interop-tests --bin scale -- opens --rate 5000
//! cargo run --release -p interop-tests --bin scale -- failover --flows 1,10000
//! cargo run --release -p interop-tests --bin scale -- speed --rounds 3 --mtu 1500
//! cargo run --release -p interop-tests --bin scale -- datagrams
//! cargo run --release -p interop-tests --bin scale -- links
//! cargo run --release -p interop-tests --bin scale -- interception
//! cargo run --release -p interop-tests --bin scale -- watch 1000
//! ```
//!
//! Daemons and the destination are processes of their own: this program, started again.

mod datagrams;
mod failover;
mod flows;
mod interception;
mod linked;
mod links;
mod mtu;
mod opens;
mod pair;
mod peers;
mod plot;
mod process;
mod quinn_raw;
mod route;
mod speed;
mod tunnels;
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use interop_tests::support::Outcome;

#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Scale,
}

#[derive(Subcommand)]
enum Scale {
    /// Memory and CPU of many idle flows over one session, and whether all of them live.
    Flows(flows::Options),
    /// Memory and CPU of a daemon with many idle peers of two lanes each.
    Peers(peers::Options),
    /// Flows that are opened, used once and closed: how many a second, how long each takes.
    Opens(opens::Options),
    /// How long messages of many flows wait when their ISP dies, beside those of one flow.
    Failover(failover::Options),
    /// Bulk on loopback by number of flows, beside other tunnels in the same round.
    Speed(speed::Options),
    /// Datagram flows on loopback, beside plain UDP: goodput, what a flood does to another flow, many short flows.
    Datagrams(datagrams::Options),
    /// Datagrams over links of the lab, beside plain UDP: their loss at a part of the link's rate, and a flood.
    Links(links::Options),
    /// What interception costs beside a forward, and what is left alone beside a host without Throughline.
    Interception(interception::Options),
    /// What `/metrics`, the status page and `top` cost with many flows.
    Watch(watch::Options),
    /// The destination of the flows.
    #[command(hide = true)]
    Origin,
    /// The far end of flows between linked nodes.
    #[command(hide = true)]
    Linked { peer: throughline::PeerId, flows: usize },
}

fn main() -> ExitCode {
    // A daemon of a measurement is the real program.
    if std::env::args().nth(1).is_some_and(|first| ["run", "top"].contains(&first.as_str())) {
        return throughline_daemon::cli::main();
    }
    let outcome = tokio::runtime::Runtime::new()
        .map_err(Into::into)
        .and_then(|runtime| runtime.block_on(measure(Args::parse().command)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(command: Scale) -> Outcome {
    match command {
        Scale::Flows(options) if options.linked => linked::measure(&options).await,
        Scale::Flows(options) => flows::measure(&options).await,
        Scale::Peers(options) => peers::measure(&options).await,
        Scale::Opens(options) => opens::measure(&options).await,
        Scale::Failover(options) => failover::measure(&options).await,
        Scale::Speed(options) => speed::measure(&options).await,
        Scale::Datagrams(options) => datagrams::measure(&options),
        Scale::Links(options) => links::measure(&options).await,
        Scale::Interception(options) => interception::measure(&options).await,
        Scale::Watch(options) => watch::measure(&options).await,
        Scale::Origin => pair::serve_origin().await,
        Scale::Linked { peer, flows } => linked::serve(peer, flows).await,
    }
}
