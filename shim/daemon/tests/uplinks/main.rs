//! Uplinks with the real kernel: addresses, links and routes change in network namespaces of the
//! tests' own, and the node, or the program, has to follow.
//!
//! Needs no root if users may create namespaces; otherwise the tests say that they are skipped.
#![cfg(target_os = "linux")]

mod clients;
mod lanes;
mod routes;
mod watch;
mod world;
