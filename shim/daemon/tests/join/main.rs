//! Two hosts that know nothing of each other are joined by a ticket: the built program, in namespaces of the tests'
//! own, with two ISPs that filter sources.
#![cfg(target_os = "linux")]

#[path = "../uplinks/world.rs"]
#[expect(dead_code, reason = "its other half is of the tests of uplinks")]
mod world;

mod beside;
mod site;
mod tickets;
mod together;
