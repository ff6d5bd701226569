//! The emulated internet, measured with real sockets.
//!
//! Times are asserted with room for a busy machine; medians, not single packets, say whether the
//! emulator is right.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use throughline_emulator::{Emulator, Profile, Queue, Way};

const MS: Duration = Duration::from_millis(1);
const CLIENT_A: Ipv4Addr = Ipv4Addr::new(127, 0, 11, 1);
const CLIENT_B: Ipv4Addr = Ipv4Addr::new(127, 0, 12, 1);
const SEEN_A: Ipv4Addr = Ipv4Addr::new(127, 0, 21, 1);
const SEEN_B: Ipv4Addr = Ipv4Addr::new(127, 0, 22, 1);

fn any_port(ip: impl Into<IpAddr>) -> SocketAddr {
    SocketAddr::new(ip.into(), 0)
}

fn udp(ip: Ipv4Addr) -> UdpSocket {
    let socket = UdpSocket::bind(any_port(ip)).unwrap();
    socket.set_read_timeout(Some(200 * MS)).unwrap();
    socket
}

fn two_isps(profile: &Profile) -> Emulator {
    Emulator::builder()
        .seed(1)
        .isp("isp-a", profile)
        .isp("isp-b", profile)
        .client("isp-a", CLIENT_A, SEEN_A)
        .client("isp-b", CLIENT_B, SEEN_B)
        .start()
        .unwrap()
}

