//! A node: the library's front door.
//!
//! A node owns its endpoints, a task per listening address, a keeper per peer that it dials, and
//! the sessions with their drivers. They end together, in the order that `shutdown` says.

mod addresses;
mod builder;
mod connect;
mod datagrams;
mod drain;
mod error;
mod frozen;
mod handle;
mod incoming;
mod keepers;
mod listeners;
mod prepared;
#[cfg(feature = "qlog")]
mod qlog;
mod reconfigure;
mod record;
mod router;
mod serve;
mod shutdown;
mod status;
mod watch;

pub use self::builder::NodeBuilder;
pub use self::connect::ConnectError;
pub use self::error::BuildError;
pub use self::frozen::FrozenNode;
pub use self::handle::Node;
pub use self::incoming::{IncomingDatagrams, IncomingFlow};
pub use self::prepared::{HandedOverFlows, PreparedNode};
#[cfg(feature = "qlog")]
pub use self::qlog::{QlogError, QlogReader};
pub use self::reconfigure::Reconfiguration;
pub use self::serve::{AcceptError, DatagramListener, Listener, ServeError};
pub use self::watch::{LanePath, LaneWatch};

#[cfg(test)]
mod tests;
