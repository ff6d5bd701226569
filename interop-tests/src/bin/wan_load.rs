//! How much the lab's wide area network carries on one core, and how exact its delay is when idle.
//!
//! `cargo run --release -p interop-tests --bin wan_load [MBIT/S [SECONDS]]`

use std::process::ExitCode;
use std::time::{Duration, Instant};

use interop_tests::lab::{Lab, Shape, enter};
use interop_tests::support::Outcome;
use tokio::net::UdpSocket;

/// What has to pass of what is sent.
const PASSED: f64 = 0.95;
/// How far a lone packet's round trip may be from the wires' delays.
const EXACT: Duration = Duration::from_micros(500);

fn main() -> Outcome<ExitCode> {
    enter::enter()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(enter::until_signal(run()))
}

async fn run() -> Outcome<ExitCode> {
    let mut args = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let rate = args.next().transpose()?.unwrap_or(400);
    let span = Duration::from_secs(args.next().transpose()?.unwrap_or(4));
    let lab = Lab::new(Shape { rate: rate * 1_000_000, ..Shape::default() })?;
    let idle = idle(&lab).await?;
    let loaded = loaded(&lab, rate, span).await?;
    Ok(if idle && loaded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Measures the round trip of a lone datagram.
async fn idle(lab: &Lab) -> Outcome<bool> {
    let address = lab.server.uplinks[0].prefixes[0].host;
    let server = lab.server.host.spawn(async move {
        let socket = UdpSocket::bind((address, 7)).await?;
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await?;
            socket.send_to(&buffer[..length], from).await?;
        }
        #[expect(unreachable_code, reason = "says what the task's result is")]
        Outcome::Ok(())
    })?;
    let client = lab.client.host.spawn(async move {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.connect((address, 7)).await?;
        let (mut times, mut buffer) = (Vec::new(), [0; 64]);
        for _ in 0..100 {
            let sent = Instant::now();
            socket.send(&buffer).await?;
            tokio::time::timeout(Duration::from_secs(1), socket.recv(&mut buffer)).await??;
            times.push(sent.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        times.sort();
        Outcome::Ok(times)
    })?;
    let times = client.await??;
    server.abort();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    let good = median.abs_diff(lab.shape.rtt) < EXACT;
    println!(
        "idle    median {median:?}, worst {worst:?}, wanted {:?}  {}",
        lab.shape.rtt,
        verdict(good)
    );
    Ok(good)
}

/// Full datagrams at the rate, over one ISP at each end: each crosses two wires.
async fn loaded(lab: &Lab, rate: u64, span: Duration) -> Outcome<bool> {
    const SIZE: usize = 1472;
    let address = lab.server.uplinks[0].prefixes[0].host;
    let before = lab.server.uplinks[0].wire.stats().down.delivered;
    let cpu = cpu()?;
    let sent = lab.client.host.spawn(async move {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.connect((address, 9)).await?;
        let (begun, buffer, mut count) = (Instant::now(), [0; SIZE], 0u64);
        while begun.elapsed() < span {
            // A little less than the wires take.
            let due = (begun.elapsed().as_secs_f64() * 0.99e6 * rate as f64 / 8.0) as u64;
            while count * (SIZE as u64 + 28) < due {
                socket.send(&buffer).await?;
                count += 1;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Outcome::Ok(count)
    })?;
    let sent = sent.await??;
    tokio::time::sleep(Duration::from_millis(200)).await;
    // As the last wire says: a receiver on a busy machine drops more.
    let after = lab.server.uplinks[0].wire.stats().down.delivered;
    let received = after.packets - before.packets;
    let cpu = (self::cpu()? - cpu).as_secs_f64() / span.as_secs_f64();
    let passed = received as f64 / sent as f64;
    let good = passed >= PASSED && cpu < 1.0;
    println!(
        "loaded  {:.0} of {rate} Mbit/s over two wires, {:.2} % of the packets, {:.0} % of a core  {}",
        (after.bytes - before.bytes) as f64 * 8.0 / span.as_secs_f64() / 1e6,
        passed * 100.0,
        cpu * 100.0,
        verdict(good)
    );
    println!("        {:?}", lab.client.uplinks[0].wire.stats().up);
    println!("        {:?}", lab.server.uplinks[0].wire.stats().down);
    Ok(good)
}

fn verdict(good: bool) -> &'static str {
    if good { "good" } else { "BAD" }
}

/// CPU time of the thread named `wan` (proc(5), fields 14 and 15, in ticks of 10 ms).
fn cpu() -> Outcome<Duration> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let stat = std::fs::read_to_string(task?.path().join("stat")).unwrap_or_default();
        if stat.contains("(wan)") {
            let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            let ticks: u64 = fields.skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
            return Ok(Duration::from_millis(ticks * 10));
        }
    }
    Err("no thread named `wan`".into())
}