/// A server socket and a locator leading to it.
fn server(emulator: &Emulator) -> (UdpSocket, SocketAddr) {
    let server = udp(Ipv4Addr::LOCALHOST);
    let locator = emulator
        .udp_locator(any_port([127, 0, 31, 1]), server.local_addr().unwrap(), None)
        .unwrap();
    (server, locator)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn a_datagram_takes_the_delay_each_way_and_a_millisecond_more_at_most() {
    let emulator = two_isps(&Profile::new(0, 10 * MS));
    let (server, locator) = server(&emulator);
    let client = udp(CLIENT_A);
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for i in 0..50u8 {
        let sent = Instant::now();
        client.send_to(&[i; 64], locator).unwrap();
        let mut buffer = [0; 100];
        let (_, from) = server.recv_from(&mut buffer).unwrap();
        there.push(sent.elapsed());
        let answered = Instant::now();
        server.send_to(&buffer[..64], from).unwrap();
        let (len, from) = client.recv_from(&mut buffer).unwrap();
        back.push(answered.elapsed());
        assert_eq!((len, from, buffer[0]), (64, locator, i));
    }
    println!("one-way delay of 10 ms: median {:?} and {:?}", median(there.clone()), {
        median(back.clone())
    });
    for times in [there, back] {
        let least = *times.iter().min().unwrap();
        assert!(least >= 10 * MS, "{least:?}: earlier than the delay");
        let median = median(times);
        assert!(median <= 12 * MS, "median {median:?} of a delay of 10 ms");
    }
}

#[test]
fn a_saturated_link_passes_its_rate_and_drops_the_rest_at_the_tail() {
    const RATE: u64 = 80_000_000;
    let emulator = two_isps(&Profile::new(RATE, 5 * MS).queue(Queue::Time(20 * MS)));
    let (server, locator) = server(&emulator);
    let client = udp(CLIENT_A);
    // Twice the rate for a second, in small bursts.
    let begin = Instant::now();
    let sender = std::thread::spawn(move || {
        let mut sent = 0u64;
        while begin.elapsed() < 1000 * MS {
            let due = (begin.elapsed().as_secs_f64() * 2.0 * RATE as f64 / 8.0 / 1228.0) as u64;
            while sent < due {
                client.send_to(&[7; 1200], locator).unwrap();
                sent += 1;
            }
            std::thread::sleep(MS);
        }
        sent
    });
    let (mut first, mut last, mut bytes) = (None, begin, 0u64);
    let mut buffer = [0; 2000];
    while let Ok(len) = server.recv(&mut buffer) {
        last = Instant::now();
        if first.is_some() {
            bytes += len as u64 + 28;
        }
        first.get_or_insert(last);
    }
    let sent = sender.join().unwrap();
    let rate = bytes as f64 * 8.0 / (last - first.unwrap()).as_secs_f64();
    let stats = emulator.isp("isp-a").stats().up;
    println!("rate {:.2} Mbit/s of {} asked; {stats:?}", rate / 1e6, RATE / 1_000_000);
    assert!((rate / RATE as f64 - 1.0).abs() < 0.03, "{rate} bit/s instead of {RATE}");
    assert_eq!(stats.delivered.packets + stats.queue_full.packets, sent);
    assert!(stats.queue_full.packets > sent / 3, "{stats:?}");
    assert_eq!(stats.lost.packets + stats.blackholed.packets, 0);
}

#[test]
fn a_one_way_blackhole_swallows_that_way_only() {
    let emulator = two_isps(&Profile::new(0, MS));
    let isp = emulator.isp("isp-a");
    let (server, locator) = server(&emulator);
    let client = udp(CLIENT_A);
    let mut buffer = [0; 100];
    client.send_to(b"learn the way back", locator).unwrap();
    let (_, back) = server.recv_from(&mut buffer).unwrap();

    isp.blackhole(Way::Down);
    std::thread::sleep(5 * MS);
    client.send_to(b"up", locator).unwrap();
    assert_eq!(server.recv(&mut buffer).unwrap(), 2);
    server.send_to(b"down", back).unwrap();
    assert!(client.recv(&mut buffer).is_err(), "the way down is a blackhole");

    isp.heal(Way::Down);
    isp.blackhole(Way::Up);
    std::thread::sleep(5 * MS);
    server.send_to(b"down", back).unwrap();
    assert_eq!(client.recv(&mut buffer).unwrap(), 4);
    client.send_to(b"up", locator).unwrap();
    assert!(server.recv(&mut buffer).is_err(), "the way up is a blackhole");

    isp.blackhole(Way::Both);
    assert!(isp.is_blackholed(Way::Down));
    std::thread::sleep(5 * MS);
    server.send_to(b"down", back).unwrap();
    client.send_to(b"up", locator).unwrap();
    assert!(client.recv(&mut buffer).is_err() && server.recv(&mut buffer).is_err());
    let stats = isp.stats();
    assert_eq!((stats.up.blackholed.packets, stats.down.blackholed.packets), (2, 2));
}

#[test]
fn a_client_that_moves_to_another_isp_is_seen_at_another_address() {
    let emulator = two_isps(&Profile::new(0, MS));
    let (server, locator) = server(&emulator);
    let mut buffer = [0; 100];
    let mut seen = |client: &UdpSocket| {
        client.send_to(b"hello", locator).unwrap();
        server.recv_from(&mut buffer).unwrap().1
    };
    let (a, b) = (udp(CLIENT_A), udp(CLIENT_B));
    let from_a = seen(&a);
    assert_eq!(from_a.ip(), IpAddr::from(SEEN_A));
    assert_eq!(seen(&a), from_a, "one client, one address");
    assert_eq!(seen(&b).ip(), IpAddr::from(SEEN_B));
    assert_ne!(seen(&udp(CLIENT_A)), from_a, "another socket, another port");
}

#[test]
fn a_source_that_belongs_to_no_isp_gets_nowhere() {
    let emulator = two_isps(&Profile::new(0, MS));
    let (server, locator) = server(&emulator);
    udp(Ipv4Addr::new(127, 0, 99, 1)).send_to(b"spoofed", locator).unwrap();
    assert!(server.recv(&mut [0; 100]).is_err());
    assert_eq!(emulator.unrouted(), 1);
}

#[test]
fn a_locator_with_a_remote_isp_passes_both() {
    let emulator = two_isps(&Profile::new(0, 5 * MS));
    let server = udp(Ipv4Addr::LOCALHOST);
    let locator = emulator
        .udp_locator(any_port([127, 0, 31, 1]), server.local_addr().unwrap(), Some("isp-b"))
        .unwrap();
    let client = udp(CLIENT_A);
    let sent = Instant::now();
    let mut buffer = [0; 100];
    client.send_to(b"there", locator).unwrap();
    let (_, from) = server.recv_from(&mut buffer).unwrap();
    server.send_to(b"back", from).unwrap();
    client.recv(&mut buffer).unwrap();
    assert!(sent.elapsed() >= 20 * MS, "{:?} for four links of 5 ms", sent.elapsed());
    emulator.isp("isp-b").blackhole(Way::Down);
    std::thread::sleep(5 * MS);
    client.send_to(b"there", locator).unwrap();
    assert!(server.recv(&mut buffer).is_err());
}

/// A TCP echo server behind an ISP, and a connection to it.
fn tcp_echo(emulator: &Emulator) -> TcpStream {
    let listener = TcpListener::bind(any_port(Ipv4Addr::LOCALHOST)).unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 65536];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
    });
    let relay = emulator.tcp(any_port(Ipv4Addr::LOCALHOST), addr, "isp-a").unwrap();
    let stream = TcpStream::connect(relay).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn round_trip(stream: &mut TcpStream) -> Duration {
    let sent = Instant::now();
    stream.write_all(&[9; 64]).unwrap();
    stream.read_exact(&mut [0; 64]).unwrap();
    sent.elapsed()
}

