//! Applications' datagrams: a call of 50 packets a second each way, and a resolver's queries, while each ISP dies.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use interop_tests::skip::skipped;
use interop_tests::support::{Outcome, clock};
use throughline_emulator::Way;
use throughline_fixture::{ProgramPair, Shape};
use tokio::net::UdpSocket;
use tokio::process::Command;
use tokio::time::{interval, sleep, timeout};

use crate::turn;

/// Between two packets of a call: what a packet of G.711 holds.
const INTERVAL: Duration = Duration::from_millis(20);

/// A packet of a call: 20 ms of G.711, and the header of RTP.
pub(crate) const PACKET: usize = 172;

/// How long an ISP is dead.
const DEAD: Duration = Duration::from_secs(4);

/// When each ISP dies, and how long the call lasts.
const DEATHS: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(12)];
pub(crate) const CALL: Duration = Duration::from_secs(20);

/// What becomes of a call beyond the other path's 20 ms there and back: a packet may be 30 ms later each way.
pub(crate) const MAX_ROUND_TRIP: Duration = Duration::from_millis(80);

pub(crate) fn forward(name: &str, to: SocketAddr) -> String {
    format!(
        "[ingress.{name}]\nkind = 'forward'\nprotocol = 'udp'\nlisten = '127.0.0.1:0'\nto = '{to}'\n\
         via = 'far'\n"
    )
}

/// Silences one ISP after the other, without a word, both ways.
pub(crate) async fn each_isp_dies(pair: &ProgramPair) {
    let begun = Instant::now();
    for (isp, at) in pair.isps().into_iter().zip(DEATHS) {
        sleep(at.saturating_sub(begun.elapsed())).await;
        println!("    {} {} is dead for {DEAD:?}", clock(), isp.name());
        isp.blackhole(Way::Both);
        sleep(DEAD).await;
        isp.heal(Way::Both);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_loses_nothing_while_each_isp_dies() -> Outcome {
    let _turn = turn::alone().await;
    let answering = UdpSocket::bind("127.0.0.1:0").await?;
    let addr = answering.local_addr()?;
    ProgramPair::start(Shape::default(), &forward("call", addr))?
        .run(async |pair: &ProgramPair| {
            let calling = UdpSocket::bind("127.0.0.1:0").await?;
            calling.connect(pair.near.ingress("call")?).await?;
            let answers = tokio::spawn(async move {
                let mut packet = [0; 2000];
                while let Ok((len, from)) = answering.recv_from(&mut packet).await {
                    let _ = answering.send_to(&packet[..len], from).await;
                }
            });
            let count = (CALL.as_millis() / INTERVAL.as_millis()) as usize;
            let (mut sent_at, mut trips) = (Vec::with_capacity(count), vec![None; count]);
            let deaths = each_isp_dies(pair);
            tokio::pin!(deaths);
            let (mut ticks, mut packet, mut dead) = (interval(INTERVAL), [0; 2000], false);
            let over = sleep(CALL + Duration::from_secs(1));
            tokio::pin!(over);
            loop {
                tokio::select! {
                    _ = ticks.tick(), if sent_at.len() < count => {
                        let mut packet = [0; PACKET];
                        packet[..8].copy_from_slice(&(sent_at.len() as u64).to_be_bytes());
                        sent_at.push(Instant::now());
                        calling.send(&packet).await?;
                    }
                    received = calling.recv(&mut packet) => {
                        assert_eq!(received?, PACKET);
                        let number = u64::from_be_bytes(packet[..8].try_into()?) as usize;
                        let trip = sent_at[number].elapsed();
                        assert!(trips[number].replace(trip).is_none(), "packet {number} came twice");
                    }
                    () = &mut deaths, if !dead => dead = true,
                    () = &mut over => break,
                }
            }
            answers.abort();
            let lost = trips.iter().filter(|trip| trip.is_none()).count();
            let mut known: Vec<Duration> = trips.into_iter().flatten().collect();
            known.sort();
            let (median, worst) = (known[known.len() / 2], known[known.len() - 1]);
            println!("    call: {count} packets each way, {lost} lost; round trip {median:.1?}, at worst {worst:.1?}");
            assert_eq!(lost, 0, "packets were lost");
            let late = known.iter().filter(|trip| **trip > MAX_ROUND_TRIP).count();
            assert_eq!(late, 0, "packets came later than {MAX_ROUND_TRIP:?}, the worst after {worst:?}");
            Ok(())
        })
        .await
}

/// Asks for the address of a name as resolvers do (RFC 1035), each time from another port, and prints how long
/// the slowest answer took. A query is asked once: none may be lost.
const RESOLVER: &str = r#"
import socket, struct, sys, time
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
slowest = 0
for number in range(count):
    query = struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + b"\x03www\x07example\0" + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        resolver.settimeout(2)
        begun = time.monotonic()
        resolver.sendto(query, (host, port))
        answer = resolver.recv(512)
        slowest = max(slowest, time.monotonic() - begun)
    assert struct.unpack(">2H", answer[:4]) == (number, 0x8180), answer
    assert answer[-4:] == bytes([192, 0, 2, 7]), answer
    time.sleep(0.02)
print(f"{slowest * 1000:.0f}")
"#;

/// Answers queries with one address (RFC 1035 §4).
async fn serve_names(socket: UdpSocket) {
    let mut query = [0; 512];
    while let Ok((len, from)) = socket.recv_from(&mut query).await {
        let mut answer = query[..len].to_vec();
        answer[2..4].copy_from_slice(&0x8180u16.to_be_bytes());
        answer[7] = 1;
        // The name as in the question; A, IN, a minute, four bytes.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
        let _ = socket.send_to(&answer, from).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolver_notices_nothing_while_each_isp_dies() -> Outcome {
    if skipped("a resolver's queries", &["python3"], "python3") {
        return Ok(());
    }
    let _turn = turn::alone().await;
    let names = UdpSocket::bind("127.0.0.1:0").await?;
    let addr = names.local_addr()?;
    ProgramPair::start(Shape::default(), &forward("dns", addr))?
        .run(async |pair: &ProgramPair| {
            let serving = tokio::spawn(serve_names(names));
            let ingress = pair.near.ingress("dns")?;
            let (host, port) = (ingress.ip().to_string(), ingress.port().to_string());
            let mut python = Command::new("python3");
            python.args(["-c", RESOLVER, &host, &port, "300"]).kill_on_drop(true);
            let asking = timeout(Duration::from_secs(120), python.output());
            let (output, ()) = tokio::join!(asking, each_isp_dies(pair));
            let output = output??;
            serving.abort();
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "a query was not answered: {errors}");
            let slowest = String::from_utf8(output.stdout)?;
            println!("    dns: 300 queries, the slowest answered after {} ms", slowest.trim());
            Ok(())
        })
        .await
}
