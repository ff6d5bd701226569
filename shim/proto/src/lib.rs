//! The pure core of Throughline: types, the wire, and the state machines of lanes, sessions and flows.
//!
//! Nothing here reads a clock or does I/O. The machines take `now` and return work.

pub mod types;
pub mod wire;

pub mod datagram;
pub mod flow;
pub mod hold_down;
pub mod lane;
pub mod panics;
pub mod path;
pub mod plan;
pub mod selection;
pub mod session;
pub mod snapshot;
pub mod throttle;
