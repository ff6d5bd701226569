//! Throughline: application flows over QUIC that outlive an ISP path.

pub mod events;
pub mod identity;
pub mod node;
pub mod status;
pub mod stream;

mod clock;
mod engine;

pub use engine::drains::{Drain, UnknownUplink};
pub use engine::quic::socket::listen_cure;
pub use events::{
    Event, EventKind, EventStream, Events, FieldValue, Followed, OneWayDetectedBy, SuspectedBy,
};
pub use identity::{Identity, IdentityError};
pub use node::{
    AcceptError, BuildError, ConnectError, IncomingFlow, Limits, Listener, ManageError, Node,
    NodeBuilder, PeerConfig, UplinkConfig,
};
pub use stream::{FlowReader, FlowStream, FlowWriter};
pub use throughline_proto::types::{
    AddressClass, FailureCode, FlowId, Host, LaneId, Locator, Mode, OpenFailure, ParsePeerIdError,
    PeerId, PeerName, SessionId, Target,
};

// The program in the README is one that compiles and does what it says.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