#[test]
fn plain_tcp_takes_the_round_trip_and_one_more_for_its_handshake() {
    let emulator = two_isps(&Profile::new(0, 10 * MS));
    let mut stream = tcp_echo(&emulator);
    let first = round_trip(&mut stream);
    assert!(first >= 40 * MS, "{first:?}: the handshake takes a round trip too");
    let times = (0..20).map(|_| round_trip(&mut stream)).collect();
    let median = median(times);
    assert!((20 * MS..=23 * MS).contains(&median), "median {median:?} of a round trip of 20 ms");
}

#[test]
fn plain_tcp_stays_stuck_until_its_next_retransmission_after_the_path_has_healed() {
    let emulator = two_isps(&Profile::new(0, MS));
    let mut stream = tcp_echo(&emulator);
    round_trip(&mut stream);
    let isp = emulator.isp("isp-a");
    isp.blackhole(Way::Both);
    std::thread::sleep(2 * MS);
    let healer = std::thread::spawn(move || {
        std::thread::sleep(300 * MS);
        isp.heal(Way::Both);
    });
    // Lost at 0, tried again at 200 ms (still lost) and at 600 ms.
    let stuck = round_trip(&mut stream);
    healer.join().unwrap();
    assert!((600 * MS..700 * MS).contains(&stuck), "stuck for {stuck:?}");
    assert!(round_trip(&mut stream) < 50 * MS);
}

#[test]
fn a_tcp_transfer_keeps_its_bytes_and_the_rate_through_cuts_and_ends_with_a_half_close() {
    let emulator = two_isps(&Profile::new(80_000_000, 2 * MS));
    let stream = tcp_echo(&emulator);
    let isp = emulator.isp("isp-a");
    let data: Vec<u8> =
        (0..4_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut writer = stream.try_clone().unwrap();
    let copy = data.clone();
    let begin = Instant::now();
    std::thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    std::thread::spawn(move || {
        for way in [Way::Up, Way::Down, Way::Both] {
            std::thread::sleep(50 * MS);
            isp.blackhole(way);
            std::thread::sleep(20 * MS);
            isp.heal(way);
        }
    });
    let mut echoed = Vec::new();
    let mut stream = stream;
    stream.read_to_end(&mut echoed).unwrap();
    assert!(echoed == data, "{} of {} bytes, or wrong ones", echoed.len(), data.len());
    assert!(begin.elapsed() >= 400 * MS, "4 MB at 80 Mbit/s in {:?}", begin.elapsed());
}
