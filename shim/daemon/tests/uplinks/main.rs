//! Uplinks against the real kernel: addresses, links and routes change in network namespaces of our
//! own, and the node, or the program, has to notice. Needs no root where users may have namespaces;
//! says what it skipped where not.
#![cfg(target_os = "linux")]

mod lanes;
mod routes;
mod watch;
mod world;
