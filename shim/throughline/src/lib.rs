//! Throughline carries application flows over QUIC on every ISP at once, so that they outlive the
//! path that they began on.
//!
//! ```text
//!                    ┌──────── session ────────┐
//!                    │   lane over uplink A    │
//!  application       │  ╭─── ISP A ──────────╮ │          application
//!       │      ┌─────┴──┴─┐                ┌─┴─┴────┐           │
//!       └flow──│   node   │                │  node  │──flow─────┘
//!              └─────┬──┬─┘                └─┬─┬────┘
//!                    │  ╰─── ISP B ──────────╯ │
//!                    │   lane over uplink B    │
//!                    └─────────────────────────┘
//! ```
//!
//! - A **peer** is another node, known by its key ([`PeerId`]), whatever its addresses are.
//! - A **locator** is where a peer can be dialed: a host and a UDP port ([`Locator`]).
//! - An **uplink** is one way out of this host: the addresses of one provider ([`UplinkConfig`]).
//! - A **lane** is one QUIC connection between two nodes over one uplink. Lanes come and go.
//! - A **session** is what two nodes keep between them while lanes come and go: their flows, and
//!   which bytes of each have arrived.
//! - A **flow** is a reliable byte stream in a session, like a TCP connection ([`FlowStream`]), or one of
//!   datagrams, like a connected socket of UDP ([`DatagramFlow`]).
//!
//! When a lane falls silent, its bytes are sent again on another within a few round trips. When no
//! lane is left, flows wait ([`Limits::linger`]) and go on with the next one. No byte is lost,
//! doubled or reordered.
//!
//! # Example
//!
//! Two nodes in one process, and a service that answers in capitals:
//!
//! ```
//! use throughline::{Identity, Node, PeerConfig, Target};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let (laptop, office) = (Identity::generate(), Identity::generate());
//!
//! // The office accepts lanes; it trusts the laptop's key and needs no address of it.
//! let server = Node::builder()
//!     .identity(office.clone())
//!     .bind(([127, 0, 0, 1], 0).into())
//!     .peer(PeerConfig::new(laptop.peer_id(), "laptop"))
//!     .build()
//!     .await?;
//! let mut service = server.serve("capitals")?;
//! tokio::spawn(async move {
//!     let Ok(incoming) = service.accept().await else { return Ok(()) };
//!     let mut flow = incoming.accept();
//!     let mut text = String::new();
//!     flow.read_to_string(&mut text).await?;
//!     flow.write_all(text.to_uppercase().as_bytes()).await?;
//!     flow.shutdown().await?;
//!     flow.acknowledged().await // the other shim has it all
//! });
//!
//! // The laptop dials from every uplink that it finds.
//! let office = PeerConfig::new(office.peer_id(), "office").locators(server.local_addrs());
//! let client = Node::builder().identity(laptop).peer(office).build().await?;
//! let mut flow = client.connect(server.id(), Target::service("capitals")).await?;
//! flow.write_all(b"hello").await?;
//! flow.shutdown().await?; // the end of our direction
//! let mut answer = String::new();
//! flow.read_to_string(&mut answer).await?;
//! assert_eq!(answer, "HELLO");
//! # Ok(())
//! # }
//! ```
//!
//! # Where to begin
//!
//! - [`Node::builder`] makes a node; [`Node::connect`] opens a flow, [`Node::serve`] accepts flows.
//! - [`Node::datagrams`] opens a flow of datagrams, [`Node::serve_datagrams`] accepts such.
//! - [`Node::events`] tells what happens, [`Node::status`] what is, [`Node::watch_lanes`] which lanes there are.
//! - [`Node::drain_uplink`] frees an uplink of lanes before work on it.
//! - [`Node::prepare`] changes its peers, addresses, uplinks and limits while it runs.
//! - [`Node::shutdown`] ends a node and lets its flows end first.
//!
//! # HTTP and gRPC
//!
//! Features of the crate, all off by default, let HTTP's usual libraries use flows in place of TCP connections:
//!
//! | feature | brings |
//! |---|---|
//! | `connector` | `Connector`, for hyper-util's client and tonic's channels |
//! | `axum` | `Listener::accept_all`, for `axum::serve` |
//! | `tonic` | the same for tonic's servers (`serve_with_incoming`) |
//!
//! Each has an example in the repository's folder `examples`.
//!
//! # What QUIC does
//!
//! The feature `qlog`, off by default, brings `Node::qlog`: what QUIC logs of the lanes to a peer while somebody
//! reads it.
//!
//! The library runs within a tokio runtime. It logs through `tracing`.

