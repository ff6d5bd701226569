//! `throughline demo`: shows sessions surviving the failure of either ISP, in half a minute, without
//! root, configuration or a second machine.
//!
//! Only the internet is emulated, by the [emulator](throughline_emulator) on loopback. The two
//! daemons are real and start from configuration files, as with `throughline run`; so are the HTTP
//! origin, the clients through SOCKS5, and the TCP and UDP sockets. The figures are measured, and
//! every byte is checked at its receiver.
//!
//! A run follows a `script`: the clients work, the ISPs fail and recover, a `view` shows it, and a
//! `report` judges it.

mod args;
mod client;
mod flow;
mod lateness;
mod meter;
mod origin;
mod paint;
mod pair;
mod payload;
mod report;
mod scene;
mod script;
mod text;
mod view;

#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

pub use self::args::DemoArgs;
use crate::catalogue::Code;
use client::{Client, Connector};
use flow::{Clock, Ending, Flows};
use lateness::Lateness;
use origin::{Origin, OriginPlan};
use pair::{Pair, PairOptions};
use report::Report;
use scene::Scene;
use script::{Isp, Script};
use text::{print_line, reader_gone};
use throughline_emulator::{Emulator, Profile, Queue, Way};
use view::Screen;

/// Bounds the time that flows have to finish after the end of the run.
///
/// The bytes buffered between sender and receiver drain in well under a second, and the demo stays
/// under half a minute.
const FINISH_TIMEOUT: Duration = Duration::from_secs(4);
/// The exit status of a program ended by Ctrl-C: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// Runs the demo and returns its exit status.
///
/// It is 1 if a byte is wrong, a flow through Throughline died, or the demo could not be set up; 130
/// after Ctrl-C; else 0.
pub async fn run(args: DemoArgs) -> ExitCode {
    let screen = Screen::choose(&args);
    let played = tokio::select! {
        played = Box::pin(play(&args, screen, pair::start)) => played,
        () = reader_gone() => return ExitCode::SUCCESS,
        _ = tokio::signal::ctrl_c() => {
            eprintln!("\nThe demo was interrupted.");
            return ExitCode::from(INTERRUPTED);
        }
    };
    match played {
        Ok(report) => {
            if args.json {
                print_line(report.json());
            } else {
                print_line(format_args!("\n{}", report.table(screen.paint())));
            }
            ExitCode::from(u8::from(!report.ok))
        }
        Err(error) => {
            let code = Code::SystemRefuses;
            eprintln!(
                "error: The demo could not be set up: {error}.\nMore: `throughline explain {code}`."
            );
            ExitCode::FAILURE
        }
    }
}

/// Plays the script with the daemons that `start` starts.
async fn play<S>(args: &DemoArgs, screen: Screen, start: S) -> Result<Report, String>
where
    S: AsyncFnOnce(PairOptions<'_>) -> Result<Pair, String>,
{
    let internet = internet(args)?;
    let pair = start(PairOptions { internet: &internet, mode: args.mode }).await?;

    let (clock, stop) = (Clock::start(), Arc::new(AtomicBool::new(false)));
    let lateness = Lateness::watch();
    let flows = flow::flows();
    let upload = Arc::clone(&flows[1]);
    let plan = OriginPlan { seed: args.seed, stop: Arc::clone(&stop), upload, clock };
    let origin = Origin::start(plan).await.map_err(|error| format!("the origin: {error}"))?;
    let tcp = internet
        .tcp(([127, 0, 0, 1], 0).into(), origin.echo, Isp::A.name())
        .map_err(|error| error.to_string())?;
    let client = Client { seed: args.seed, clock, stop: Arc::clone(&stop) };
    let through = |server| Connector::Socks { proxy: pair.socks, server };

    let mut clients = JoinSet::new();
    let [download, upload, echo, tcp_echo] = flows.each_ref().map(Arc::clone);
    clients.spawn(client.clone().download(through(origin.http), download));
    clients.spawn(client.clone().upload(through(origin.http), upload));
    clients.spawn(client.clone().echo(through(origin.echo), echo));
    clients.spawn(client.echo(Connector::Direct(tcp), tcp_echo));

    let scene = Scene {
        title: title(args),
        script: Script::new(args.length),
        flows,
        clock,
        rate: args.rate * 1_000_000,
    };
    tokio::join!(run_script(&scene.script, &internet, clock), screen.show(&scene));

    stop.store(true, Ordering::Relaxed);
    finish(clients, &scene.flows).await;
    let report = Report::new(&scene.script, &scene.flows, clock.now(), lateness.worst());
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

/// Makes the ISPs fail and recover as the script says.
async fn run_script(script: &Script, internet: &Emulator, clock: Clock) {
    for (at, isp, fails) in script.changes() {
        clock.until(at).await;
        let isp = internet.isp(isp.name());
        if fails { isp.blackhole(Way::Both) } else { isp.heal(Way::Both) }
    }
}

/// Waits for the clients to finish; a flow that does not is recorded as dead.
async fn finish(mut clients: JoinSet<()>, flows: &Flows) {
    let _ = timeout(FINISH_TIMEOUT, async { while clients.join_next().await.is_some() {} }).await;
    for flow in flows {
        flow.end(Ending::Died(format!(
            "not finished {} s after the run",
            FINISH_TIMEOUT.as_secs()
        )));
    }
}

fn title(args: &DemoArgs) -> String {
    let DemoArgs { rate, rtt, queue, mode, .. } = args;
    format!("two ISPs of {rate} Mbit/s and {rtt} ms, queue {queue} ms; mode {mode}")
}
