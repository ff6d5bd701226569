//! `throughline doctor` at set-ups that are broken, each in one way: real daemons in network namespaces of the tests' own,
//! with two ISPs that filter sources.
//!
//! Needs no root if users may create namespaces; otherwise, and where a set-up needs nft that is not there, the tests say
//! that they are skipped.
#![cfg(target_os = "linux")]

mod hosts;
mod ways;
#[path = "../uplinks/world.rs"]
#[expect(dead_code, reason = "its other half is of the tests of uplinks")]
mod world;

mod site;
