//! Real lanes over loopback, through a relay that delays and can be blackholed.

use std::net::{Ipv4Addr, UdpSocket as StdSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use quinn::{Connection, Endpoint};
use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

use super::*;
use crate::engine::qlog::Trace;
use crate::engine::quic::endpoint::{self, ReadGate, Reception, STANDARD_PAYLOAD};
use crate::engine::quic::socket::{self, SocketOptions};
use throughline_proto::lane::{MAX_ACK_DELAY, SuspicionDetector, Verdict};

const MS: Duration = Duration::from_millis(1);
/// What a relay carries: 200 Mbit/s, 40 ns a byte, with a queue of 50 ms (DESIGN.md §5).
const PER_BYTE: Duration = Duration::from_nanos(40);
const QUEUE: Duration = Duration::from_millis(50);
/// One way through it.
const DELAY: Duration = Duration::from_millis(10);

/// A path of 20 ms between one client and one server; `dead` drops everything both ways.
struct Relay {
    addr: SocketAddr,
    dead: Arc<AtomicBool>,
}

impl Relay {
    /// A relay to `server` that listens on `ip`, so that clients of different relays have different
    /// addresses for the server.
    async fn start(ip: [u8; 4], server: SocketAddr) -> Self {
        let front = Arc::new(UdpSocket::from_std(bind(ip)).unwrap());
        let back = Arc::new(UdpSocket::from_std(bind(ip)).unwrap());
        let dead = Arc::new(AtomicBool::new(false));
        let addr = front.local_addr().unwrap();
        let client = Arc::new(parking_lot::Mutex::new(None));
        for (from, to, inbound) in [(&front, &back, true), (&back, &front, false)] {
            #[expect(clippy::disallowed_methods, reason = "QUEUE bounds what waits in it")]
            let (queue, mut queued) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
            let (reader, known, is_dead) =
                (Arc::clone(from), Arc::clone(&client), Arc::clone(&dead));
            tokio::spawn(async move {
                let mut buffer = vec![0; 2048];
                let mut free = Instant::now();
                loop {
                    let Ok((length, source)) = reader.recv_from(&mut buffer).await else {
                        continue;
                    };
                    if inbound {
                        *known.lock() = Some(source);
                    }
                    let now = Instant::now();
                    free = free.max(now);
                    if !is_dead.load(Ordering::Relaxed) && free - now < QUEUE {
                        free += PER_BYTE * length as u32;
                        let _ = queue.send((free + DELAY, buffer[..length].to_vec()));
                    }
                }
            });
            let (writer, known, is_dead) = (Arc::clone(to), Arc::clone(&client), Arc::clone(&dead));
            tokio::spawn(async move {
                while let Some((due, packet)) = queued.recv().await {
                    tokio::time::sleep_until(due.into()).await;
                    let to = if inbound { Some(server) } else { *known.lock() };
                    if let (Some(to), false) = (to, is_dead.load(Ordering::Relaxed)) {
                        let _ = writer.send_to(&packet, to).await;
                    }
                }
            });
        }
        Self { addr, dead }
    }

    fn set_dead(&self, dead: bool) {
        self.dead.store(dead, Ordering::Relaxed);
    }
}

fn bind(ip: [u8; 4]) -> StdSocket {
    socket::bind((Ipv4Addr::from(ip), 0).into(), &SocketOptions::default()).unwrap()
}

/// A lane through a relay, with both ends' sensors.
struct Lane {
    relay: Relay,
    endpoint: Endpoint,
    client: Connection,
    sensor: Arc<LaneSensor>,
    server: Connection,
    server_sensor: Arc<LaneSensor>,
    _listening: Endpoint,
}

impl Lane {
    /// A lane that is attached: the server grants more than a set-up needs.
    async fn up() -> Self {
        let lane = Self::being_set_up().await;
        lane.server.set_receive_window(VarInt::from_u32(64 << 20));
        lane
    }

    async fn being_set_up() -> Self {
        let (a, b) = (Identity::generate(), Identity::generate());
        let settings = LaneTransport::default();
        let allowed = Arc::new(PeerSet::new([a.peer_id()]));
        let factory = server_config(&settings, &b, allowed);
        let socket = bind([127, 0, 0, 1]);
        let addr = socket.local_addr().unwrap();
        let listening = endpoint(endpoint_config(&b, addr), Some(factory.for_endpoint()), socket);
        let relay = Relay::start([127, 0, 1, 1], addr).await;
        let endpoint = endpoint(dialing_endpoint_config(), None, bind([127, 0, 2, 1]));
        let (config, sensor) =
            client_config(&settings, &a, vec![b.peer_id()], STANDARD_PAYLOAD, &Trace::none());
        let (per_connection, server_sensor) =
            factory.for_connection(STANDARD_PAYLOAD, &Trace::none());
        let dial = endpoint.connect_with(config, relay.addr, tls::SERVER_NAME).unwrap();
        let accept = async {
            let incoming = listening.accept().await.unwrap();
            incoming.accept_with(per_connection).unwrap().await
        };
        let (client, server) = tokio::try_join!(dial, accept).unwrap();
        Self { relay, endpoint, client, sensor, server, server_sensor, _listening: listening }
    }
}

fn endpoint(config: EndpointConfig, server: Option<ServerConfig>, socket: StdSocket) -> Endpoint {
    let reception = Reception::Accepting(ReadGate::default());
    endpoint::open(config, server, socket, reception, <_>::default()).unwrap()
}

/// Keeps one direction busy; the receiver's progress is written to what is returned.
fn pump(from: &Connection, to: &Connection) -> Arc<parking_lot::Mutex<(u64, Instant)>> {
    let progress = Arc::new(parking_lot::Mutex::new((0, Instant::now())));
    let (from, to, seen) = (from.clone(), to.clone(), Arc::clone(&progress));
    tokio::spawn(async move {
        let mut stream = from.open_uni().await.unwrap();
        let chunk = Bytes::from(vec![7; 16 << 10]);
        while stream.write_chunk(chunk.clone()).await.is_ok() {}
    });
    tokio::spawn(async move {
        let mut stream = to.accept_uni().await.unwrap();
        while let Ok(Some(chunk)) = stream.read_chunk(1 << 20, true).await {
            let mut seen = seen.lock();
            *seen = (seen.0 + chunk.bytes.len() as u64, Instant::now());
        }
    });
    progress
}

/// How long until bytes arrive again.
async fn resumes(progress: &parking_lot::Mutex<(u64, Instant)>) -> Duration {
    let (before, start) = (progress.lock().0, Instant::now());
    timeout(Duration::from_secs(10), async {
        while progress.lock().0 == before {
            sleep(MS).await;
        }
    })
    .await
    .expect("the transfer resumes");
    start.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_at_once_when_a_dead_lane_is_moved() {
    let outage = std::env::var("OUTAGE_MS").ok().and_then(|ms| ms.parse().ok()).unwrap_or(1000);
    let lane = Lane::up().await;
    let upload = pump(&lane.client, &lane.server);
    sleep(500 * MS).await;
    assert!(upload.lock().0 > 1 << 20, "{} bytes in half a second", upload.lock().0);

    // The client's way to the relay is what dies and what it moves away from; the relay stands for
    // the server's address, which stays.
    lane.relay.set_dead(true);
    sleep(outage * MS).await;
    lane.relay.set_dead(false);
    let stuck = lane.sensor.snapshot();
    assert!(stuck.oldest_unacked.unwrap().elapsed() > outage * MS / 2);
    lane.sensor.migrating(Instant::now());
    lane.endpoint.rebind(bind([127, 0, 2, 2])).unwrap();
    let elapsed = resumes(&upload).await;
    println!("upload resumed {elapsed:?} after the move");
    assert!(elapsed < 150 * MS, "resumed after {elapsed:?}");
    sleep(500 * MS).await;
    let seen = lane.sensor.snapshot();
    assert_eq!(seen.epoch, 1);
    assert!(seen.cwnd >= 64 << 10, "packets of the old path are not congestion: {}", seen.cwnd);
    assert!(upload.lock().1.elapsed() < 100 * MS, "and keeps flowing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_goes_on_when_its_receiver_moves_and_the_sensor_follows_the_new_path() {
    let lane = Lane::up().await;
    let download = pump(&lane.server, &lane.client);
    sleep(500 * MS).await;
    lane.relay.set_dead(true);
    sleep(1000 * MS).await;
    lane.relay.set_dead(false);
    lane.sensor.migrating(Instant::now());
    lane.endpoint.rebind(bind([127, 0, 2, 2])).unwrap();
    let elapsed = resumes(&download).await;
    println!("download resumed {elapsed:?} after the move");
    assert!(elapsed < 1000 * MS, "resumed after {elapsed:?}");
    sleep(500 * MS).await;
    let seen = lane.server_sensor.snapshot();
    assert!(seen.last_ack.unwrap().elapsed() < 100 * MS);
    assert!(seen.srtt < 200 * MS, "{:?}", seen.srtt);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allowed_probe_goes_out_although_the_window_is_full() {
    let lane = Lane::up().await;
    let upload = pump(&lane.client, &lane.server);
    sleep(300 * MS).await;
    lane.relay.set_dead(true);
    // Until the window is full.
    sleep(300 * MS).await;
    lane.relay.set_dead(false);
    // Without being allowed to nothing leaves but quinn's own probes, which have backed off by now.
    let start = Instant::now();
    lane.sensor.allow_probe();
    lane.client.send_datagram(Bytes::from_static(b"are you there?")).unwrap();
    let got = timeout(100 * MS, lane.server.read_datagram()).await.expect("it arrives").unwrap();
    println!("allowed probe arrived {:?} after it was handed over", start.elapsed());
    assert_eq!(&got[..], b"are you there?");
    let elapsed = resumes(&upload).await;
    println!("upload resumed {elapsed:?} after that");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn saturated_bulk_idleness_and_thin_flows_raise_no_suspicion_and_a_cut_does_quickly() {
    let lane = Lane::up().await;
    let mut judge = SuspicionDetector::new(MAX_ACK_DELAY);
    let mut false_alarms = 0;
    let mut watch = async |for_ms: u64, judge: &mut SuspicionDetector, stop: bool| {
        let start = Instant::now();
        let mut last = start;
        while start.elapsed() < Duration::from_millis(for_ms) {
            sleep(MS).await;
            let now = Instant::now();
            judge.timer_fired(now, now.saturating_duration_since(last + 2 * MS));
            last = now;
            if matches!(judge.evaluate(now, &lane.sensor.snapshot()), Verdict::Suspect { .. }) {
                if stop {
                    return Some(start.elapsed());
                }
                false_alarms += 1;
            }
        }
        None
    };
    watch(300, &mut judge, false).await;
    for _ in 0..10 {
        lane.client.send_datagram(Bytes::from_static(b"tick")).unwrap();
        watch(30, &mut judge, false).await;
    }
    let upload = pump(&lane.client, &lane.server);
    watch(1500, &mut judge, false).await;
    // Nothing on a quiet machine. A busy one makes this path pause, and a silence that may be another pause is
    // waited out by design (`proto::lane::pauses`).
    let usual = lane.sensor.snapshot().pauses.suspect_after;
    lane.relay.set_dead(true);
    let noticed = watch(1000, &mut judge, true).await.expect("a cut is noticed");
    println!(
        "{false_alarms} polls suspect before the cut; noticed after {noticed:?}, {usual:?} are usual"
    );
    println!("{} bytes, {:?}", upload.lock().0, lane.sensor.snapshot());
    assert!(false_alarms < 100, "{false_alarms} polls");
    assert!(noticed < 100 * MS + usual, "noticed after {noticed:?}, {usual:?} are usual");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_downloader_that_only_acknowledges_is_not_suspect() {
    let lane = Lane::up().await;
    let _download = pump(&lane.server, &lane.client);
    let mut judge = SuspicionDetector::new(MAX_ACK_DELAY);
    let (mut suspect, mut outstanding, mut in_flight) = (0, 0, 0);
    let mut probed: Option<Instant> = None;
    for _ in 0..500 {
        sleep(2 * MS).await;
        let seen = lane.sensor.snapshot();
        outstanding += u32::from(seen.oldest_unacked.is_some());
        in_flight = seen.in_flight.max(in_flight);
        let is_suspect = matches!(judge.evaluate(Instant::now(), &seen), Verdict::Suspect { .. });
        if is_suspect && probed.is_none_or(|at| at.elapsed() >= 100 * MS) {
            // As the driver probes: its small packets clear nothing.
            probed = Some(Instant::now());
            let len = lane.client.max_datagram_size().unwrap();
            lane.client.send_datagram(vec![0; len].into()).unwrap();
        }
        suspect += u32::from(is_suspect);
    }
    // Its credit updates (MAX_DATA) are packets to be acknowledged, and wait in the full queue.
    println!(
        "of 500 polls {outstanding} with something outstanding, {suspect} suspect, {in_flight} bytes"
    );
    assert!(suspect < 100, "{suspect}");
    assert!(in_flight < 2000, "acknowledgements are not in flight: {in_flight}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bulk_in_both_directions_at_once_raises_no_suspicion() {
    let lane = Lane::up().await;
    let (up, down) = (pump(&lane.client, &lane.server), pump(&lane.server, &lane.client));
    let mut judges = [SuspicionDetector::new(MAX_ACK_DELAY), SuspicionDetector::new(MAX_ACK_DELAY)];
    let mut suspect = [0, 0];
    for _ in 0..1000 {
        sleep(2 * MS).await;
        for (end, sensor) in [&lane.sensor, &lane.server_sensor].into_iter().enumerate() {
            let verdict = judges[end].evaluate(Instant::now(), &sensor.snapshot());
            suspect[end] += u32::from(matches!(verdict, Verdict::Suspect { .. }));
        }
    }
    println!(
        "{} up, {} down in 2 s; suspect of 1000 polls: {suspect:?}",
        up.lock().0,
        down.lock().0
    );
    assert!(suspect[0] < 100 && suspect[1] < 100, "{suspect:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_stays_outstanding_after_the_handshake_or_a_move_of_an_idle_lane() {
    let lane = Lane::up().await;
    let outstanding = || [&lane.sensor, &lane.server_sensor].map(|s| s.snapshot().oldest_unacked);
    sleep(300 * MS).await;
    assert_eq!(outstanding(), [None, None]);
    lane.sensor.migrating(Instant::now());
    lane.endpoint.rebind(bind([127, 0, 2, 2])).unwrap();
    sleep(300 * MS).await;
    assert_eq!(outstanding(), [None, None]);
    assert_eq!(lane.sensor.snapshot().epoch, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_listener_resets_the_lanes_of_its_earlier_life() {
    let (a, b) = (Identity::generate(), Identity::generate());
    let settings = LaneTransport::default();
    let allowed = Arc::new(PeerSet::new([a.peer_id()]));
    let factory = server_config(&settings, &b, allowed);
    let socket = bind([127, 0, 0, 1]);
    let addr = socket.local_addr().unwrap();
    // The socket outlives its first endpoint, so that no CONNECTION_CLOSE is sent by a crash.
    let kept = socket.try_clone().unwrap();
    let (per_connection, _) = factory.for_connection(STANDARD_PAYLOAD, &Trace::none());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let first = {
        let _guard = runtime.enter();
        endpoint(endpoint_config(&b, addr), Some(factory.for_endpoint()), socket)
    };
    let server = runtime.spawn(async move {
        let connection = first.accept().await.unwrap().accept_with(per_connection).unwrap().await;
        (first, connection.unwrap())
    });
    let dialer = endpoint(dialing_endpoint_config(), None, bind([127, 0, 0, 1]));
    let (config, _) =
        client_config(&settings, &a, vec![b.peer_id()], STANDARD_PAYLOAD, &Trace::none());
    let client = dialer.connect_with(config, addr, tls::SERVER_NAME).unwrap().await.unwrap();
    std::mem::forget(server.await.unwrap());
    sleep(50 * MS).await;
    runtime.shutdown_background();
    sleep(50 * MS).await;

    let _second = endpoint(endpoint_config(&b, addr), Some(factory.for_endpoint()), kept);
    let start = Instant::now();
    client.send_datagram(Bytes::from(vec![0; 100])).unwrap();
    let error = timeout(Duration::from_secs(3), client.closed()).await.expect("it is reset");
    println!("reset after {:?}", start.elapsed());
    assert_eq!(error, quinn::ConnectionError::Reset);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialer_may_send_little_before_its_lane_is_attached() {
    let lane = Lane::being_set_up().await;
    let mut sent = 0;
    let mut streams = Vec::new();
    while let Ok(Ok(mut stream)) = timeout(200 * MS, lane.client.open_uni()).await {
        while let Ok(Ok(written)) = timeout(200 * MS, stream.write(&[0; 4096])).await {
            sent += written as u64;
        }
        streams.push(stream);
    }
    assert!(streams.len() <= SETUP_STREAMS as usize, "{} streams", streams.len());
    // QUIC itself buffers what it may not send yet: what left is bounded.
    let arrived = lane.server.stats().udp_rx.bytes;
    assert!(sent > 0 && arrived < 4 * u64::from(SETUP_WINDOW), "{arrived} bytes arrived");
}
