//! Transparent interception with the real kernel, in network namespaces of the tests' own: curl as a program that
//! knows of no proxy, and as one on a host behind a router.
//!
//! Needs no root if users may create namespaces; otherwise, and without nft and curl, the tests say that they are
//! skipped.
#![cfg(target_os = "linux")]

#[path = "../datagrams/classed.rs"]
mod classed;
#[path = "../exec/clients.rs"]
mod clients;
mod lan;
mod languages;
#[path = "../systemd/machine.rs"]
mod machine;
mod named_datagrams;
mod names;
mod programs;
mod service;
mod site;
mod udp;
mod upkeep;
#[path = "../uplinks/world.rs"]
#[expect(dead_code, reason = "its other half is of the tests of uplinks")]
mod world;
