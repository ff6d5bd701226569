//! Idle flows: what each costs, and that all of them live.

use std::sync::Arc;
use std::time::{Duration, Instant};

use interop_tests::support::Outcome;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::pair::{ECHO, Origin, Pair};
use super::process::{megabytes, quantile};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many flows.
    #[arg(default_value_t = 10_000)]
    pub(super) flows: usize,
    /// For how long the CPU time of idle flows is counted, in seconds.
    #[arg(long, default_value_t = 20)]
    pub(super) idle: u64,
    /// What the daemons' configurations say at the top, such as `memory = "512MiB"`.
    #[arg(long, default_value = "")]
    config: String,
    /// Between nodes that are linked into programs instead of daemons: no flow takes a descriptor.
    #[arg(long, conflicts_with = "config")]
    pub(super) linked: bool,
}

/// Flows that are opened or used at once.
const AT_ONCE: usize = 64;

/// How long the daemons have to come to rest before they are looked at.
pub(super) const SETTLE: Duration = Duration::from_secs(7);

/// Opens the flows, looks, uses each once more, and looks again.
pub(crate) async fn measure(options: &Options) -> Outcome {
    let origin = Origin::start()?;
    let pair = Pair::start(origin.addr, 2, &options.config)?;
    tokio::time::sleep(SETTLE).await;
    let before = pair.usage()?;
    let begun = Instant::now();
    let (flows, _) = echo_all((0..options.flows).map(|_| None).collect(), &pair).await?;
    let took = begun.elapsed();
    println!("{} flows opened in {took:.1?}", flows.len());
    tokio::time::sleep(SETTLE).await;
    let rest = pair.usage()?;
    tokio::time::sleep(Duration::from_secs(options.idle)).await;
    let idle = pair.usage()?;
    let (flows, trips) = echo_all(flows.into_iter().map(Some).collect(), &pair).await?;
    let (p50, p99) = (quantile(&trips, 0.5), quantile(&trips, 0.99));
    println!("all answer: {} round trips, p50 {p50:.1?}, p99 {p99:.1?}", trips.len());
    let mut both = 0;
    for (name, at) in ["near", "far"].into_iter().zip(0..) {
        let grown = rest[at].rss.saturating_sub(before[at].rss);
        let cpu = (idle[at].cpu - rest[at].cpu).as_secs_f64() / options.idle as f64;
        both += idle[at].rss;
        println!(
            "{name}: {:.0} MB before, {:.0} MB with the flows, {:.1} kB a flow; idle: {:.2} % of a core",
            megabytes(before[at].rss),
            megabytes(rest[at].rss),
            grown as f64 / 1e3 / flows.len() as f64,
            100.0 * cpu,
        );
    }
    println!("both daemons: {:.0} MB", megabytes(both));
    Ok(())
}

/// Sends a byte over each connection to the ingress, which is made where there is none, and waits for it to come back.
pub(super) async fn echo_all(
    flows: Vec<Option<TcpStream>>,
    pair: &Pair,
) -> Outcome<(Vec<TcpStream>, Vec<Duration>)> {
    let ingress = pair.ingress()?;
    echo_each(flows, move || async move { Ok(TcpStream::connect(ingress).await?) }).await
}

/// Sends a byte over each stream, which is opened where there is none, and waits for it to come back. Returns the
/// streams, and how long each took, the quickest first.
pub(super) async fn echo_each<S, F>(
    streams: Vec<Option<S>>,
    open: impl Fn() -> F,
) -> Outcome<(Vec<S>, Vec<Duration>)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Future<Output = Outcome<S>> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for stream in streams {
        let permit = permits.clone().acquire_owned().await?;
        let opening = open();
        tasks.spawn(async move {
            let begun = Instant::now();
            let mut stream = match stream {
                Some(stream) => stream,
                None => opening.await?,
            };
            stream.write_all(&[ECHO]).await?;
            let mut answer = [0];
            stream.read_exact(&mut answer).await?;
            drop(permit);
            Outcome::Ok((stream, begun.elapsed()))
        });
    }
    let (mut streams, mut trips) = (Vec::new(), Vec::new());
    while let Some(done) = tasks.join_next().await {
        let (stream, trip) = done??;
        streams.push(stream);
        trips.push(trip);
    }
    trips.sort_unstable();
    Ok((streams, trips))
}
