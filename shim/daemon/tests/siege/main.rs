//! A peer that tries the nastiest ways all at once, against the built program: what it may hold is bounded,
//! and another peer's echo is as quick as through a daemon that nobody attacks.
//!
//! The second daemon is the measure: what this machine and the attacker's own work cost, it suffers too.
//! A program of its own, so that no other test is measured.

#[path = "../bad_input/hostile.rs"]
#[expect(dead_code, reason = "the tests of single violations use all of it")]
mod hostile;

use std::collections::BTreeSet;
use std::future::Future;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use quinn::VarInt;
use throughline::{
    FlowId, FlowStream, Identity, LaneId, Mode, Node, PeerConfig, PeerId, SessionId, Target,
};
use throughline_fixture::process::Process;
use throughline_proto::wire::control::Message;
use throughline_proto::wire::datagram::Datagram;
use throughline_proto::wire::fact::{FlowState, LaneUse, Locators, MAX_LOCATORS, MAX_RANGES, Open};
use throughline_proto::wire::hello::Hello;
use throughline_proto::wire::segment::SegmentHeader;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::{sleep, timeout};

use crate::hostile::{Hostile, Key, hello};

/// The bound on the daemon's windows.
const MEMORY: u64 = 16 << 20;

/// What the peer's share comes to: twice `memory` for windows, half of it for bytes kept for sending, a
/// quarter for its lanes, and what four sessions of 1,024 flows and 32 lanes cost however empty they are.
const SHARE: u64 = 2 * MEMORY + MEMORY / 2 + MEMORY / 4 + (100 << 20);

/// What an echo may take longer than through the daemon that nobody attacks.
const DELAY: Duration = Duration::from_millis(20);

/// How long each part of the siege lasts. A peer has four sessions, so four ways go on at once.
const PART: Duration = Duration::from_secs(2);

/// How many ways there are.
const WAYS: usize = 10;

/// Pause of each of the ways, so that they leave the machine to what is attacked.
const PAUSE: Duration = Duration::from_millis(5);

/// A daemon that lets `guests` reach this host's loopback.
struct Daemon {
    process: Process,
    id: PeerId,
    addr: SocketAddr,
    _directory: tempfile::TempDir,
}

impl Daemon {
    fn start(guests: &[PeerId]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let id = Identity::create(directory.path().join("key")).unwrap().peer_id();
        let mut text = format!(
            "identity = 'key'\nlisten = '127.0.0.1:0'\nadmin = 'admin.sock'\nmemory = '{MEMORY}'\n"
        );
        for (number, guest) in guests.iter().enumerate() {
            text += &format!("[peers.guest{number}]\nkey = '{guest}'\nallow = '127.0.0.1:*'\n");
        }
        let config = directory.path().join("config.toml");
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
        command.arg("run").arg("-c").arg(config).env("NO_COLOR", "1");
        let process = Process::start("throughline", &mut command).unwrap();
        let line = process.says("listening for peers").unwrap();
        let addr = line.split("addr=").nth(1).unwrap().split_whitespace().next().unwrap();
        Self { addr: addr.parse().unwrap(), process, id, _directory: directory }
    }
}

/// Serves connections in a way of its own; returns where.
async fn serve<F: Future<Output = ()> + Send>(
    each: impl Fn(tokio::net::TcpStream) -> F + Send + Sync + Clone + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let each = each.clone();
            tokio::spawn(async move { each(stream).await });
        }
    });
    addr
}

/// The correct peer, on a thread of its own: an echo through each daemon, in turn.
struct Bystander {
    _runtime: Runtime,
    flows: Vec<FlowStream>,
    stop: Arc<AtomicBool>,
}

