//! Datagrams through two daemons: a UDP forward, and SOCKS5's UDP ASSOCIATE.

mod associate;
mod forward;
mod long;
mod rate;
mod site;
