//! What a link is like: its rate, delay, queue and loss.

use std::time::Duration;

/// A direction of an ISP, seen from its customer's site.
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
    /// So many bytes, headers included.
    Bytes(u64),
    /// As much as the link sends in this time.
    Time(Duration),
}

/// The settings of one direction of an ISP.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Bit/s on the wire, IP and UDP or TCP headers included; 0 is without limit.
    pub rate: u64,
    /// One-way delay.
    pub delay: Duration,
    /// The queue; without effect where the rate has no limit.
    pub queue: Queue,
    /// The probability that a datagram is lost, 0 to 1.
    pub loss: f64,
    /// The largest datagram that passes, in bytes with headers; larger ones are dropped without a
    /// word (a black hole for path-MTU discovery, RFC 8899 §1.1). TCP's pieces are none.
    pub mtu: usize,
}

impl Profile {
    /// A link of `rate` bit/s and `delay` one way, with a queue of 50 ms and no loss.
    pub fn new(rate: u64, delay: Duration) -> Self {
        Self {
            rate,
            delay,
            queue: Queue::Time(Duration::from_millis(50)),
            loss: 0.0,
            mtu: usize::MAX,
        }
    }

    /// The same with another queue.
    pub fn queue(self, queue: Queue) -> Self {
        Self { queue, ..self }
    }

    /// The same with random loss.
    pub fn loss(self, loss: f64) -> Self {
        Self { loss, ..self }
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
