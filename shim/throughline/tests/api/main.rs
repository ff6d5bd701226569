//! The public API, with two nodes in one process over real sockets on loopback.

mod acceptor;
mod allowance;
mod datagrams;
mod handles;
mod handover;
mod node;
mod outage;
mod pair;
mod relay;
mod reopening;
mod watch;
