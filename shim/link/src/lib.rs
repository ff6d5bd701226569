//! One direction of a network link, as a pure machine: packets in with the time they come, packets
//! out with the time they arrive. It reads no clock and does no I/O.
//!
//! # Model
//!
//! [`LinkModel`] decides the fate of each packet in a few stages, in this order:
//!
//! 1. a **blackhole** has everything;
//! 2. a packet over the **MTU** is dropped, silently or with word to its sender;
//! 3. **loss** drops a packet whether the queue has room or not ([`Loss`]);
//! 4. the **line** sends one packet after the other at its [`Rate`], holds a bounded [`Queue`] before
//!    that, and drops what finds it full (tail drop);
//! 5. **propagation**: the packet arrives a delay later; some are held up and overtaken
//!    ([`Reordering`]), some arrive twice ([`Duplication`]).
//!
//! [`Link`] is a model together with the packets in flight, for an emulator that moves real ones: it
//! releases them when they are due, loses them to a blackhole that opens while they are under way,
//! and counts what became of them. [`DuplexHandle`] changes and reads the two directions of a running
//! link from any thread.
//!
//! A [`Profile`] says what a direction is like. The emulated internet on loopback, the lab's wide area
//! network, the simulation in virtual time and the tests of congestion control all use it.
//!
//! # Invariants
//!
//! - Packets leave in the order they came, but for those held up on purpose; also when the delay
//!   shrinks.
//! - A packet that finds an idle line is never dropped by the queue, however small that is.
//! - A packet is counted once, when its fate is known.
//! - Two links of one profile and one seed that are given the same packets treat them alike.
//!
//! # Where more goes
//!
//! Each part is an enum or a stage of its own, so that one more is one variant and one `match` arm:
//!
//! | what | where |
//! |---|---|
//! | traces of delivery opportunities (mahimahi), generated weather | `Rate::Trace(Arc<Trace>)`: `Line::enqueue` asks it when the packet's last byte leaves |
//! | rates per direction | each direction is a link with a profile of its own: a constructor of [`DuplexHandle`] that takes two |
//! | jitter, independent or correlated | a field `jitter` of [`Profile`], drawn in `Propagation`, which keeps the order |
//! | Gilbert–Elliott loss | `Loss::Bursty`, its good and bad state in `LossState` |
//! | token-bucket policers | a stage between loss and line that drops what has no token |
//! | CoDel | a variant of [`Queue`]: a packet's sojourn time is known when it is enqueued, because the line is first in, first out |

mod control;
mod line;
mod link;
mod loss;
mod model;
mod profile;
mod propagation;
mod stats;

pub use control::{DuplexHandle, LinkControl, Way};
pub use link::{Admission, Arrival, Link};
pub use model::{DropReason, Fate, LinkModel};
pub use profile::{Duplication, Lateness, Loss, Oversize, Profile, Queue, Rate, Reordering};
pub use stats::{DuplexStats, LinkStats, Tally};
