//! Two nodes on an emulated internet of two ISPs: what a session costs while nothing happens, moves,
//! paths that narrow, outages of both ISPs. Each test has the machine to itself, but for those that
//! only wait.

mod idle;
mod migration;
mod mtu;
mod outage;
