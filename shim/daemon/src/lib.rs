//! The Throughline daemon: the proxy, its configuration, the admin socket, the command line, the demo.
//!
//! ```text
//! cli ─▸ demo ─▸ run ─▸ config ─▸ proxy ─▸ the library
//!                 └───▸ admin ──▸ report ─▸ the library
//! ```

pub mod admin;
pub mod cli;
pub mod config;
pub mod demo;
pub mod proxy;
pub mod report;
pub mod run;
mod sentence;
