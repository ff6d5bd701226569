//! Peers that violate the protocol, by mistake or by malice, against a real node on real sockets.
//!
//! Each violation gets an error of its own, in the log and towards the peer, and a flow between two
//! correct nodes that runs at the same time is not disturbed.

mod bystander;
mod floods;
mod handshakes;
mod hello;
mod hostile;
mod keys;
mod log;
mod messages;
mod reflector;
mod restart;
mod texts;
