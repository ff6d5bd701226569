//! Layer 2: pure state machines. No tokio, no quinn, no clock: they take `now` and return work.

pub mod policy;
pub mod ports;
