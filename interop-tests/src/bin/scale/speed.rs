//! Bulk on loopback by number of flows, beside raw quinn and other tunnels in the same round.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use interop_tests::support::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::pair::{SEND, TAKE};
use super::plot::Plot;
use super::quinn_raw::{self, WARM_UP};
use super::route::Route;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Numbers of flows.
    #[arg(long, value_delimiter = ',', default_value = "1,10,100")]
    flows: Vec<usize>,
    /// What is measured: `throughline`, `quinn`, `ssh`, `stunnel`, and `tcp` without anything between.
    #[arg(long, value_delimiter = ',', default_value = "throughline,quinn,ssh,stunnel,tcp")]
    systems: Vec<String>,
    /// Writes the medians as bars into this file (SVG).
    #[arg(long)]
    plot: Option<PathBuf>,
    /// What raw quinn's packets may have; without it quinn's own 1452.
    #[arg(long)]
    quinn_mtu: Option<u16>,
    /// The loopback interface's MTU: that of a network namespace in which everything is measured. Without it the
    /// machine's own, usually 65536.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1280..=65536))]
    mtu: Option<u32>,
}

/// Everything is through when nothing arrives for so long and the daemons have next to nothing to do.
const QUIET_TIME: Duration = Duration::from_millis(300);
const MAX_QUIET_WAITS: u32 = 100;

/// The bytes that each flow of a measurement has received.
type Counts = Vec<Arc<AtomicU64>>;

pub(crate) async fn measure(options: &Options) -> Outcome {
    options.mtu.map_or(Ok(()), super::mtu::enter)?;
    let span = Duration::from_secs(options.seconds);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let target = listener.local_addr()?;
    let taken = Arc::new(AtomicU64::new(0));
    tokio::spawn(serve(listener, taken.clone()));
    println!("Gbit/s up / down; fairness is the slowest flow's share of the mean");
    let mut plot = Plot::default();
    for round in 1..=options.rounds {
        for system in &options.systems {
            if system == "quinn" {
                let rate = quinn_raw::rate(span, options.quinn_mtu).await?;
                let rate = rate * 8.0 / 1e9;
                plot.add("raw quinn", 1, [rate, rate]);
                println!("round {round} {system}: {rate:.2}");
                continue;
            }
            // Each system is started anew and ends with its round. Ours has one lane as the others have one
            // connection: a second one, over a network card's address, would cost more for each byte.
            let Some(route) = Route::start(system, target, 1).await? else {
                println!("round {round} {system}: not installed");
                continue;
            };
            for flows in &options.flows {
                let (cpu, ingress) = (route.cpu()?, route.ingress()?);
                let up = upload(ingress, *flows, span, &taken).await?;
                let uploaded = route.cpu()?;
                settle(&route, &taken).await?;
                let between = route.cpu()?;
                let (down, fairness) = download(ingress, *flows, span).await?;
                let downloaded = route.cpu()?;
                settle(&route, &taken).await?;
                let costs = [uploaded - cpu, downloaded - between].map(|cpu| cpu.as_secs_f64());
                // Plain TCP would make the others' bars short.
                if system != "tcp" {
                    plot.add(system, *flows, [up, down]);
                }
                let cost = costs_of(&route, costs, [up, down], span);
                println!(
                    "round {round} {system}, {flows} flows: {up:.2} / {down:.2}, fairness {fairness:.2}{cost}"
                );
            }
        }
    }
    plot.print_summary();
    options.plot.as_deref().map_or(Ok(()), |file| plot.write(file))
}

/// Returns what a gigabyte cost each way in CPU time; nothing of others, whose processes are not counted.
fn costs_of(route: &Route, cpu: [f64; 2], rates: [f64; 2], span: Duration) -> String {
    let Route::Throughline(_) = route else { return String::new() };
    let bytes = |rate: f64| rate / 8.0 * (span + WARM_UP).as_secs_f64();
    format!(", CPU s/GB {:.2} / {:.2}", cpu[0] / bytes(rates[0]), cpu[1] / bytes(rates[1]))
}

/// Waits until what a measurement left under way is through: of each of a hundred uploads that end some megabytes are
/// still in sockets and buffers, and would be counted against the next measurement.
async fn settle(route: &Route, taken: &AtomicU64) -> Outcome {
    let seen = || -> Outcome<(u64, Duration)> { Ok((taken.load(Ordering::Relaxed), route.cpu()?)) };
    let mut before = seen()?;
    for _ in 0..MAX_QUIET_WAITS {
        tokio::time::sleep(QUIET_TIME).await;
        let now = seen()?;
        if now.0 == before.0 && now.1 - before.1 < QUIET_TIME / 5 {
            return Ok(());
        }
        before = now;
    }
    Err("what was sent is still on its way after 30 s".into())
}

/// The destination: sends or takes bytes as it is asked.
async fn serve(listener: TcpListener, taken: Arc<AtomicU64>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let taken = taken.clone();
        tokio::spawn(async move {
            match stream.read_u8().await {
                Ok(SEND) => send(stream).await,
                Ok(TAKE) => take(stream, &taken).await,
                _ => {}
            }
        });
    }
}

async fn send(mut stream: TcpStream) {
    let block = vec![7; 256 << 10];
    while stream.write_all(&block).await.is_ok() {}
}

async fn take(mut stream: TcpStream, taken: &AtomicU64) {
    let mut block = vec![0; 256 << 10];
    while let Ok(read @ 1..) = stream.read(&mut block).await {
        taken.fetch_add(read as u64, Ordering::Relaxed);
    }
}

/// Returns the rate of uploads in Gbit/s, as the destination sees it.
async fn upload(
    ingress: SocketAddr,
    flows: usize,
    span: Duration,
    taken: &AtomicU64,
) -> Outcome<f64> {
    let mut tasks = JoinSet::new();
    for _ in 0..flows {
        let mut stream = TcpStream::connect(ingress).await?;
        stream.write_all(&[TAKE]).await?;
        tasks.spawn(send(stream));
    }
    tokio::time::sleep(WARM_UP).await;
    let (before, since) = (taken.load(Ordering::Relaxed), std::time::Instant::now());
    tokio::time::sleep(span).await;
    let bytes = taken.load(Ordering::Relaxed) - before;
    Ok(bytes as f64 * 8.0 / since.elapsed().as_secs_f64() / 1e9)
}

/// Returns the rate of downloads in Gbit/s, and the slowest flow's share of the mean.
async fn download(ingress: SocketAddr, flows: usize, span: Duration) -> Outcome<(f64, f64)> {
    let counts: Counts = (0..flows).map(|_| Arc::default()).collect();
    let mut tasks = JoinSet::new();
    for count in counts.clone() {
        let mut stream = TcpStream::connect(ingress).await?;
        stream.write_all(&[SEND]).await?;
        tasks.spawn(async move { take(stream, &count).await });
    }
    tokio::time::sleep(WARM_UP).await;
    let read = || counts.iter().map(|count| count.load(Ordering::Relaxed)).collect::<Vec<_>>();
    let (before, since) = (read(), std::time::Instant::now());
    tokio::time::sleep(span).await;
    let got: Vec<u64> = read().iter().zip(&before).map(|(after, before)| after - before).collect();
    let total: u64 = got.iter().sum();
    let slowest = got.iter().min().copied().unwrap_or(0);
    let fairness = slowest as f64 * flows as f64 / total.max(1) as f64;
    Ok((total as f64 * 8.0 / since.elapsed().as_secs_f64() / 1e9, fairness))
}
