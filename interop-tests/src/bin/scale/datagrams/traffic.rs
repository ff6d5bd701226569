//! Datagrams between two sockets: as many as a rate asks for, or a few whose way is timed.

use std::io::ErrorKind::{TimedOut, WouldBlock};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use interop_tests::support::Outcome;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use socket2::SockRef;

/// Of each datagram of a stream.
pub(crate) const SIZE: usize = 1200;
pub(crate) const BITS: f64 = SIZE as f64 * 8.0;

/// Of each datagram of a sparse flow: 20 ms of G.711, and the header of RTP.
const SPARSE: usize = 172;

/// Between two bursts: what a burst brings at 1 Gbit/s is a seventh of what a socket holds by default.
const NAP: Duration = Duration::from_micros(100);
/// Datagrams sent at once, also by a sender that was kept from sending for a while.
const MAX_BURST: usize = 48;

/// So that it is not the measurement that loses datagrams.
const BUFFER: usize = 4 << 20;

/// A receiver that hears nothing for so long has all that was sent.
pub(crate) const SILENCE: Duration = Duration::from_millis(500);

/// How long a first datagram may take.
const FIRST: Duration = Duration::from_secs(10);

/// What begins a datagram: of a stream before it is measured, and from then on.
const WARM_UP: u8 = 0;
const MEASURED: u8 = 1;

/// Two sockets that are connected with each other, whatever is between them.
pub(crate) struct Ends {
    pub(crate) client: UdpSocket,
    pub(crate) server: UdpSocket,
}

impl Ends {
    /// Has the kernel cut what either end sends into datagrams, and join those that it receives, as QUIC's stacks do.
    pub(crate) fn offload(&self) -> Outcome {
        for socket in [&self.client, &self.server] {
            setsockopt(socket, sockopt::UdpGsoSegment, &(SIZE as i32))?;
            setsockopt(socket, sockopt::UdpGroSegment, &true)?;
        }
        Ok(())
    }

    fn is_offloaded(socket: &UdpSocket) -> bool {
        getsockopt(socket, sockopt::UdpGsoSegment).is_ok_and(|size| size > 0)
    }

