//! Throughline: application flows over QUIC that outlive an ISP path.
//!
//! The crate has five layers; a lower one never imports a higher one:
//!
//! 1. [`vocab`]: ids, addresses and the wire encoding;
//! 2. [`state`]: pure state machines, which take `now` and return work;
//! 3. [`net`]: sockets, TLS, QUIC and the tasks that drive the machines;
//! 4. `edge`: where applications' flows enter (ingress) and leave (egress);
//! 5. `daemon`: configuration, the daemon, its admin socket, the command line and the demo.
//!
//! Layers 4 and 5 come with the feature `daemon`. Without it this is the lean library.

pub mod net;
pub mod state;
pub mod vocab;

#[cfg(feature = "daemon")]
pub mod daemon;
#[cfg(feature = "daemon")]
pub mod edge;

pub use net::drains::{Drain, UnknownUplink};
pub use net::events::{Event, EventKind, EventStream, Events, Followed, OneWay, Suspicion};
pub use net::identity::{Identity, IdentityError};
pub use net::node::{
    AcceptError, BuildError, ConnectError, IncomingFlow, Limits, Listener, ManageError, Node,
    NodeBuilder, PeerConfig, UplinkConfig,
};
pub use net::stream::{FlowReader, FlowStream, FlowWriter};
pub use vocab::class::Class;
pub use vocab::ids::{FlowId, LaneId, ParsePeerIdError, PeerId, SessionId};
pub use vocab::locator::Locator;
pub use vocab::mode::Mode;
pub use vocab::name::PeerName;
pub use vocab::outcome::{FailureCode, OpenFailure};
pub use vocab::target::{Host, Target};

// The program in the README is one that compiles and does what it says.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
