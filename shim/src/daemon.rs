//! Layer 5: the product. Configuration, the daemon, its admin socket, the command line, the demo.

pub mod demo;
pub mod emulator;
