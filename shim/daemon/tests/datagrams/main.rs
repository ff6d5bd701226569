//! Datagrams through two daemons: a UDP forward, and SOCKS5's UDP ASSOCIATE.

mod associate;
#[cfg(target_os = "linux")]
mod classed;
#[cfg(target_os = "linux")]
mod classes;
mod forward;
mod long;
mod rate;
mod site;
