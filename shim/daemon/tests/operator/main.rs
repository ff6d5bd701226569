//! What an operator sees and does: two daemons with two emulated ISPs between them, real
//! applications, and the admin socket.

mod budget;
mod drain;
mod events;
mod explain;
mod flows;
mod log;
mod metrics;
mod peer_down;
mod qlog;
mod redundancy;
mod site;
mod top;
mod web;
