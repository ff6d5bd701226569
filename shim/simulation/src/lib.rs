//! Two whole sessions over a simulated network, in virtual time, single-threaded, by seed; their
//! lanes are dialed, moved, drained and closed by the planner itself.
//!
//! Each seed draws a network (uplinks, one perhaps metered; prefixes of the peer; a road from each to
//! each), flows and a schedule of misfortunes: loss, reordering, duplication, delay; blackholes both
//! ways or one, of a road, an uplink, a prefix, or crosswise; large packets lost; addresses lost,
//! replaced, deprecated; drains by either end, costs; lane death, false suspicions, a host that sleeps
//! for seconds, total outage of minutes, peer restart. Then everything heals, and the run must drain: every flow ended properly at
//! both ends, every byte once and in order, one incoming flow per open, nothing held and no timer
//! left. At last the lanes must be those that are wanted, disjoint, and no more.
//!
//! [`World::run`] plays a seed and panics where something is wrong. [`World::worst`] plays one
//! failure on otherwise steady links, and returns what an application sees of it.

mod application;
mod connection;
mod content;
pub mod field;
mod flows;
mod judge;
mod link;
mod plan;
pub mod quic;
mod sensor;
mod sleep;
mod streams;
pub mod weather;
mod world;

pub use judge::Report;
pub use link::{MS, Nanos, SEC};
pub use plan::Failure;
pub use world::World;
pub use world::bars::{Case, Flow};
pub use world::call::CallReport;
