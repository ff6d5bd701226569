//! Layer 2: pure state machines. No tokio, no quinn, no clock: they take `now` and return work.

pub mod assembler;
pub mod flow;
pub mod health;
pub mod hearing;
pub mod holddown;
pub mod loss;
pub mod memory;
pub mod plan;
pub mod policy;
pub mod ports;
pub mod ranges;
pub mod send_buffer;
pub mod session;
