//! What one direction of a link is like.

use std::time::Duration;

/// How long a queue is where nobody says: what access links often have.
const DEFAULT_QUEUE: Duration = Duration::from_millis(50);

/// The settings of one direction of a link.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Profile {
    /// How fast the line sends.
    pub rate: Rate,
    /// One-way propagation delay.
    pub delay: Duration,
    /// The queue before the line; without effect where the rate has no limit.
    pub queue: Queue,
    /// What is lost whatever the queue.
    pub loss: Loss,
    /// Which packets others overtake.
    pub reordering: Reordering,
    /// Which packets arrive twice.
    pub duplication: Duplication,
    /// The largest packet that passes, in bytes with all headers; `None` is without limit.
    pub mtu: Option<usize>,
    /// What becomes of larger ones.
    pub oversize: Oversize,
}

/// How fast a line sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rate {
    /// Sending takes no time.
    Unlimited,
    /// So many bit/s on the wire, headers included.
    Fixed(u64),
}

/// How much may wait at a line before it drops what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Queue {
    /// So many bytes, headers included.
    Bytes(u64),
    /// As much as the line sends in this time.
    Time(Duration),
}

/// What a link loses whatever its queue.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// Nothing.
    None,
    /// Each packet with this probability, 0 to 1, independently of the others.
    Random(f64),
    /// Every so many packets one, the last of them.
    Periodic(u64),
}

/// Which packets others overtake.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reordering {
    /// None.
    None,
    /// Each packet with this probability, independently of the others.
    Random {
        /// 0 to 1.
        probability: f64,
        /// How late such a packet is.
        late: Lateness,
    },
}

/// How late a packet is that others overtake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lateness {
    /// Always so much.
    Exactly(Duration),
    /// Anything below this, all equally likely.
    Below(Duration),
}

/// Which packets arrive twice.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Duplication {
    /// None.
    None,
    /// Each packet with this probability, independently of the others.
    Random {
        /// 0 to 1.
        probability: f64,
        /// The copy comes less than this after the packet, all times equally likely.
        within: Duration,
    },
}

/// What happens to a packet larger than the link takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversize {
    /// It vanishes: a black hole for path-MTU discovery (RFC 8899 §1.1).
    Silent,
    /// Its sender is told by ICMP (RFC 792, RFC 4443 §3.2), as a router should.
    PacketTooBig,
}

impl Profile {
    /// Returns a link of `rate` bit/s (0 is without limit) and `delay` one way, with a queue of
    /// 50 ms, that loses, reorders and duplicates nothing.
    pub fn new(rate: u64, delay: Duration) -> Self {
        Self {
            rate: Rate::from_bits(rate),
            delay,
            queue: Queue::Time(DEFAULT_QUEUE),
            loss: Loss::None,
            reordering: Reordering::None,
            duplication: Duplication::None,
            mtu: None,
            oversize: Oversize::Silent,
        }
    }

    /// Returns the same with another queue.
    pub fn queue(self, queue: Queue) -> Self {
        Self { queue, ..self }
    }

    /// Returns the same with another loss.
    pub fn loss(self, loss: Loss) -> Self {
        Self { loss, ..self }
    }
}

impl Rate {
    /// Returns a rate of so many bit/s; 0 is without limit.
    pub fn from_bits(bits_per_second: u64) -> Self {
        if bits_per_second == 0 { Self::Unlimited } else { Self::Fixed(bits_per_second) }
    }

    /// Returns how long the line takes to send `bytes`.
    pub fn send_time(self, bytes: u64) -> Duration {
        match self {
            Self::Unlimited => Duration::ZERO,
            Self::Fixed(rate) => {
                let nanos = u128::from(bytes) * 8_000_000_000 / u128::from(rate);
                Duration::from_nanos(nanos as u64)
            }
        }
    }
}

impl Queue {
    /// Returns how long the queue lasts at `rate` when it is full.
    pub(crate) fn time(self, rate: Rate) -> Duration {
        match self {
            Self::Bytes(bytes) => rate.send_time(bytes),
            Self::Time(time) => time,
        }
    }
}