impl Bystander {
    fn new(identity: Identity, daemons: [&Daemon; 2]) -> Self {
        let runtime = Runtime::new().unwrap();
        let flows = runtime.block_on(async {
            let echo = serve(|mut stream| async move {
                let _ = stream.set_nodelay(true);
                let (mut reader, mut writer) = stream.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
            let target: Target = echo.await.to_string().parse().unwrap();
            let mut node = Node::builder().identity(identity);
            for (daemon, name) in daemons.iter().zip(["attacked", "control"]) {
                let there = PeerConfig::new(daemon.id, name);
                node = node.peer(there.locator(daemon.addr));
            }
            let node = node.build().await.unwrap();
            let mut flows = Vec::new();
            for daemon in daemons {
                flows.push(node.connect(daemon.id, target.clone()).await.unwrap());
            }
            flows
        });
        Self { _runtime: runtime, flows, stop: Arc::default() }
    }

    /// Returns the round trips through each daemon, sorted.
    fn run(mut self) -> Vec<Vec<Duration>> {
        let (stop, runtime) = (self.stop.clone(), self._runtime);
        runtime.block_on(async {
            let mut trips = vec![Vec::new(), Vec::new()];
            while !stop.load(Ordering::Relaxed) {
                for (flow, trips) in self.flows.iter_mut().zip(&mut trips) {
                    let sent = Instant::now();
                    flow.write_all(b"echo").await.unwrap();
                    flow.read_exact(&mut [0; 4]).await.unwrap();
                    trips.push(sent.elapsed());
                }
                sleep(Duration::from_millis(5)).await;
            }
            trips.iter_mut().for_each(|trips| trips.sort_unstable());
            trips
        })
    }
}

/// The attacker.
#[derive(Clone)]
struct Attacker {
    key: Arc<Key>,
    addr: SocketAddr,
    until: Instant,
    /// Reads nothing.
    sink: SocketAddr,
    /// Writes without an end.
    source: SocketAddr,
    /// The ways for which there was a lane.
    tried: Arc<Mutex<BTreeSet<&'static str>>>,
}

impl Attacker {
    fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    /// Sets up a lane of a session, unless the daemon has enough of them.
    async fn lane(&self, session: SessionId, lane: u64) -> Option<Hostile> {
        let connecting = Hostile::try_connect(self.addr, &self.key);
        let mut hostile = timeout(Duration::from_secs(3), connecting).await.ok()??;
        let hello = Hello { session, lane: LaneId(lane), ..hello() };
        hostile.send_message(&Message::Hello(hello)).await;
        let answer = timeout(Duration::from_secs(3), hostile.try_receive()).await.ok()??;
        matches!(answer, Message::Welcome(_)).then_some(hostile)
    }

    /// Repeats a way with a lane of a new session for as long as this part of the siege lasts.
    async fn repeat<F: Future<Output = Option<()>>>(
        self,
        name: &'static str,
        way: impl Fn(Self, Hostile) -> F,
    ) {
        while self.goes_on() {
            let session = SessionId(rand::random());
            if let Some(lane) = self.lane(session, 0).await {
                self.tried.lock().unwrap().insert(name);
                let left = self.until.saturating_duration_since(Instant::now());
                let _ = timeout(left, way(self.clone(), lane)).await;
            }
            sleep(PAUSE * 4).await;
        }
    }
}

fn open(to: &Target, mode: Mode) -> Option<Open> {
    Some(Open { target: to.clone(), mode })
}

fn tcp(addr: SocketAddr) -> Target {
    addr.to_string().parse().unwrap()
}

/// Returns the state of a flow that is opened with all the credit that there can be.
fn state(flow: u64, version: u64, to: &Target) -> FlowState {
    FlowState {
        flow: FlowId(2 * flow),
        version,
        received: vec![],
        max_offset: 1 << 40,
        final_size: None,
        open: open(to, Mode::Redundant),
        outcome: None,
        reset: None,
    }
}

/// Control messages that ask for work with every flow, and addresses that nobody has.
async fn control_flood(of: Attacker, mut lane: Hostile) -> Option<()> {
    let mut flood = Message::EndOfSync.to_bytes().repeat(200);
    for version in 1.. {
        let lane_use = LaneUse { lane: LaneId(0), version, cost: 1, draining: version % 2 == 0 };
        flood.extend(Message::LaneUse(lane_use).to_bytes());
        let list = (0..MAX_LOCATORS as u16)
            .map(|n| SocketAddr::from(([192, 0, 2, version as u8], n + 1)).into());
        let locators = Locators { generation: version, list: list.collect() };
        flood.extend(Message::Locators(locators).to_bytes());
        lane.send.write_all(&flood).await.ok()?;
        flood.truncate(200 * Message::EndOfSync.to_bytes().len());
        sleep(PAUSE).await;
        if !of.goes_on() {
            break;
        }
    }
    Some(())
}

/// As many flows as there may be, to a destination that reads nothing, each filled.
async fn full_flows(of: Attacker, mut lane: Hostile) -> Option<()> {
    let to = tcp(of.sink);
    let mut held = Vec::new();
    for flow in 0..1024 {
        lane.send_message(&Message::FlowState(state(flow, 1, &to))).await;
        let header = SegmentHeader {
            flow: FlowId(2 * flow),
            offset: 0,
            resent: false,
            open: open(&to, Mode::Single),
        };
        held.push(lane.segment(&header, &[7; 15 << 10]).await?);
    }
    sleep(PART).await;
    Some(())
}

/// One byte in two of a flow, each in a stream of its own.
async fn small_chunks(of: Attacker, lane: Hostile) -> Option<()> {
    let to = tcp(of.sink);
    for n in 0..2000 {
        let header = SegmentHeader {
            flow: FlowId(0),
            offset: 2 * n + 1,
            resent: false,
            open: open(&to, Mode::Single),
        };
        lane.segment(&header, &[7]).await?.finish().ok()?;
    }
    sleep(Duration::from_secs(1)).await;
    Some(())
}

/// Streams that never say what they are, as many as there may be, again and again.
async fn headless_streams(of: Attacker, lane: Hostile) -> Option<()> {
    while of.goes_on() {
        let mut streams = Vec::new();
        for _ in 0..512 {
            let mut stream = lane.connection.open_uni().await.ok()?;
            stream.write_all(&[1]).await.ok()?;
            streams.push(stream);
        }
        sleep(PAUSE).await;
        streams.iter_mut().for_each(|s| drop(s.reset(VarInt::from_u32(1))));
    }
    Some(())
}

/// Downloads that nobody reads.
async fn unread_downloads(of: Attacker, mut lane: Hostile) -> Option<()> {
    let to = tcp(of.source);
    for flow in 0..200 {
        lane.send_message(&Message::FlowState(state(flow, 1, &to))).await;
    }
    sleep(PART).await;
    Some(())
}

/// Every second byte of a download, acknowledged again and again.
async fn small_chunks_of_receipts(of: Attacker, mut lane: Hostile) -> Option<()> {
    let to = tcp(of.source);
    lane.send_message(&Message::FlowState(state(0, 1, &to))).await;
    sleep(Duration::from_millis(200)).await;
    for version in 2.. {
        let from = (version % 50) * 2 * MAX_RANGES as u64;
        let received = (0..MAX_RANGES as u64).map(|n| from + 2 * n + 1..from + 2 * n + 2);
        let state = FlowState { received: received.collect(), ..state(0, version, &to) };
        lane.send.write_all(&Message::FlowState(state).to_bytes()).await.ok()?;
        if version % 10 == 0 {
            sleep(PAUSE).await;
        }
        if !of.goes_on() {
            break;
        }
    }
    Some(())
}

/// Names that do not exist, as many as may be asked for.
async fn names(_: Attacker, mut lane: Hostile) -> Option<()> {
    for flow in 0..1000 {
        let to = format!("n{}.invalid:80", rand::random::<u64>()).parse().unwrap();
        lane.send_message(&Message::FlowState(state(flow, 1, &to))).await;
        if flow % 50 == 0 {
            sleep(PAUSE).await;
        }
    }
    sleep(Duration::from_secs(1)).await;
    Some(())
}

/// Probes, each to be answered at its length.
async fn pings(of: Attacker, lane: Hostile) -> Option<()> {
    for seq in 0.. {
        let _ = lane.connection.send_datagram(Datagram::Ping { seq }.to_bytes(1100));
        if seq % 20 == 0 {
            sleep(PAUSE).await;
        }
        if !of.goes_on() {
            break;
        }
    }
    Some(())
}

/// Flows that are opened and reset, as quickly as may be.
async fn opens_and_resets(of: Attacker, mut lane: Hostile) -> Option<()> {
    let to = tcp(of.sink);
    for flow in 0..3000 {
        let reset = throughline_proto::wire::fact::ResetAt { at: 0, code: 1 };
        let state = FlowState { reset: Some(reset), ..state(flow, 1, &to) };
        lane.send_message(&Message::FlowState(state)).await;
        if flow % 50 == 0 {
            sleep(PAUSE).await;
        }
    }
    Some(())
}

/// Lanes that come and go: handshakes, and sessions that are never used.
async fn churn(of: Attacker, _: Hostile) -> Option<()> {
    while of.goes_on() {
        drop(of.lane(SessionId(rand::random()), 0).await);
        sleep(PAUSE).await;
    }
    Some(())
}

async fn besiege(of: Attacker) {
    let part = || Attacker { until: Instant::now() + PART, ..of.clone() };
    tokio::join!(
        part().repeat("full flows", full_flows),
        part().repeat("unread downloads", unread_downloads),
        part().repeat("small chunks of receipts", small_chunks_of_receipts),
        part().repeat("small chunks", small_chunks),
    );
    tokio::join!(
        part().repeat("control flood", control_flood),
        part().repeat("headless streams", headless_streams),
        part().repeat("pings", pings),
        part().repeat("full flows", full_flows),
    );
    tokio::join!(
        part().repeat("names", names),
        part().repeat("opens and resets", opens_and_resets),
        part().repeat("churn", churn),
        part().repeat("unread downloads", unread_downloads),
    );
}

/// What a siege came to.
struct Outcome {
    /// The memory that the daemon took beyond what it had.
    grown: u64,
    /// The 99th percentiles of the echo: through the daemon that is attacked, and the other one.
    p99: [Duration; 2],
}

/// Besieges a daemon once, with everything new.
fn siege() -> Outcome {
    let (key, honest) = (Arc::new(Key::new()), Identity::generate());
    let guests = [honest.peer_id(), key.id()];
    let (attacked, control) = (Daemon::start(&guests), Daemon::start(&guests));
    let bystander = Bystander::new(honest, [&attacked, &control]);
    let stop = bystander.stop.clone();
    let echo = std::thread::spawn(move || bystander.run());
    std::thread::sleep(Duration::from_millis(300));

    let before = attacked.process.resident().unwrap();
    let runtime = Runtime::new().unwrap();
    let (addr, tried) = (attacked.addr, Arc::<Mutex<BTreeSet<_>>>::default());
    let record = tried.clone();
    let siege = runtime.spawn(async move {
        let sink = serve(|stream| async move {
            sleep(10 * PART).await;
            drop(stream);
        });
        let source =
            serve(
                |mut stream| async move { while stream.write_all(&[7; 16 << 10]).await.is_ok() {} },
            );
        let (sink, source) = (sink.await, source.await);
        besiege(Attacker { key, addr, until: Instant::now(), sink, source, tried: record }).await;
    });
    let mut most = before;
    while !siege.is_finished() {
        most = most.max(attacked.process.resident().unwrap());
        std::thread::sleep(Duration::from_millis(50));
    }
    stop.store(true, Ordering::Relaxed);
    let trips = echo.join().unwrap();
    let tried = tried.lock().unwrap();
    assert_eq!(tried.len(), WAYS, "not every way was tried: {tried:?}");
    let p99 = [0, 1].map(|n: usize| trips[n][trips[n].len() * 99 / 100]);
    let grown = most - before;
    println!(
        "{} echoes, p99 {:?} beside the siege and {:?} without; {} MiB more of {} MiB",
        trips[0].len(),
        p99[0],
        p99[1],
        grown >> 20,
        SHARE >> 20
    );
    Outcome { grown, p99 }
}

#[test]
fn a_peer_that_tries_the_ten_nastiest_ways_keeps_to_its_share_and_delays_nobody() {
    // On a machine that is busy with other things the daemon that works more waits longer for a core.
    for left in (0..3).rev() {
        let Outcome { grown, p99: [beside, without] } = siege();
        assert!(grown <= SHARE, "{} MiB more than before", grown >> 20);
        if beside <= without + DELAY {
            return;
        }
        assert!(left > 0, "p99 {beside:?}, through the other daemon {without:?}");
    }
}
