//! What interception costs, as ratios of one run: beside a forward, and of what is left alone beside a host without
//! Throughline.
//!
//! ```text
//!   near: client, daemon ══ veth ══ far: daemon, destination
//! ```
//!
//! The two hosts are namespaces. The same client reaches the same destination by a forward, intercepted, and by an
//! address that a rule makes `direct`; that last also while no daemon runs. Bulk either way, and connections that are
//! opened, answered once and closed, one after the other.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use interop_tests::lab::enter::{self, until_signal};
use interop_tests::lab::host::Host;
use interop_tests::process::Process;
use interop_tests::support::Outcome;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;
use throughline::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::pair::{ECHO, SEND, TAKE, answer};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    #[arg(long, default_value_t = 7)]
    rounds: usize,
}

/// How long a flow runs before it is measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// The addresses of the destination: one that is intercepted, and one that a rule makes `direct`.
const TAKEN: [u8; 4] = [10, 2, 0, 1];
const DIRECT: [u8; 4] = [10, 3, 0, 1];

/// What is measured of a way: Gbit/s up and down, and connections a second.
type Rates = [f64; 3];

/// What the three are called.
const NAMES: [&str; 3] = ["up", "down", "connections/s"];

pub(crate) async fn measure(options: &Options) -> Outcome {
    // Outside it becomes another program, which comes back here.
    enter::enter()?;
    until_signal(async {
        run(options).await?;
        Ok(std::process::ExitCode::SUCCESS)
    })
    .await
    .map(drop)
}

async fn run(options: &Options) -> Outcome {
    let (near, far) = (Host::new("near")?, Host::new("far")?);
    near.join("far0", &far, "near0")?;
    near.ip("addr add 10.1.0.1/24 dev far0\nlink set far0 up\nroute add default via 10.1.0.2")?;
    far.ip("addr add 10.1.0.2/24 dev near0\nlink set near0 up\naddr add 10.2.0.1/32 dev lo\n\
         addr add 10.3.0.1/32 dev lo")?;
    let taken = Arc::new(AtomicU64::new(0));
    let listener = far.spawn(TcpListener::bind("0.0.0.0:0"))?.await??;
    let port = listener.local_addr()?.port();
    let _serving = far.spawn(serve(listener, taken.clone()))?;
    let at = |ip: [u8; 4]| SocketAddr::from((ip, port));
    let span = Duration::from_secs(options.seconds);
    let mut ratios: [[Vec<f64>; 3]; 2] = Default::default();
    for round in 1..=options.rounds {
        let without = rates(&near, at(DIRECT), span, &taken).await?;
        let daemons = Daemons::start(&near, &far, at(TAKEN))?;
        let forward = rates(&near, daemons.ingress, span, &taken).await?;
        let intercepted = rates(&near, at(TAKEN), span, &taken).await?;
        let direct = rates(&near, at(DIRECT), span, &taken).await?;
        daemons.are_used()?;
        for (ways, list) in [(intercepted, forward), (direct, without)].iter().zip(&mut ratios) {
            for (index, list) in list.iter_mut().enumerate() {
                list.push(ways.0[index] / ways.1[index]);
            }
        }
        for (way, rates) in [
            ("without", without),
            ("direct", direct),
            ("forward", forward),
            ("intercepted", intercepted),
        ] {
            let [up, down, opens] = rates;
            println!("round {round} {way}: {up:.2} / {down:.2} Gbit/s, {opens:.0} connections/s");
        }
    }
    for (what, list) in ["intercepted / forward", "direct / without"].into_iter().zip(&mut ratios) {
        for (name, list) in NAMES.into_iter().zip(list) {
            list.sort_by(f64::total_cmp);
            let (median, least, most) = (list[list.len() / 2], list[0], list[list.len() - 1]);
            println!("{what}, {name}: {median:.3} ({least:.3}–{most:.3})");
        }
    }
    Ok(())
}

/// Two daemons; the near one intercepts everything that goes to the destination.
struct Daemons {
    near: Process,
    _far: Process,
    ingress: SocketAddr,
    _home: TempDir,
}

