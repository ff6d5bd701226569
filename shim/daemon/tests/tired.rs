//! The built program on machines that are short of something: of descriptors, of time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use throughline_emulator::{Profile, Way};
use throughline_fixture::process::installed;
use throughline_fixture::{Outcome, ProgramPair, Shape, alone, echo_server, forward, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// Returns the built program.
fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_throughline"))
}

/// An internet that costs little.
fn shape() -> Shape {
    Shape { profile: Profile::new(20_000_000, Duration::from_millis(5)), ..Shape::default() }
}

/// Sends a byte and waits for it; returns whether it came in time.
async fn echo(client: &mut TcpStream, within: Duration) -> bool {
    let exchange = async {
        client.write_all(b"x").await?;
        client.read_exact(&mut [0; 1]).await
    };
    matches!(timeout(within, exchange).await, Ok(Ok(_)))
}

/// Returns how many lines of a log hold `part`.
fn count(log: &str, part: &str) -> usize {
    log.lines().filter(|line| line.contains(part)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_clients_of_a_daemon_with_256_descriptors_do_not_stop_failover() -> Outcome {
    let _alone = alone().await;
    let extras = forward("echo", echo_server().await?);
    if installed("prlimit").is_none() {
        println!("SKIPPED: three_hundred_clients_…: prlimit is not installed");
        return Ok(());
    }
    let starter = ["prlimit", "--nofile=256"];
    let pair = ProgramPair::start_program(program(), shape(), &extras, &starter)?;
    let ingress = pair.near.ingress("echo")?;
    let mut clients = Vec::new();
    for _ in 0..300 {
        clients.push(TcpStream::connect(ingress).await?);
    }
    // Half of the descriptors are for connections; the other clients wait in the kernel's queue.
    let soon = Duration::from_secs(10);
    let mut served = Vec::new();
    for client in &mut clients[..120] {
        served.push(echo(client, soon).await);
    }
    assert!(served.iter().all(|served| *served), "a client is not served");
    assert!(!echo(&mut clients[200], Duration::from_millis(300)).await, "beyond the bound");
    assert!(pair.status().await?.contains("\"for_connections\":128"));

    // Every path that has a lane fails in turn, and each time lanes are dialed anew.
    for isp in pair.isps() {
        isp.blackhole(Way::Both);
        for client in &mut clients[..120] {
            assert!(echo(client, soon).await, "failover does not work");
        }
        isp.heal(Way::Both);
        let both = until(async || pair.uplinks_up().await == Ok(2)).await;
        assert!(both, "no lanes: {:?}", pair.uplinks_up().await);
    }
    let log = pair.near.log();
    assert_eq!(count(&log, "descriptors for connections are in use"), 1, "once a minute");
    assert!(log.contains("LimitNOFILE="), "how to mend it");
    assert_eq!(count(&log, "Too many open files"), 0);

    // Those that waited are served as soon as others go.
    clients.drain(..200);
    let mut last = clients.pop().ok_or("no client")?;
    assert!(echo(&mut last, soon).await, "it does not recover");
    Ok(())
}

/// What a flow has received, and who stops it.
#[derive(Clone, Default)]
struct Progress(Arc<AtomicU64>);

impl Progress {
    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Writes without an end.
async fn send(mut to: TcpStream) {
    let block = vec![7; 64 << 10];
    while to.write_all(&block).await.is_ok() {}
}

/// Reads to the end.
async fn receive(mut from: TcpStream, progress: Progress) {
    let mut block = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut block).await {
        progress.add(read);
    }
}

/// Opens a flow through an ingress to a listener of its own; returns both ends.
async fn pipe(
    pair: &ProgramPair,
    ingress: &str,
    to: &TcpListener,
) -> Outcome<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(pair.near.ingress(ingress)?).await?;
    let (server, _) = timeout(Duration::from_secs(10), to.accept()).await??;
    Ok((client, server))
}

/// The server's daemon is stopped while its sockets fill, then goes on: every flow does, too.
#[tokio::test(flavor = "multi_thread")]
async fn every_flow_goes_on_when_the_peers_daemon_was_stopped_for_a_while() -> Outcome {
    let _alone = alone().await;
    let there = TcpListener::bind("127.0.0.1:0").await?;
    let extras =
        forward("bulk", there.local_addr()?.port()) + &forward("echo", echo_server().await?);
    let pair = ProgramPair::start_program(program(), shape(), &extras, &[])?;
    let (up, down) = (Progress::default(), Progress::default());
    let (client, server) = pipe(&pair, "bulk", &there).await?;
    tokio::spawn(send(client));
    tokio::spawn(receive(server, up.clone()));
    let (client, server) = pipe(&pair, "bulk", &there).await?;
    tokio::spawn(send(server));
    tokio::spawn(receive(client, down.clone()));
    let mut talk = TcpStream::connect(pair.near.ingress("echo")?).await?;
    assert!(echo(&mut talk, Duration::from_secs(10)).await);

    for stopped in [Duration::from_secs(2), Duration::from_secs(12)] {
        assert!(until(async || up.now() > 500_000 && down.now() > 500_000).await, "no bulk");
        pair.far.signal("STOP")?;
        sleep(stopped).await;
        pair.far.signal("CONT")?;
        let continued = Instant::now();
        assert!(echo(&mut talk, Duration::from_secs(10)).await, "the echo stands still");
        // None may stand still for long once all is well, however much is owed.
        sleep(Duration::from_secs(2)).await;
        for (name, flow) in [("upload", &up), ("download", &down)] {
            let before = flow.now();
            let moved = until(async || flow.now() > before + 200_000).await;
            let (after, log) = (continued.elapsed(), pair.near.log());
            assert!(moved && after < Duration::from_secs(12), "the {name}, after {after:?}\n{log}");
        }
    }
    Ok(())
}
