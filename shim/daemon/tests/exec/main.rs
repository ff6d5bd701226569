//! `throughline exec` with the real kernel: programs that know of no proxy, run by a user who is not root, through two
//! daemons. The far one alone knows the names.
//!
//! Needs user namespaces, nft and ip; without them the tests say that they are skipped. As root they run the program as
//! nobody, and once as root.
#![cfg(target_os = "linux")]

#[path = "../datagrams/classed.rs"]
#[expect(dead_code, reason = "its clients are Python here")]
mod classed;
mod clients;
mod corners;
mod ends;
mod languages;
mod last_bytes;
mod programs;
mod site;
#[path = "../uplinks/world.rs"]
#[expect(dead_code, reason = "its other half is of the tests of uplinks")]
mod world;
