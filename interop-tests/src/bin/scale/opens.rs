//! Flows that are opened, used once and closed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use interop_tests::support::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::pair::{ECHO, Origin};
use super::process::{megabytes, quantile};
use super::route::Route;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Opens a second; 0: as many as are possible.
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// Opens in all: a port of the client's waits for a minute after each (TIME-WAIT).
    #[arg(long, default_value_t = 20_000)]
    opens: u32,
    /// Opens under way at once, at the most.
    #[arg(long, default_value_t = 256)]
    at_once: usize,
    /// Flows that are idle meanwhile.
    #[arg(long, default_value_t = 0)]
    idle: usize,
    /// What is measured: `throughline`, `ssh`, `stunnel`, and `tcp` without anything between.
    #[arg(long, value_delimiter = ',', default_value = "throughline")]
    systems: Vec<String>,
}

/// Measures each system.
pub(crate) async fn measure(options: &Options) -> Outcome {
    let origin = Origin::start()?;
    for system in &options.systems {
        match Route::start(system, origin.addr, 2).await? {
            Some(route) => {
                println!("{system}:");
                opens(options, &route).await?;
            }
            None => println!("{system}: not installed"),
        }
    }
    Ok(())
}

/// Opens at the rate, or one after the other ended.
async fn opens(options: &Options, route: &Route) -> Outcome {
    let ingress = route.ingress()?;
    let mut idle = Vec::new();
    for _ in 0..options.idle {
        idle.push(open(ingress).await?);
    }
    let before = route.usage()?;
    let permits = Arc::new(Semaphore::new(options.at_once));
    let mut tasks = JoinSet::new();
    let (begun, rate) = (Instant::now(), options.rate);
    for number in 0..options.opens {
        let due = begun + Duration::from_secs(u64::from(number)) / rate.max(1);
        if rate > 0 {
            tokio::time::sleep_until(due.into()).await;
        }
        let permit = permits.clone().acquire_owned().await?;
        tasks.spawn(async move {
            // What waits for a place counts, too.
            let since = if rate > 0 { due } else { Instant::now() };
            let done = open(ingress).await;
            drop(permit);
            done.map(|_| since.elapsed())
        });
    }
    let (mut times, mut failed) = (Vec::new(), 0);
    while let Some(done) = tasks.join_next().await {
        match done? {
            Ok(time) => times.push(time),
            Err(_) => failed += 1,
        }
    }
    let took = begun.elapsed().as_secs_f64();
    times.sort_unstable();
    println!(
        "{:.0} opens a second, {failed} failed; open to first byte back: p50 {:.2?}, p99 {:.2?}, worst {:.2?}",
        times.len() as f64 / took,
        quantile(&times, 0.5),
        quantile(&times, 0.99),
        quantile(&times, 1.0),
    );
    let usage = before.into_iter().zip(route.usage()?);
    for (name, (before, after)) in ["near", "far"].into_iter().zip(usage) {
        let cpu = (after.cpu - before.cpu).as_secs_f64();
        println!(
            "{name}: {:.0} % of a core, {:.0} µs an open, {:.0} MB",
            100.0 * cpu / took,
            1e6 * cpu / f64::from(options.opens),
            megabytes(after.rss),
        );
    }
    drop(idle);
    Ok(())
}

/// Opens a flow and sees a byte come back.
async fn open(ingress: std::net::SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(ingress).await?;
    stream.write_all(&[ECHO]).await?;
    stream.read_exact(&mut [0]).await?;
    Ok(stream)
}
