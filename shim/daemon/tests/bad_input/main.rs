//! Peers that do what they must not, by mistake or by malice, against a real node on real
//! sockets: each gets a named error, in the log and where it can hear it, and a flow between
//! honest nodes that runs alongside is not disturbed.

mod bystander;
mod floods;
mod hello;
mod hostile;
mod keys;
mod log;
mod messages;
mod restart;
