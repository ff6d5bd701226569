//! A node: the library's front door.
//!
//! A node owns its endpoints, a task per listening address, a keeper per peer that it dials, and
//! the sessions with their drivers. They end together, in the order that `shutdown` says.

mod addresses;
mod builder;
mod connect;
mod drain;
mod handle;
mod incoming;
mod router;
mod serve;
mod shutdown;
mod status;

pub use self::builder::{BuildError, NodeBuilder};
pub use self::connect::ConnectError;
pub use self::handle::Node;
pub use self::incoming::IncomingFlow;
pub use self::serve::{AcceptError, Listener, ServeError};

#[cfg(test)]
mod tests;
