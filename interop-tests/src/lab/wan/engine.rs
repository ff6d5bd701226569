//! The thread that moves packets: waits, takes, releases.

use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl;
use nix::sys::time::TimeSpec;

use super::handle::WireHandle;
use super::icmp;
use super::link::{Admission, Link};
use super::port::Port;

/// Under load, how often packets are taken and delivered. A wake-up for each of 40,000 packets a
/// second would cost more than the packets; this costs them 0.1 ms on average.
pub(super) const TICK: Duration = Duration::from_micros(200);
/// A round that moves so many packets is one under load.
const LOADED: usize = 4;
/// How often an idle thread looks whether it is to end.
const PATIENCE: Duration = Duration::from_millis(50);
/// Packets taken from one device before the next has its turn.
const BATCH: usize = 256;
/// Full packets, and what a device with a larger MTU may send.
const BUFFER: usize = 2048;

/// One direction of a wire, and the devices at its ends.
struct Lane {
    link: Link,
    from: usize,
    to: usize,
}

pub(super) struct Engine {
    ports: Vec<Port>,
    lanes: Vec<Lane>,
    spare: Vec<Vec<u8>>,
    stop: Arc<AtomicBool>,
}

impl Engine {
    pub(super) fn new(wires: Vec<(Port, Port, WireHandle)>, stop: Arc<AtomicBool>) -> Self {
        let now = Instant::now();
        let (mut ports, mut lanes) = (Vec::new(), Vec::new());
        for (near, far, handle) in wires {
            let first = ports.len();
            ports.extend([near, far]);
            for (way, control) in handle.links().iter().enumerate() {
                // Each link draws from a stream of its own.
                let link = Link::new(Arc::clone(control), lanes.len() as u64, now);
                lanes.push(Lane { link, from: first + way, to: first + 1 - way });
            }
        }
        Self { ports, lanes, spare: Vec::new(), stop }
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
            loaded = self.round() >= LOADED;
        }
    }

    /// Sleeps until a packet comes or is due.
    fn wait(&self) {
        let due = self.lanes.iter().filter_map(|lane| lane.link.next_due()).min();
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        let timeout = TimeSpec::from_duration(left.unwrap_or(PATIENCE).min(PATIENCE));
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
        for index in 0..self.lanes.len() {
            self.lanes[index].link.synchronise();
            moved += self.take(index);
        }
        // After everything was taken: a link without delay delivers in the same round.
        for index in 0..self.lanes.len() {
            moved += self.release(index);
        }
        moved
    }

    fn take(&mut self, index: usize) -> usize {
        let lane = &mut self.lanes[index];
        for count in 0..BATCH {
            let mut packet = self.spare.pop().unwrap_or_default();
            packet.resize(BUFFER, 0);
            let Some(length) = self.ports[lane.from].take(&mut packet) else {
                self.spare.push(packet);
                return count;
            };
            packet.truncate(length);
            match lane.link.admit(Instant::now(), packet) {
                Admission::Accepted => {}
                Admission::Dropped(packet) => self.spare.push(packet),
                Admission::TooBig(packet, mtu) => {
                    if let Some(error) = icmp::too_big(&packet, mtu, lane.link.router()) {
                        // As a router's, it may be lost.
                        let _ = self.ports[lane.from].give(&error);
                    }
                    self.spare.push(packet);
                }
            }
        }
        BATCH
    }

    fn release(&mut self, index: usize) -> usize {
        let lane = &mut self.lanes[index];
        let (now, mut moved) = (Instant::now(), 0);
        while let Some((packet, arrives)) = lane.link.release(now) {
            if arrives {
                let taken = self.ports[lane.to].give(&packet).is_ok();
                lane.link.delivered(packet.len(), taken);
            }
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
