//! The emulator's thread: one loop, one tick.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use throughline_link::Arrival;

use super::ids::{IspId, Site};
use super::isp::IspHandle;
use super::links::Links;
use super::parcel::Parcel;
use super::tcp::TcpSide;
use super::udp::{Socket, UdpSide};

/// A packet is seen, and leaves, up to one tick late: half a millisecond keeps the error of a
/// one-way delay within a millisecond; shorter ticks cost more than they show.
const TICK: Duration = Duration::from_micros(500);

/// Once nothing has been under way for [`DOZE_AFTER`] the ticks are this long: an idle emulator
/// costs half, and the first packet comes a little later.
const DOZE: Duration = Duration::from_millis(1);
/// Longer than the pauses of an interactive flow.
const DOZE_AFTER: Duration = Duration::from_millis(200);

/// What the emulator's owner asks of its thread.
pub(super) enum Command {
    /// A new UDP locator.
    Udp { socket: Socket, server: SocketAddr, remote: Option<IspId> },
    /// A new TCP relay.
    Tcp { listener: TcpListener, server: SocketAddr, isp: IspId },
}

/// Everything that the thread owns.
pub(super) struct Engine {
    links: Links,
    udp: UdpSide,
    tcp: TcpSide,
    inbox: Receiver<Command>,
    stop: Arc<AtomicBool>,
}

impl Engine {
    pub(super) fn new(
        isps: &[IspHandle],
        sites: HashMap<IpAddr, Site>,
        seed: u64,
        inbox: Receiver<Command>,
        stop: Arc<AtomicBool>,
        unrouted: Arc<AtomicU64>,
    ) -> Self {
        Self {
            links: Links::new(isps, seed),
            udp: UdpSide::new(sites, unrouted),
            tcp: TcpSide::default(),
            inbox,
            stop,
        }
    }

    pub(super) fn run(mut self) {
        let mut next = Instant::now();
        let mut last_busy = next;
        while !self.stop.load(Ordering::Relaxed) {
            self.tick();
            if !self.links.are_idle() {
                last_busy = next;
            }
            let tick = if next.duration_since(last_busy) < DOZE_AFTER { TICK } else { DOZE };
            // Ticks do not drift; those missed while the machine was busy are not made up for.
            next = (next + tick).max(Instant::now());
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    fn tick(&mut self) {
        while let Ok(command) = self.inbox.try_recv() {
            match command {
                Command::Udp { socket, server, remote } => {
                    self.udp.add_locator(socket, server, remote);
                }
                Command::Tcp { listener, server, isp } => {
                    self.tcp.add_relay(listener, server, isp);
                }
            }
        }
        self.links.synchronise();
        self.udp.receive(&mut self.links);
        self.tcp.receive(Instant::now(), &mut self.links);
        self.release(Instant::now());
        self.udp.flush();
        self.tcp.write();
    }

    /// Moves what is due. A parcel that is due at both links that it passes leaves in one tick.
    fn release(&mut self, now: Instant) {
        for id in self.links.in_order() {
            while let Some(arrival) = self.links.of(id).release(now) {
                match arrival {
                    Arrival::Delivered(at, Parcel::Udp(mut packet)) => match packet.next.take() {
                        Some(next) => {
                            let bytes = packet.wire_bytes();
                            // Its fate there is counted there.
                            let _ = self.links.of(next).admit(at, bytes, Parcel::Udp(packet));
                        }
                        None => self.udp.deliver(&packet),
                    },
                    Arrival::Delivered(_, Parcel::Tcp(chunk)) => {
                        self.tcp.deliver(chunk, now, &mut self.links);
                    }
                    Arrival::Blackholed(Parcel::Tcp(chunk)) => self.tcp.lost(chunk, now),
                    Arrival::Blackholed(Parcel::Udp(_)) => {}
                }
            }
        }
    }
}
