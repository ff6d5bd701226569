//! What it costs to watch a daemon with many flows: how long `/metrics` takes, and what the status page and `top` take of
//! a core.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use interop_tests::support::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::flows::{SETTLE, echo_all};
use super::pair::{Origin, Pair};
use super::process::{quantile, usage};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many flows.
    #[arg(default_value_t = 1_000)]
    flows: usize,
    /// For how long CPU time is counted, in seconds.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How often metrics are read.
    #[arg(long, default_value_t = 20)]
    reads: usize,
}

/// Both are of loopback, at ports that are free.
const WATCHED: &str = "metrics = '127.0.0.1:0'\nweb = '127.0.0.1:0'";

/// An answer to whoever asks again within half a second is the same.
const BETWEEN_READS: Duration = Duration::from_millis(600);

/// Opens the flows and watches the near daemon in each way.
pub(crate) async fn measure(options: &Options) -> Outcome {
    let origin = Origin::start()?;
    let pair = Pair::start(origin.addr, 2, WATCHED)?;
    let (_flows, _) = echo_all((0..options.flows).map(|_| None).collect(), &pair).await?;
    tokio::time::sleep(SETTLE).await;
    let mut times = Vec::new();
    for _ in 0..options.reads {
        let begun = Instant::now();
        let answer = request(pair.near_addr("metrics at")?, "/metrics").await?;
        times.push(begun.elapsed());
        if !answer.contains("throughline_peer_flows") {
            return Err(format!("no metrics: {answer}").into());
        }
        tokio::time::sleep(BETWEEN_READS).await;
    }
    times.sort_unstable();
    let (p50, worst) = (quantile(&times, 0.5), quantile(&times, 1.0));
    println!("{} flows; /metrics: {p50:.1?}, at the worst {worst:.1?}", options.flows);

    let time = Duration::from_secs(options.seconds);
    let [nobody, _] = cpu(&pair, None, time).await?;
    let mut page = TcpStream::connect(pair.near_addr("the status page is at")?).await?;
    page.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    let viewer =
        tokio::spawn(async move { tokio::io::copy(&mut page, &mut tokio::io::sink()).await });
    let [page, _] = cpu(&pair, None, time).await?;
    viewer.abort();
    let top = Top::start(&pair.near_socket()).await?;
    let [asked, drawn] = cpu(&pair, Some(top.id), time).await?;
    drop(top);
    println!(
        "the daemon takes {nobody:.2} % of a core while nobody looks, {page:.2} % with a viewer of the page, {asked:.2} % \
         beside `top`, which takes {drawn:.2} % itself"
    );
    Ok(())
}

/// Returns what an HTTP server answers.
async fn request(addr: SocketAddr, path: &str) -> Outcome<String> {
    let mut stream = TcpStream::connect(addr).await?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Returns what the near daemon, and whoever else is named, take of a core, in percent.
async fn cpu(pair: &Pair, other: Option<u32>, time: Duration) -> Outcome<[f64; 2]> {
    // The first answers cost more than those that come.
    tokio::time::sleep(SETTLE).await;
    let used = || -> Outcome<[Duration; 2]> {
        let other = other.map(usage).transpose()?;
        Ok([pair.usage()?[0].cpu, other.map(|usage| usage.cpu).unwrap_or_default()])
    };
    let before = used()?;
    tokio::time::sleep(time).await;
    let after = used()?;
    Ok([0, 1].map(|at| 100.0 * (after[at] - before[at]).as_secs_f64() / time.as_secs_f64()))
}

/// `top` in a terminal of its own, which `script` (bsdutils) makes and is ended with.
struct Top {
    script: Child,
    id: u32,
}

impl Top {
    async fn start(socket: &Path) -> Outcome<Self> {
        let this = std::env::current_exe()?;
        let line = format!(
            "stty rows 50 cols 160; exec '{}' top --socket '{}'",
            this.display(),
            socket.display()
        );
        let mut command = Command::new("script");
        command.args(["-qc", &line, "/dev/null"]).env("TERM", "xterm-256color");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let script = command.spawn().map_err(|error| format!("script: {error}"))?;
        let children = format!("/proc/{0}/task/{0}/children", script.id());
        let mut top = Self { script, id: 0 };
        let begun = Instant::now();
        while top.id == 0 {
            if begun.elapsed() > SETTLE {
                return Err("`script` has started nothing".into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            let child = std::fs::read_to_string(&children)?;
            top.id = child.split_whitespace().next().map_or(Ok(0), str::parse)?;
        }
        Ok(top)
    }
}

impl Drop for Top {
    fn drop(&mut self) {
        // Its terminal goes with it, and so does `top`.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}
