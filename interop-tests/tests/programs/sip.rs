//! A telephone call: two SIPp, signalling by SIP (RFC 3261) and speech by RTP (RFC 3550), each through a UDP forward.
//!
//! The callee sends back what it hears, so that each packet crosses the internet twice. Between the caller and the
//! daemon a tap notes when each went and came; nothing is changed there.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use interop_tests::process::{self, Process};
use interop_tests::skip::skipped;
use interop_tests::support::Outcome;
use throughline_fixture::{ProgramPair, Shape};
use tokio::net::UdpSocket;
use tokio::process::Command;
use tokio::time::timeout;

use crate::datagrams::{CALL, MAX_ROUND_TRIP, PACKET, each_isp_dies, forward};
use crate::turn;

/// A second of speech, as bytes of G.711, which is said again and again.
const SPEECH: usize = 8000;

/// How long SIPp may take to set the call up and to end it.
const SIGNALLING: Duration = Duration::from_secs(30);

/// What a tap saw: when each packet went, and when it came back.
#[derive(Default)]
struct Trips {
    sent: HashMap<u16, Instant>,
    came: HashMap<u16, Duration>,
}

impl Trips {
    fn went(&mut self, packet: &[u8]) {
        let first = self.sent.insert(number(packet), Instant::now());
        assert!(first.is_none(), "the caller sends {} twice", number(packet));
    }

    fn returned(&mut self, packet: &[u8]) {
        let trip = self.sent[&number(packet)].elapsed();
        let first = self.came.insert(number(packet), trip);
        assert!(first.is_none(), "packet {} came twice", number(packet));
    }
}

/// Returns the sequence number of a packet of RTP.
fn number(packet: &[u8]) -> u16 {
    assert_eq!((packet.len(), packet[0] >> 6), (PACKET, 2), "no packet of the call");
    u16::from_be_bytes([packet[2], packet[3]])
}

/// Passes packets on between the caller and the ingress, until nothing has come for a second after the call.
async fn tap(caller: UdpSocket, ingress: SocketAddr) -> Outcome<Trips> {
    const AFTER_THE_CALL: Duration = Duration::from_secs(2);
    let onward = UdpSocket::bind("127.0.0.1:0").await?;
    onward.connect(ingress).await?;
    let (mut trips, mut at, mut there, mut back) = (Trips::default(), None, [0; 2000], [0; 2000]);
    loop {
        let idle = if at.is_some() { AFTER_THE_CALL } else { SIGNALLING };
        tokio::select! {
            received = caller.recv_from(&mut there) => {
                let (len, from) = received?;
                at = Some(from);
                trips.went(&there[..len]);
                onward.send(&there[..len]).await?;
            }
            received = onward.recv(&mut back) => {
                let len = received?;
                trips.returned(&back[..len]);
                caller.send_to(&back[..len], at.ok_or("an answer before a word")?).await?;
            }
            () = tokio::time::sleep(idle) => return Ok(trips),
        }
    }
}

/// Writes a scenario with these words in the place of others.
fn scenario(home: &Path, name: &str, replaced: &[(&str, String)]) -> Outcome<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name);
    let mut text = std::fs::read_to_string(file)?;
    for (from, to) in replaced {
        text = text.replace(from, to);
    }
    let file = home.join(name);
    std::fs::write(&file, text)?;
    Ok(file.display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_by_sip_and_rtp_loses_nothing_while_each_isp_dies() -> Outcome {
    if skipped("a call by SIPp", &["sipp"], "sip-tester") {
        return Ok(());
    }
    let _turn = turn::alone().await;
    let [sip, rtp] = [process::free_udp_port()?, process::free_udp_port()?];
    let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let tables = [forward("sip", local(sip)), forward("rtp", local(rtp))].concat();
    ProgramPair::start(Shape::default(), &tables)?
        .run(async |pair: &ProgramPair| {
            let home = pair.directory();
            let ear = UdpSocket::bind("127.0.0.1:0").await?;
            let media = ear.local_addr()?.port().to_string();
            let callee = scenario(home, "sip_callee.xml", &[("MEDIA", media)])?;
            let _callee = sipp(&callee, sip, &["-mp", &rtp.to_string(), "-rtp_echo"])?;
            let speech = home.join("speech");
            std::fs::write(&speech, (0..SPEECH).map(|at| (at % 256) as u8).collect::<Vec<_>>())?;
            let length = CALL.as_millis().to_string();
            let replaced = [("AUDIO", speech.display().to_string()), ("LENGTH", length)];
            let caller = scenario(home, "sip_caller.xml", &replaced)?;
            let mut calling = Command::new("sipp");
            calling.arg(pair.near.ingress("sip")?.to_string()).args(ARGUMENTS);
            calling.args(["-sf", &caller, "-p", &process::free_udp_port()?.to_string()]);
            calling.current_dir(home).stdin(Stdio::null()).kill_on_drop(true);
            let call = timeout(CALL + SIGNALLING, calling.output());
            let tapped = tap(ear, pair.near.ingress("rtp")?);
            let (called, trips, ()) = tokio::join!(call, tapped, each_isp_dies(pair));
            let (called, trips) = (called??, trips?);
            let said = String::from_utf8_lossy(&called.stdout);
            assert!(called.status.success(), "the call failed: {}\n{said}", called.status);
            judge(&trips);
            Ok(())
        })
        .await
}

/// What either SIPp is told: one call, at loopback, without a terminal.
const ARGUMENTS: [&str; 7] = ["-i", "127.0.0.1", "-mi", "127.0.0.1", "-m", "1", "-nostdin"];

/// Starts the callee.
fn sipp(scenario: &str, port: u16, more: &[&str]) -> Outcome<Process> {
    let mut command = std::process::Command::new("sipp");
    command.args(ARGUMENTS).args(["-sf", scenario, "-p", &port.to_string()]).args(more);
    command.stdout(Stdio::null());
    Process::start("sipp, the callee", &mut command)
}

fn judge(trips: &Trips) {
    let mut known: Vec<_> = trips.came.values().copied().collect();
    known.sort();
    let (median, worst) = (known[known.len() / 2], known[known.len() - 1]);
    let (sent, lost) = (trips.sent.len(), trips.sent.len() - known.len());
    println!(
        "    sip: {sent} packets each way, {lost} lost; round trip {median:.1?}, at worst {worst:.1?}"
    );
    // 50 a second, but for what SIPp needs to begin.
    let expected = CALL.as_millis() as usize / 20;
    assert!(sent > expected * 9 / 10, "only {sent} of {expected} packets were said");
    assert_eq!(lost, 0, "packets were lost");
    let late = known.iter().filter(|trip| **trip > MAX_ROUND_TRIP).count();
    assert_eq!(late, 0, "packets came later than {MAX_ROUND_TRIP:?}, the worst after {worst:?}");
}
