//! The public API, with two nodes in one process over real sockets on loopback.

mod handles;
mod node;
mod pair;
