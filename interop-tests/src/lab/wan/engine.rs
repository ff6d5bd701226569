//! The thread that moves packets: waits, takes, releases.

use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl;
use nix::sys::time::TimeSpec;

use throughline_link::{Admission, Arrival, DropReason, Link, LinkControl};

use super::handle::WireHandle;
use super::icmp;
use super::port::Port;

/// Under load, how often packets are taken and delivered. A wake-up for each of 40,000 packets a
/// second would cost more than the packets; this costs them 0.1 ms on average.
pub(super) const TICK: Duration = Duration::from_micros(200);
/// A round that moves so many packets is one under load: a lone flow's packet and its answer are two.
const LOADED_PACKETS: usize = 4;
/// The longest sleep of an idle thread, which has to see that it is to end.
const MAX_SLEEP: Duration = Duration::from_millis(50);
/// Packets taken from one device before the next has its turn.
const BATCH: usize = 256;
/// Full packets, and what a device with a larger MTU may send.
const BUFFER: usize = 2048;

/// One direction of a wire, and the devices at its ends.
struct Direction {
    link: Link<Vec<u8>>,
    control: Arc<LinkControl>,
    wire: WireHandle,
    from: usize,
    to: usize,
}

pub(super) struct Engine {
    ports: Vec<Port>,
    directions: Vec<Direction>,
    spare: Vec<Vec<u8>>,
    stop: Arc<AtomicBool>,
}

impl Engine {
    pub(super) fn new(wires: Vec<(Port, Port, WireHandle)>, stop: Arc<AtomicBool>) -> Self {
        let (mut ports, mut directions) = (Vec::new(), Vec::new());
        for (near, far, handle) in wires {
            let first = ports.len();
            ports.extend([near, far]);
            for (way, control) in handle.controls().into_iter().enumerate() {
                // Each link draws from a stream of its own.
                let link = control.link(directions.len() as u64);
                let (wire, from, to) = (handle.clone(), first + way, first + 1 - way);
                directions.push(Direction { link, control, wire, from, to });
            }
        }
        Self { ports, directions, spare: Vec::new(), stop }
    }

    pub(super) fn run(mut self) {
        prefer();
        let mut loaded = false;
        while !self.stop.load(Ordering::Relaxed) {
            if loaded {
                std::thread::sleep(TICK);
            } else {
                self.wait();
            }
            loaded = self.round() >= LOADED_PACKETS;
        }
    }

    /// Sleeps until a packet comes or is due.
    fn wait(&self) {
        let due = self.directions.iter().filter_map(|direction| direction.link.next_due()).min();
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        let timeout = TimeSpec::from_duration(left.unwrap_or(MAX_SLEEP).min(MAX_SLEEP));
        let mut fds: Vec<_> =
            self.ports.iter().map(|port| PollFd::new(port.as_fd(), PollFlags::POLLIN)).collect();
        // A signal ends the wait early; the round then finds little to do.
        let _ = ppoll(&mut fds, Some(timeout), None);
        // A device that is down is an error at once: it must not make this a busy loop.
        let broken = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
        if fds.iter().any(|fd| fd.revents().is_some_and(|events| events.intersects(broken))) {
            std::thread::sleep(TICK);
        }
    }

    /// Takes what has come and delivers what is due; how many packets that was.
    fn round(&mut self) -> usize {
        let mut moved = 0;
        for index in 0..self.directions.len() {
            let Direction { link, control, .. } = &mut self.directions[index];
            control.synchronise(link);
            moved += self.take(index);
        }
        // After everything was taken: a link without delay delivers in the same round.
        for index in 0..self.directions.len() {
            moved += self.release(index);
        }
        moved
    }

    fn take(&mut self, index: usize) -> usize {
        let direction = &mut self.directions[index];
        for count in 0..BATCH {
            let mut packet = self.spare.pop().unwrap_or_default();
            packet.resize(BUFFER, 0);
            let Some(length) = self.ports[direction.from].take(&mut packet) else {
                self.spare.push(packet);
                return count;
            };
            packet.truncate(length);
            let admission = direction.link.admit(Instant::now(), length, packet);
            let Admission::Dropped(packet, reason) = admission else { continue };
            if let DropReason::PacketTooBig { mtu } = reason
                && let Some(error) = icmp::too_big(&packet, mtu, direction.wire.router())
            {
                // As a router's, it may be lost.
                let _ = self.ports[direction.from].give(&error);
            }
            self.spare.push(packet);
        }
        BATCH
    }

    fn release(&mut self, index: usize) -> usize {
        let direction = &mut self.directions[index];
        let (now, mut moved) = (Instant::now(), 0);
        while let Some(arrival) = direction.link.release(now) {
            let packet = match arrival {
                Arrival::Delivered(_, packet) => {
                    if self.ports[direction.to].give(&packet).is_err() {
                        direction.link.count_refused(packet.len());
                    }
                    packet
                }
                Arrival::Blackholed(packet) => packet,
            };
            self.spare.push(packet);
            moved += 1;
        }
        moved
    }
}

/// Puts this thread before what the lab's hosts run, which is to be measured by it, and has its
/// sleeps end on time. Where that is not allowed, times are a little less exact.
fn prefer() {
    // Nanoseconds; the kernel's default of 50 µs would be added at each wire.
    let _ = prctl::set_timerslack(1);
    let thread = nix::unistd::gettid().to_string();
    let mut renice = Command::new("renice");
    renice.args(["-n", "-15", "-p", &thread]);
    let _ = renice.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}