impl Daemons {
    fn start(near: &Host, far: &Host, target: SocketAddr) -> Outcome<Self> {
        // Of the lab's own file system.
        let home = tempfile::tempdir_in("/run")?;
        let path = |name: &str| home.path().join(name);
        let near_key = Identity::create(path("near.key"))?.peer_id();
        let far_key = Identity::create(path("far.key"))?.peer_id();
        let there = format!(
            "identity = 'far.key'\nlisten = '10.1.0.2:5443'\nadmin = 'far.sock'\n\
             [peers.near]\nkey = '{near_key}'\nallow = '{}:*'\n",
            target.ip()
        );
        let here = format!(
            "identity = 'near.key'\nadmin = 'near.sock'\n\
             [peers.far]\nkey = '{far_key}'\nlocators = '10.1.0.2:5443'\n\
             [ingress.forward]\nkind = 'forward'\nlisten = '127.0.0.1:0'\nto = '{target}'\nvia = 'far'\n\
             [ingress.all]\nkind = 'intercept'\nusers = '*'\nvia = 'far'\n\
             [[rule]]\nto = '10.3.0.0/16'\nvia = 'direct'\n"
        );
        std::fs::write(path("far.toml"), there)?;
        std::fs::write(path("near.toml"), here)?;
        let run = |host: &Host, name: &str| -> Outcome<Process> {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["run", "-c"]).arg(path(&format!("{name}.toml"))).env("NO_COLOR", "1");
            let daemon = host.start(name, command)?;
            daemon.says("running")?;
            Ok(daemon)
        };
        let (far, near) = (run(far, "far")?, run(near, "near")?);
        let ingress = near.ingress("forward")?;
        near.says("session up")?;
        Ok(Self { near, _far: far, ingress, _home: home })
    }

    /// Checks that nothing was refused, so that what was measured is what it is called.
    fn are_used(&self) -> Outcome {
        let log = self.near.log();
        match log.contains("reset") || log.contains("WARN") {
            true => Err(format!("not all is well:\n{log}").into()),
            false => Ok(()),
        }
    }
}

async fn serve(listener: TcpListener, taken: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        let taken = taken.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let mut first = [0];
            match stream.peek(&mut first).await {
                Ok(1) if first[0] == TAKE => drop(take(stream, &taken).await),
                _ => drop(answer(stream).await),
            }
        });
    }
}

async fn take(mut stream: TcpStream, count: &AtomicU64) -> std::io::Result<()> {
    let mut block = vec![0; 256 << 10];
    loop {
        match stream.read(&mut block).await? {
            0 => return Ok(()),
            read => count.fetch_add(read as u64, Ordering::Relaxed),
        };
    }
}

/// Measures one way to the destination.
async fn rates(
    host: &Host,
    to: SocketAddr,
    span: Duration,
    taken: &Arc<AtomicU64>,
) -> Outcome<Rates> {
    let taken = taken.clone();
    host.spawn(async move {
        let up = {
            let mut stream = TcpStream::connect(to).await?;
            stream.write_all(&[TAKE]).await?;
            let sending = tokio::spawn(async move {
                let block = vec![7; 256 << 10];
                while stream.write_all(&block).await.is_ok() {}
            });
            let rate = counted(&taken, span).await;
            sending.abort();
            rate
        };
        let down = {
            let mut stream = TcpStream::connect(to).await?;
            stream.write_all(&[SEND]).await?;
            let count = Arc::new(AtomicU64::new(0));
            let counted_here = count.clone();
            let taking = tokio::spawn(async move { take(stream, &counted_here).await });
            let rate = counted(&count, span).await;
            taking.abort();
            rate
        };
        let (begun, mut opens) = (Instant::now(), 0_u32);
        while begun.elapsed() < span {
            let mut stream = TcpStream::connect(to).await?;
            stream.set_nodelay(true)?;
            stream.write_all(&[ECHO]).await?;
            stream.read_exact(&mut [0]).await?;
            opens += 1;
        }
        Outcome::Ok([up, down, f64::from(opens) / begun.elapsed().as_secs_f64()])
    })?
    .await?
}

/// Returns the rate at which a count of bytes grows, in Gbit/s.
async fn counted(count: &AtomicU64, span: Duration) -> f64 {
    tokio::time::sleep(WARM_UP).await;
    let (before, since) = (count.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(span).await;
    let bytes = count.load(Ordering::Relaxed) - before;
    bytes as f64 * 8.0 / since.elapsed().as_secs_f64() / 1e9
}
