//! Thousands of short flows, as a resolver's: each from a port of its own, asked once, over after ten seconds. What the
//! daemons hold of them is looked at when all are over, round after round.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use interop_tests::support::Outcome;

use super::setup::{Options, forward};
use crate::pair::Pair;
use crate::process::{megabytes, quantile};

/// A destination whose flows are kept for ten seconds. On an address of its own: a resolver may be at 127.0.0.1.
const DNS: ([u8; 4], u16) = ([127, 0, 54, 1], 53);

/// Until the last flow is over, and the daemons are at rest.
const OVER: Duration = Duration::from_secs(13);

/// How long an answer may take.
const ANSWERED: Duration = Duration::from_secs(2);

/// Threads that ask. Each waits for its answer before it asks again.
const ASKING: u64 = 8;

pub(super) fn measure(options: &Options) -> Outcome {
    let server = UdpSocket::bind(SocketAddr::from(DNS))
        .map_err(|error| format!("cannot listen at {DNS:?}: {error}; that takes root"))?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| echo(&server, &over));
        let measured = rounds(options);
        over.store(true, Ordering::Relaxed);
        measured
    })
}

fn rounds(options: &Options) -> Outcome {
    let pair = Pair::start_with(2, "", &forward("dns", DNS.into()))?;
    let ingress = pair.ingress_named("dns")?;
    thread::sleep(OVER);
    held(&pair, "before")?;
    for round in 1..=options.rounds {
        let begun = Instant::now();
        let (asked, trips) = ask_all(options, DNS.into())?;
        println!("round {round} plain: {}", said(asked, &trips));
        let before = begun.elapsed();
        let (asked, trips) = ask_all(options, ingress)?;
        let took = begun.elapsed() - before;
        println!("round {round} throughline: {}, in {took:.1?}", said(asked, &trips));
        held(&pair, "at once after")?;
        thread::sleep(OVER);
        held(&pair, "when all are over")?;
    }
    Ok(())
}

fn echo(server: &UdpSocket, over: &AtomicBool) {
    let _ = server.set_read_timeout(Some(Duration::from_millis(200)));
    let mut question = [0; 64];
    while !over.load(Ordering::Relaxed) {
        if let Ok((len, from)) = server.recv_from(&mut question) {
            let _ = server.send_to(&question[..len], from);
        }
    }
}

/// Asks from so many ports; returns how often it asked, and how long each answer took.
fn ask_all(options: &Options, to: SocketAddr) -> Outcome<(u64, Vec<Duration>)> {
    let (begun, pace) = (Instant::now(), Duration::from_millis(options.pace));
    let mut trips = thread::scope(|scope| {
        let asking = (0..ASKING).map(|first| {
            scope.spawn(move || -> Outcome<Vec<Duration>> {
                let mut trips = Vec::new();
                for number in (first..options.flows).step_by(ASKING as usize) {
                    thread::sleep((pace * number as u32).saturating_sub(begun.elapsed()));
                    trips.extend(ask(to)?);
                }
                Ok(trips)
            })
        });
        let mut trips = Vec::new();
        for one in asking.collect::<Vec<_>>() {
            trips.extend(one.join().map_err(|_| "a thread panicked")??);
        }
        Outcome::Ok(trips)
    })?;
    trips.sort_unstable();
    Ok((options.flows, trips))
}

/// Asks once from a port of its own; returns how long the answer took, if it came.
fn ask(to: SocketAddr) -> Outcome<Option<Duration>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(ANSWERED))?;
    socket.connect(to)?;
    let begun = Instant::now();
    socket.send(&[7; 40])?;
    Ok(socket.recv(&mut [0; 64]).is_ok().then(|| begun.elapsed()))
}

fn said(asked: u64, trips: &[Duration]) -> String {
    let [p50, p99, most] = [0.5, 0.99, 1.0].map(|part| quantile(trips, part));
    format!("{} of {asked} answered, p50 {p50:.1?}, p99 {p99:.1?}, worst {most:.1?}", trips.len())
}

fn held(pair: &Pair, when: &str) -> Outcome {
    let descriptors = pair.descriptors()?;
    for ((name, usage), descriptors) in ["near", "far"].iter().zip(pair.usage()?).zip(descriptors) {
        println!("  {when}, {name}: {:.1} MB, {descriptors} descriptors", megabytes(usage.rss));
    }
    Ok(())
}
