//! Layer 5: the product. Configuration, the daemon, its admin socket, the command line, the demo.

pub mod admin;
pub mod cli;
pub mod config;
pub mod demo;
pub mod emulator;
pub mod report;
pub mod run;
