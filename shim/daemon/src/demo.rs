//! `throughline demo`: see sessions survive the death of either ISP, in half a minute, without
//! root, configuration or a second machine.
//!
//! Everything in it is real but the internet: two daemons started from configuration files as
//! `throughline run` does, an HTTP origin, clients through SOCKS5, and TCP and UDP sockets. The
//! internet is the [emulator](throughline_emulator) on loopback. What is shown is what was measured;
//! the bytes are checked at their receiver.
//!
//! A run follows a script: the clients work, the conductor kills and revives the ISPs, a view
//! shows it, a report judges it.

mod client;
mod flow;
mod meter;
mod origin;
mod pair;
mod payload;
mod report;
mod script;
mod view;

#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;
use tokio::time::timeout;

use client::{Client, Route};
use flow::{Clock, Ending, Flows};
use origin::{Origin, OriginPlan};
use pair::{Pair, Plan};
use report::Report;
use script::{Isp, Script};
use throughline::Mode;
use throughline_emulator::{Emulator, Profile, Queue, Way};
use view::{Scene, Screen};

/// After the end of the run the flows have this long to finish: what is buffered between sender
/// and receiver drains in well under a second, and the demo stays under half a minute.
const GRACE: Duration = Duration::from_secs(4);
/// The exit status of a program ended by Ctrl-C: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// See sessions survive the death of either ISP.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// The rate of each ISP, each way, in Mbit/s.
    #[arg(long, default_value_t = 200, value_name = "MBIT/S",
          value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub rate: u64,
    /// The round-trip time, in ms.
    #[arg(long, default_value_t = 20, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub rtt: u64,
    /// How much an ISP's queue holds, in ms at its rate.
    #[arg(long, default_value_t = 50, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(1..=5000))]
    pub queue: u64,
    /// The length of the run, in seconds.
    #[arg(long, default_value = "22", value_name = "SECONDS", value_parser = parse_length)]
    pub length: Duration,
    /// How flows use the two ISPs: auto, single, bond or redundant.
    #[arg(long, default_value_t = Mode::Auto)]
    pub mode: Mode,
    /// Print one JSON object at the end and nothing else.
    #[arg(long)]
    pub json: bool,
    /// Print plain lines even in a terminal.
    #[arg(long)]
    pub plain: bool,
    /// The seed of everything random.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

fn parse_length(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        // Shorter than 2 s leaves no failure longer than a retransmission timeout.
        Ok(seconds) if (2.0..=600.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("`{text}` is not a length; use a number of seconds from 2 to 600")),
    }
}

/// Runs the demo. The exit status is 1 if a byte is wrong or a flow through Throughline died, or
/// the demo could not be set up; 130 after Ctrl-C; else 0.
pub async fn run(args: DemoArgs) -> ExitCode {
    let screen = Screen::choose(&args);
    let played = tokio::select! {
        played = Box::pin(play(&args, screen, pair::start)) => played,
        _ = tokio::signal::ctrl_c() => {
            eprintln!("\ninterrupted");
            return ExitCode::from(INTERRUPTED);
        }
    };
    match played {
        Ok(report) => {
            if args.json {
                println!("{}", report.json());
            } else {
                println!("\n{}", report.table(screen.paint()));
            }
            ExitCode::from(u8::from(!report.ok))
        }
        Err(error) => {
            eprintln!("the demo could not be set up: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Plays the script with the daemons that `start` starts.
async fn play<S>(args: &DemoArgs, screen: Screen, start: S) -> Result<Report, String>
where
    S: AsyncFnOnce(Plan<'_>) -> Result<Pair, String>,
{
    let internet = internet(args)?;
    let pair = start(Plan { internet: &internet, mode: args.mode }).await?;

    let (clock, stop) = (Clock::start(), Arc::new(AtomicBool::new(false)));
    let flows = flow::flows();
    let upload = Arc::clone(&flows[1]);
    let plan = OriginPlan { seed: args.seed, stop: Arc::clone(&stop), upload, clock };
    let origin = Origin::start(plan).await.map_err(|error| format!("the origin: {error}"))?;
    let tcp = internet
        .tcp(([127, 0, 0, 1], 0).into(), origin.echo, Isp::A.name())
        .map_err(|error| error.to_string())?;
    let client = Client { seed: args.seed, clock, stop: Arc::clone(&stop) };
    let through = |server| Route::Socks { proxy: pair.socks, server };

    let mut clients = JoinSet::new();
    let [download, upload, echo, tcp_echo] = flows.each_ref().map(Arc::clone);
    clients.spawn(client.clone().download(through(origin.http), download));
    clients.spawn(client.clone().upload(through(origin.http), upload));
    clients.spawn(client.clone().echo(through(origin.echo), echo));
    clients.spawn(client.echo(Route::Direct(tcp), tcp_echo));

    let scene = Scene {
        title: title(args),
        script: Script::new(args.length),
        flows,
        clock,
        rate: args.rate * 1_000_000,
    };
    tokio::join!(conduct(&scene.script, &internet, clock), screen.show(&scene));

    stop.store(true, Ordering::Relaxed);
    finish(clients, &scene.flows).await;
    let report = Report::new(&scene.script, &scene.flows, clock.now());
    pair.stop.await;
    Ok(report)
}

/// The two ISPs.
fn internet(args: &DemoArgs) -> Result<Emulator, String> {
    let profile = Profile::new(args.rate * 1_000_000, Duration::from_millis(args.rtt) / 2)
        .queue(Queue::Time(Duration::from_millis(args.queue)));
    let mut builder = Emulator::builder().seed(args.seed);
    for isp in Isp::BOTH {
        builder = builder.isp(isp.name(), &profile).client(
            isp.name(),
            pair::client_addr(isp),
            pair::seen_as(isp),
        );
    }
    builder.start().map_err(|error| error.to_string())
}

/// Kills and revives the ISPs.
async fn conduct(script: &Script, internet: &Emulator, clock: Clock) {
    for (at, isp, dies) in script.changes() {
        clock.until(at).await;
        let isp = internet.isp(isp.name());
        if dies { isp.blackhole(Way::Both) } else { isp.heal(Way::Both) }
    }
}

/// Waits for the clients to finish in good order; who does not is dead.
async fn finish(mut clients: JoinSet<()>, flows: &Flows) {
    let _ = timeout(GRACE, async { while clients.join_next().await.is_some() {} }).await;
    for flow in flows {
        flow.end(Ending::Died(format!("not finished {} s after the run", GRACE.as_secs())));
    }
}

fn title(args: &DemoArgs) -> String {
    let DemoArgs { rate, rtt, queue, mode, .. } = args;
    format!("two ISPs of {rate} Mbit/s and {rtt} ms, queue {queue} ms; mode {mode}")
}
