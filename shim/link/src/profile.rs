//! What one direction of a link is like.

use std::time::Duration;

use crate::codel::CoDel;
use crate::jitter::Jitter;
use crate::loss::Loss;
use crate::policer::Policer;
use crate::rate::Rate;

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
    /// What is dropped before the queue because it exceeds a rate.
    pub policer: Option<Policer>,
    /// How much the delay varies.
    pub jitter: Jitter,
    /// Which packets others overtake.
    pub reordering: Reordering,
    /// Which packets arrive twice.
    pub duplication: Duplication,
    /// The largest packet that passes, in bytes with all headers; `None` is without limit.
    pub mtu: Option<usize>,
    /// What becomes of larger ones.
    pub oversize: Oversize,
}

/// How much may wait at a line before it drops what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Queue {
    /// So many bytes, headers included.
    Bytes(u64),
    /// As much as the line sends in this time; on a trace, what it will send within it.
    Time(Duration),
    /// Managed by CoDel.
    CoDel(CoDel),
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
            policer: None,
            jitter: Jitter::None,
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

    /// Returns the same with another rate.
    pub fn rate(self, rate: Rate) -> Self {
        Self { rate, ..self }
    }

    /// Returns the same with another jitter.
    pub fn jitter(self, jitter: Jitter) -> Self {
        Self { jitter, ..self }
    }

    /// Returns the same with a policer.
    pub fn policer(self, policer: Policer) -> Self {
        Self { policer: Some(policer), ..self }
    }
}