#[cfg(any(feature = "axum", feature = "tonic"))]
mod accepted_flows;
mod clock;
mod config;
#[cfg(feature = "connector")]
mod connector;
mod datagrams;
mod engine;
mod events;
mod identity;
mod info;
mod label;
mod node;
mod status;
mod stream;

#[cfg(any(feature = "axum", feature = "tonic"))]
pub use accepted_flows::AcceptedFlows;
pub use config::{Limits, PeerConfig};
#[cfg(feature = "connector")]
pub use connector::{Connector, ConnectorError};
pub use datagrams::{Datagram, DatagramError, DatagramFlow, Ecn, TrafficClass};
pub use engine::allowances::{Allowance, BudgetReport};
pub use engine::drains::{Drain, UnknownUplink};
#[cfg(feature = "qlog")]
pub use engine::qlog::{QlogLane, QlogPart};
pub use events::{
    Event, EventKind, EventStream, Events, FieldValue, Followed, OneWayDetectedBy, SuspectedBy,
};
pub use identity::{Identity, IdentityError};
pub use info::FlowInfo;
pub use ipnet::IpNet;
pub use node::{
    AcceptError, BuildError, ConnectError, DatagramListener, IncomingDatagrams, IncomingFlow,
    LanePath, LaneWatch, Listener, Node, NodeBuilder, Reconfiguration, ServeError,
};

/// What a process that hands its node over to another one needs, and that other one.
///
/// Not part of the public API: the records are this project's own, and only the daemon can keep the promise
/// that goes with them, that no application uses its flows in between.
#[doc(hidden)]
pub mod handover {
    pub use crate::node::{FrozenNode, HandedOverFlows, PreparedNode};
    pub use throughline_proto::snapshot::{RestoreError, VERSION};
}

/// Probes of paths, for `throughline doctor`.
///
/// Not part of the public API: what is learned depends on the other end's version.
#[doc(hidden)]
pub mod probe {
    pub use crate::engine::probe::mapping::{MAX_SILENCE, MappingAnswer, MappingProbe};
    pub use crate::engine::probe::{LaneAnswer, LaneProbe, Reached, offloads};
    pub use crate::engine::quic::transport::KEEP_ALIVE_INTERVAL;
}

#[cfg(feature = "qlog")]
pub use node::{QlogError, QlogReader};
pub use status::{
    Failing, FlowMove, FlowStatus, HoldDown, LaneState, LaneStatus, NodeStatus, PeerStatus,
    RedundancyLoss, SessionStatus, UplinkTotals,
};
pub use stream::{FlowReader, FlowStream, FlowWriter};
pub use throughline_proto::lane::SuspicionRule;
pub use throughline_proto::selection::{CostRange, MoveReason};
pub use throughline_proto::types::{
    AddressClass, FailureCode, FlowId, Host, LaneId, Locator, Mode, OpenFailure,
    ParseAddressClassError, ParseModeError, ParsePeerIdError, ParseTargetError, PeerId, PeerName,
    SessionId, Side, Target,
};
pub use throughline_uplinks::{EgressState, EgressStatus, ManageError, UplinkConfig, UplinkStatus};

// The program in the README is one that compiles and does what it says.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