    /// Connects them: what the client sends `to` that address arrives at the server.
    pub(crate) fn connect(client: UdpSocket, to: SocketAddr, server: UdpSocket) -> Outcome<Self> {
        for socket in [&client, &server] {
            let _ = SockRef::from(socket).set_recv_buffer_size(BUFFER);
            socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        }
        client.connect(to)?;
        let begun = Instant::now();
        while begun.elapsed() < FIRST {
            client.send(&[WARM_UP])?;
            match server.recv_from(&mut [0; 16]) {
                Ok((_, from)) => {
                    server.connect(from)?;
                    return Ok(Self { client, server });
                }
                Err(error) if matches!(error.kind(), TimedOut | WouldBlock) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(format!("no datagram has come in {FIRST:?}").into())
    }
}

/// What became of a stream.
#[derive(Clone, Copy)]
pub(crate) struct Delivered {
    /// Bit/s of payload.
    pub(crate) offered: f64,
    pub(crate) received: f64,
    /// The part of the datagrams that did not arrive.
    pub(crate) loss: f64,
}

/// Sends at `rate` bit/s, and measures `span` after a warm-up.
pub(crate) fn stream(
    from: &UdpSocket,
    to: &UdpSocket,
    rate: f64,
    [warm_up, span]: [Duration; 2],
) -> Outcome<Delivered> {
    let over = AtomicBool::new(false);
    let (sent, got, took) = thread::scope(|scope| {
        let receiving = scope.spawn(|| count(to, &over));
        let begun = Instant::now();
        send(from, rate, WARM_UP, || begun.elapsed() < warm_up);
        let begun = Instant::now();
        let sent = send(from, rate, MEASURED, || begun.elapsed() < span);
        let took = begun.elapsed();
        over.store(true, Ordering::Relaxed);
        receiving.join().map(|got| (sent, got, took)).map_err(|_| "the receiver panicked")
    })?;
    let rate = |count: u64| count as f64 * BITS / took.as_secs_f64();
    let loss = 1.0 - got as f64 / sent.max(1) as f64;
    Ok(Delivered { offered: rate(sent), received: rate(got), loss })
}

/// Sends until it is over, as a flood does, to whoever takes it.
pub(crate) fn flood(from: &UdpSocket, rate: f64, over: &AtomicBool) -> u64 {
    send(from, rate, MEASURED, || !over.load(Ordering::Relaxed))
}

fn send(from: &UdpSocket, rate: f64, kind: u8, goes_on: impl Fn() -> bool) -> u64 {
    let (begun, datagrams) = (Instant::now(), vec![kind; SIZE * MAX_BURST]);
    let at_once = if Ends::is_offloaded(from) { MAX_BURST } else { 1 };
    let (mut sent, mut skipped) = (0, 0);
    while goes_on() {
        let due = (begun.elapsed().as_secs_f64() * rate / BITS) as u64;
        // Who was kept from sending does not make up for it.
        skipped = skipped.max(due.saturating_sub(sent + MAX_BURST as u64));
        while sent + skipped < due {
            let count = at_once.min((due - sent - skipped) as usize);
            // What the kernel does not take is lost, as in the network.
            let _ = from.send(&datagrams[..count * SIZE]);
            sent += count as u64;
        }
        thread::sleep(NAP);
    }
    sent
}

/// Counts what is measured, until nothing more comes.
fn count(to: &UdpSocket, over: &AtomicBool) -> u64 {
    let (mut datagrams, mut got, mut heard) = (vec![0; 1 << 16], 0, Instant::now());
    loop {
        match to.recv(&mut datagrams) {
            // Several, where the kernel joins them.
            Ok(len) => got += measured(&datagrams[..len]),
            Err(_) if over.load(Ordering::Relaxed) && heard.elapsed() > SILENCE => return got,
            Err(_) => continue,
        }
        heard = Instant::now();
    }
}

fn measured(datagrams: &[u8]) -> u64 {
    datagrams.chunks_exact(SIZE).filter(|datagram| datagram[0] == MEASURED).count() as u64
}

/// Takes what comes until it is over; returns how much.
pub(crate) fn drain(to: &UdpSocket, over: &AtomicBool) -> u64 {
    let (mut datagrams, mut got) = (vec![0; 1 << 16], 0);
    while !over.load(Ordering::Relaxed) {
        got += to.recv(&mut datagrams).map_or(0, |len| measured(&datagrams[..len]));
    }
    got
}

/// How a sparse flow fared.
pub(crate) struct Trips {
    /// From the client to the server, sorted.
    pub(crate) delays: Vec<Duration>,
    pub(crate) sent: u32,
}

/// Sends a datagram like a call's every so often, and times its way to the server: both are of this program.
pub(crate) fn trips(ends: &Ends, every: Duration, span: Duration) -> Outcome<Trips> {
    let (origin, over) = (Instant::now(), AtomicBool::new(false));
    let (sent, mut delays) = thread::scope(|scope| {
        let timing = scope.spawn(|| time(&ends.server, origin, &over));
        let (mut datagram, mut sent) = ([0; SPARSE], 0);
        while origin.elapsed() < span {
            datagram[..8].copy_from_slice(&(origin.elapsed().as_nanos() as u64).to_be_bytes());
            let _ = ends.client.send(&datagram);
            sent += 1;
            thread::sleep((every * sent).saturating_sub(origin.elapsed()));
        }
        thread::sleep(SILENCE);
        over.store(true, Ordering::Relaxed);
        timing.join().map(|delays| (sent, delays)).map_err(|_| "the receiver panicked")
    })?;
    delays.sort_unstable();
    Ok(Trips { delays, sent })
}

fn time(server: &UdpSocket, origin: Instant, over: &AtomicBool) -> Vec<Duration> {
    let (mut delays, mut datagram) = (Vec::new(), [0; 2048]);
    while !over.load(Ordering::Relaxed) {
        if server.recv(&mut datagram).is_ok_and(|len| len == SPARSE) {
            let mut at = [0; 8];
            at.copy_from_slice(&datagram[..8]);
            let sent = Duration::from_nanos(u64::from_be_bytes(at));
            delays.push(origin.elapsed().saturating_sub(sent));
        }
    }
    delays
}
