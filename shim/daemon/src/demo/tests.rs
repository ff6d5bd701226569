//! The whole demo with a stand-in for the daemons: a plain SOCKS5 proxy, with or without a fault.

use std::net::SocketAddr;
use std::time::Duration;

use fast_socks5::server::Socks5ServerProtocol;
use fast_socks5::util::target_addr::TargetAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::pair::{Pair, PairOptions};
use super::report::Report;
use super::view::Screen;
use super::{DemoArgs, play};
use throughline::Mode;

/// A fault that a stand-in injects into a connection, in either direction.
#[derive(Clone, Copy)]
enum Fault {
    None,
    /// Changes the byte at this offset.
    Corrupt(usize),
    /// Closes the connection at this offset.
    Cut(usize),
}

/// Bytes relayed at a time, every [`PAUSE`]: about 30 Mbit/s, so that tests stay light.
const BURST: usize = 16 * 1024;
const PAUSE: Duration = Duration::from_millis(4);
/// More than the echo moves in a test, less than a bulk flow does.
const LATER: usize = 500_000;

async fn stand_in(fault: Fault) -> Result<Pair, String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socks = listener.local_addr().unwrap();
    let accept = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            connections.spawn(relay(stream, fault));
        }
    });
    Ok(Pair { socks, stop: Box::pin(async move { accept.abort() }) })
}

async fn relay(client: TcpStream, fault: Fault) {
    client.set_nodelay(true).unwrap();
    let protocol = Socks5ServerProtocol::accept_no_auth(client).await.unwrap();
    let (protocol, _, target) = protocol.read_command().await.unwrap();
    let TargetAddr::Ip(target) = target else { panic!("the demo dials addresses") };
    let server = TcpStream::connect(target).await.unwrap();
    server.set_nodelay(true).unwrap();
    let client = protocol.reply_success(SocketAddr::from(([0; 4], 0))).await.unwrap();
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = server.into_split();
    // An error ends both directions, as a reset does.
    let _ =
        tokio::try_join!(pump(from_client, to_server, fault), pump(from_server, to_client, fault));
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    fault: Fault,
) -> std::io::Result<()> {
    let (mut buffer, mut passed) = (vec![0; BURST], 0);
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        let here = passed..passed + count;
        match fault {
            Fault::Corrupt(at) if here.contains(&at) => buffer[at - passed] ^= 1,
            Fault::Cut(at) if here.contains(&at) => return Err(std::io::ErrorKind::Other.into()),
            _ => {}
        }
        to.write_all(&buffer[..count]).await?;
        passed += count;
        if count == BURST {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn demo(fault: Fault) -> Report {
    let args = DemoArgs {
        rate: 20,
        rtt: 10,
        queue: 50,
        length: Duration::from_secs(4),
        mode: Mode::Auto,
        json: true,
        plain: false,
        seed: 5,
    };
    play(&args, Screen::Silent, async |_: PairOptions<'_>| stand_in(fault).await).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_correct_proxy_every_flow_ends_right_and_plain_tcp_is_stuck_in_the_first_failure()
{
    let report = demo(Fault::None).await;
    println!("{}", report.json());
    assert!(report.ok, "{}", report.json());
    assert!(report.flows.iter().all(|flow| flow.sha256_ok && flow.gaps_ms.len() == 2));
    for bulk in &report.flows[..2] {
        assert!(bulk.bytes > 4_000_000, "{}", report.json());
        assert!(bulk.gaps_ms.iter().all(|gap| *gap < 300.0), "{}", report.json());
    }
    let [ours, tcp] = &report.flows[2..] else { panic!("four flows") };
    assert!((150..=202).contains(&(ours.bytes / 64)), "{} echoes in 4 s", ours.bytes / 64);
    // ISP A is dead for 0.91 s: plain TCP tries again after 0.2, 0.6 and 1.4 s.
    assert!((1_300.0..1_700.0).contains(&tcp.gaps_ms[0]), "{}", report.json());
    assert!(tcp.gaps_ms[1] < 300.0, "{}", report.json());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_changed_bit_makes_the_demo_fail() {
    let report = demo(Fault::Corrupt(LATER)).await;
    println!("{}", report.json());
    assert!(!report.ok);
    assert!(!report.flows[0].sha256_ok || !report.flows[1].sha256_ok);
    assert!(report.flows[2].sha256_ok, "the echo moved too little to be hit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_connection_makes_the_demo_fail_and_is_reported_as_died() {
    let report = demo(Fault::Cut(LATER)).await;
    println!("{}", report.json());
    assert!(!report.ok);
    for bulk in &report.flows[..2] {
        assert!(
            bulk.error.as_ref().is_some_and(|error| error.starts_with("died")),
            "{:?}",
            bulk.error
        );
        assert!(bulk.gaps_ms[1] > 1_000.0, "silence counts until the end");
    }
}
