//! Many flows lose their ISP at once: how long their messages wait, beside those of one flow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use interop_tests::support::Outcome;
use throughline::{FlowReader, FlowWriter, Mode, Target};
use throughline_emulator::Way;
use throughline_fixture::{NodePair, Shape};
use tokio::io::AsyncReadExt;
use tokio::task::JoinSet;

use super::linked::room_for;
use super::process::quantile;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Numbers of flows, one after the other.
    #[arg(long, value_delimiter = ',', default_value = "1,10000,20000")]
    flows: Vec<usize>,
    /// Messages a second, over all flows in turn: in the 5 s of a run as many flows carry one as this, five times.
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// How the flows use lanes.
    #[arg(long, default_value = "single")]
    mode: String,
}

/// From the failure on, messages are looked at for so long.
const AFTERMATH: Duration = Duration::from_secs(2);

pub(crate) async fn measure(options: &Options) -> Outcome {
    let mode: Mode = options.mode.parse().map_err(|_| "no such mode")?;
    println!(
        "worst and p99 round trip of messages sent in the 2 s from the failure on; before: p99"
    );
    for flows in &options.flows {
        let [before, worst, p99] = run(*flows, options.rate, mode).await?;
        println!("{flows} flows: worst {worst:.1?}, p99 {p99:.1?}; before {before:.1?}");
    }
    Ok(())
}

/// Sends messages over all flows in turn; the ISP that carries them dies.
async fn run(count: usize, rate: u32, mode: Mode) -> Outcome<[Duration; 3]> {
    // Nodes in this process: their flows need no descriptors.
    let pair = NodePair::start_within(Shape::default(), &room_for(count)).await?;
    let mut listener = pair.far.serve("echo")?;
    tokio::spawn(async move {
        while let Ok(flow) = listener.accept().await {
            let (mut reader, mut writer) = tokio::io::split(flow.accept());
            tokio::spawn(async move { tokio::io::copy(&mut reader, &mut writer).await });
        }
    });
    let (mut writers, mut tasks) = (Vec::new(), JoinSet::new());
    let over = Arc::new(AtomicBool::new(false));
    let origin = Instant::now();
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let (near, far) = (pair.near.clone(), pair.far.id());
        opening.spawn(async move { near.connect_with(far, Target::service("echo"), mode).await });
    }
    while let Some(flow) = opening.join_next().await {
        let (reader, writer) = flow??.into_split();
        writers.push(writer);
        tasks.spawn(record(reader, origin));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let carried = |isp: usize| pair.isp(isp).stats().delivered_bytes();
    let start = [carried(0), carried(1)];
    let sender = tokio::spawn(send(writers, rate, over.clone(), origin));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let busier = usize::from(carried(1) - start[1] > carried(0) - start[0]);
    let cut = Instant::now();
    pair.isp(busier).blackhole(Way::Both);
    tokio::time::sleep(AFTERMATH).await;
    over.store(true, Ordering::Relaxed);
    let _writers = sender.await??;
    tokio::time::sleep(Duration::from_secs(2)).await;
    pair.near.shutdown(Duration::ZERO).await;
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mut used = 0;
    while let Some(trips) = tasks.join_next().await {
        let trips = trips?;
        used += usize::from(!trips.is_empty());
        for (sent, trip) in trips {
            if sent + trip < cut { before.push(trip) } else { after.push(trip) }
        }
    }
    before.sort_unstable();
    after.sort_unstable();
    println!(
        "  {count} open flows: {} messages before, {} after, over {used} of them",
        before.len(),
        after.len()
    );
    Ok([quantile(&before, 0.99), quantile(&after, 1.0), quantile(&after, 0.99)])
}

/// Sends the time of day of the run, over one flow after the other.
async fn send(
    mut writers: Vec<FlowWriter>,
    rate: u32,
    over: Arc<AtomicBool>,
    origin: Instant,
) -> Outcome<Vec<FlowWriter>> {
    let begun = Instant::now();
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        tokio::time::sleep_until((begun + Duration::from_secs(number) / rate).into()).await;
        let at = (number % writers.len() as u64) as usize;
        let mut message = [0; 64];
        message[..8].copy_from_slice(&(origin.elapsed().as_micros() as u64).to_be_bytes());
        writers[at].write_chunk(&mut message.to_vec().into()).await?;
    }
    Ok(writers)
}

/// Returns when each message was sent and how long it took, until the flow ends.
async fn record(mut reader: FlowReader, origin: Instant) -> Vec<(Instant, Duration)> {
    let (mut trips, mut message) = (Vec::new(), [0; 64]);
    while reader.read_exact(&mut message).await.is_ok() {
        let mut sent = [0; 8];
        sent.copy_from_slice(&message[..8]);
        let sent = origin + Duration::from_micros(u64::from_be_bytes(sent));
        trips.push((sent, sent.elapsed()));
    }
    trips
}
