//! One direction of a network link, as a pure machine: packets in with the time they come, packets
//! out with the time they arrive. It reads no clock and does no I/O.
//!
//! # Model
//!
//! [`LinkModel`] decides the fate of each packet in a few stages, in this order:
//!
//! 1. a **blackhole** has everything;
//! 2. a packet over the **MTU** is dropped, silently or with word to its sender;
//! 3. **loss** drops a packet whether the queue has room or not ([`Loss`]): independently, periodically,
//!    or in bursts ([`GilbertElliott`]);
//! 4. a **policer** drops what exceeds its rate and burst ([`Policer`]), without a queue;
//! 5. the **line** sends one packet after the other at its [`Rate`], fixed or by the delivery
//!    opportunities of a [`Trace`], and holds a bounded [`Queue`] before that: it drops what finds it
//!    full (tail drop), and with [`CoDel`] what has waited too long;
//! 6. **propagation**: the packet arrives a delay later, which may vary ([`Jitter`]); some are held up
//!    and overtaken ([`Reordering`]), some arrive twice ([`Duplication`]).
//!
//! A direction is one link. [`DuplexHandle::asymmetric`] joins two with a profile each. Traces are read
//! from files of mahimahi's format, or made by [`Weather`] from a seed.
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
//! - Packets leave in the order they came, but for those held up on purpose and those of
//!   [`Jitter::Unordered`]; also when the delay shrinks.
//! - A packet that finds an idle line is never dropped by the queue, however small that is.
//! - A packet is counted once, when its fate is known.
//! - Two links of one profile and one seed that are given the same packets treat them alike.

mod codel;
mod control;
mod drop_reason;
mod jitter;
mod line;
mod link;
mod loss;
mod model;
mod policer;
mod profile;
mod propagation;
mod rate;
mod stats;
mod trace;
mod weather;

pub use codel::CoDel;
pub use control::{DuplexHandle, LinkControl, Way};
pub use drop_reason::DropReason;
pub use jitter::Jitter;
pub use link::{Admission, Arrival, Link};
pub use loss::{GilbertElliott, Loss};
pub use model::{Fate, LinkModel};
pub use policer::Policer;
pub use profile::{Duplication, Lateness, Oversize, Profile, Queue, Reordering};
pub use rate::Rate;
pub use stats::{DuplexStats, LinkStats, Tally};
pub use trace::{MAX_OPPORTUNITIES, OPPORTUNITY_BYTES, Trace, TraceError};
pub use weather::{Preset, Weather};
