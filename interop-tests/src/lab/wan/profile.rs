//! What a link is like: its rate, delay, queue, loss, order and largest packet.

use std::time::Duration;

/// A direction of a wire, seen from the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// From the site into the internet.
    Up,
    /// From the internet to the site.
    Down,
    /// Both.
    Both,
}

/// How much may wait at a link before it drops what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// So many bytes, IP headers included.
    Bytes(u64),
    /// As much as the link sends in this time.
    Time(Duration),
}

/// What happens to a packet larger than the link takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Oversize {
    /// It vanishes: a black hole for large packets only.
    #[default]
    Silent,
    /// Its sender is told by ICMP (RFC 792, RFC 4443 §3.2), as a router should.
    TooBig,
}

/// The settings of one direction of a wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Bit/s on the wire, IP headers included; 0 is without limit.
    pub rate: u64,
    /// One-way delay.
    pub delay: Duration,
    /// The queue; without effect where the rate has no limit.
    pub queue: Queue,
    /// The probability that a packet is lost, 0 to 1.
    pub loss: f64,
    /// The probability that a packet is late by [`late_by`](Self::late_by), and overtaken by others.
    pub reorder: f64,
    /// How late such a packet is.
    pub late_by: Duration,
    /// The largest packet in bytes, IP header included; 0 is without limit.
    pub mtu: usize,
    /// What becomes of larger ones.
    pub oversize: Oversize,
}

impl Profile {
    /// A link of `rate` bit/s and `delay` one way, with a queue of 50 ms, that loses and reorders
    /// nothing.
    pub fn new(rate: u64, delay: Duration) -> Self {
        Self {
            rate,
            delay,
            queue: Queue::Time(Duration::from_millis(50)),
            loss: 0.0,
            reorder: 0.0,
            late_by: Duration::from_millis(5),
            mtu: 0,
            oversize: Oversize::Silent,
        }
    }

    /// How long `bytes` take to be sent.
    pub(super) fn send_time(&self, bytes: u64) -> Duration {
        if self.rate == 0 {
            return Duration::ZERO;
        }
        Duration::from_nanos((u128::from(bytes) * 8_000_000_000 / u128::from(self.rate)) as u64)
    }

    /// How long the queue lasts when it is full.
    pub(super) fn queue_time(&self) -> Duration {
        match self.queue {
            Queue::Bytes(bytes) => self.send_time(bytes),
            Queue::Time(time) => time,
        }
    }
}
