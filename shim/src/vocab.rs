//! Layer 1: the words. Ids, addresses and the wire encoding; nothing here does I/O or keeps state.

pub mod class;
mod ed25519;
pub mod ids;
pub mod locator;
pub mod mode;
pub mod name;
pub mod outcome;
pub mod target;
pub mod wire;
