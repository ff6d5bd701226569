//! What the emulated internet costs when nothing passes, and what it passes under a saturating
//! quinn connection. What is measured over it means nothing where it cannot carry that itself.
//!
//! `cargo run --release -p interop-tests --bin emulator_load [SECONDS]`
//!
//! Exit status 1 if a bar is missed: 9/10 of the rate each way, for less than [`BUSY_CPU`] of a
//! core, and less than [`IDLE_CPU`] when idle. Wants both cores of a small machine to itself.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn::{ClientConfig, Endpoint, ServerConfig, TransportConfig};
use throughline_emulator::{Emulator, Profile};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const RATE: u64 = 200_000_000;
const DELAY: Duration = Duration::from_millis(10);
const WARM_UP: Duration = Duration::from_secs(2);
/// The share of the rate that has to pass: headers and the controller's probing are the rest.
const PASSED: f64 = 0.9;
/// Shares of a core: with more, the emulator would disturb what is measured over it.
const BUSY_CPU: f64 = 0.3;
const IDLE_CPU: f64 = 0.1;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<ExitCode> {
    let seconds = std::env::args().nth(1).map(|a| a.parse()).transpose()?.unwrap_or(4);
    let span = Duration::from_secs(seconds);
    let idle = idle(span).await?;
    let busy = saturated(span).await?;
    Ok(if idle && busy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Two locators that nobody uses.
async fn idle(span: Duration) -> Result<bool> {
    let emulator = Emulator::builder().isp("isp-a", &Profile::new(RATE, DELAY)).start()?;
    for _ in 0..2 {
        emulator.udp_locator(([127, 0, 31, 1], 0).into(), ([127, 0, 0, 1], 9).into(), None)?;
    }
    // The thread names itself once it runs.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (begun, cpu) = (Instant::now(), emulator_cpu()?);
    tokio::time::sleep(span).await;
    let cpu = (emulator_cpu()? - cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
    let good = cpu < IDLE_CPU;
    println!("idle       {:.1} % of a core  {}", cpu * 100.0, verdict(good));
    Ok(good)
}

/// One endless stream each way.
async fn saturated(span: Duration) -> Result<bool> {
    let (server, client) = endpoints()?;
    let emulator = Emulator::builder()
        .isp("isp-a", &Profile::new(RATE, DELAY))
        .client("isp-a", [127, 0, 11, 1], [127, 0, 21, 1])
        .start()?;
    let locator = emulator.udp_locator(([127, 0, 31, 1], 0).into(), server.local_addr()?, None)?;
    let accept = async { Result::Ok(server.accept().await.ok_or("no connection")?.await?) };
    let dial = async { Result::Ok(client.connect(locator, "server")?.await?) };
    let (near, far) = tokio::try_join!(dial, accept)?;
    for connection in [&near, &far] {
        let (sender, receiver) = (connection.clone(), connection.clone());
        tokio::spawn(async move {
            let mut stream = sender.open_uni().await?;
            let chunk = Bytes::from(vec![7; 64 * 1024]);
            while stream.write_chunk(chunk.clone()).await.is_ok() {}
            Result::Ok(())
        });
        tokio::spawn(async move {
            let mut stream = receiver.accept_uni().await?;
            while let Ok(Some(_)) = stream.read_chunk(usize::MAX, true).await {}
            Result::Ok(())
        });
    }
    tokio::time::sleep(WARM_UP).await;
    let isp = emulator.isp("isp-a");
    let (begun, cpu, before) = (Instant::now(), emulator_cpu()?, isp.stats());
    tokio::time::sleep(span).await;
    let (after, seconds) = (isp.stats(), begun.elapsed().as_secs_f64());
    let cpu = (emulator_cpu()? - cpu).as_secs_f64() / seconds;
    let rate = |from: u64, to: u64| (to - from) as f64 * 8.0 / seconds;
    let up = rate(before.up.delivered.bytes, after.up.delivered.bytes);
    let down = rate(before.down.delivered.bytes, after.down.delivered.bytes);
    let good = up.min(down) > PASSED * RATE as f64 && cpu < BUSY_CPU;
    println!(
        "saturated  {:.1} % of a core, up {:.1} and down {:.1} of {} Mbit/s  {}",
        cpu * 100.0,
        up / 1e6,
        down / 1e6,
        RATE / 1_000_000,
        verdict(good)
    );
    println!("           {after:?}");
    near.close(0u8.into(), b"");
    Ok(good)
}

fn verdict(good: bool) -> &'static str {
    if good { "good" } else { "BAD" }
}

/// Returns a server and a client with windows that bind on neither side.
fn endpoints() -> Result<(Endpoint, Endpoint)> {
    let mut transport = TransportConfig::default();
    transport.send_window(16 << 20).receive_window((16u32 << 20).into());
    transport.stream_receive_window((16u32 << 20).into());
    let transport = Arc::new(transport);
    let certified = rcgen::generate_simple_self_signed(["server".into()])?;
    let key = rustls_pki_types::PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let certificate = certified.cert.der().clone();
    let mut server = ServerConfig::with_single_cert(vec![certificate.clone()], key.into())?;
    server.transport_config(transport.clone());
    let server = Endpoint::server(server, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate)?;
    let mut config = ClientConfig::with_root_certificates(Arc::new(roots))?;
    config.transport_config(transport);
    let mut client = Endpoint::client(SocketAddr::from(([127, 0, 11, 1], 0)))?;
    client.set_default_client_config(config);
    Ok((server, client))
}

/// CPU time of the thread named `emulator` (proc(5), fields 14 and 15, in ticks of 10 ms).
fn emulator_cpu() -> Result<Duration> {
    for task in std::fs::read_dir("/proc/self/task")? {
        // A thread may end while we look.
        let Ok(stat) = std::fs::read_to_string(task?.path().join("stat")) else { continue };
        if stat.contains("(emulator)") {
            let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
            let ticks: u64 = fields.skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
            return Ok(Duration::from_millis(ticks * 10));
        }
    }
    Err("no thread named `emulator`".into())
}
