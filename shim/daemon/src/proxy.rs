//! The proxy: applications' connections and datagrams become flows, and peers' flows become connections and datagrams.
//!
//! ```text
//! application ─TCP─▸ ingress ─▸ rules ─▸ peer's flow ┈┈▸ egress ─▸ ACL ─TCP─▸ destination
//!                       └────── relay ──────┘             └────── relay ──────┘
//! ```
//!
//! An [`ingress`] accepts a connection ([`stream`]), looks up in the [`rules`] where it goes, opens a flow
//! to a peer (or a connection of this host's own), and joins the two with a [`relay`]. The
//! [`egress`] checks what peers open against their ACL, dials it and relays likewise. [`connections`]
//! bounds what they all take, and [`tasks`] ends all of it together. [`names`] knows intercepted programs' destinations
//! by name. Datagrams take the same way, from a socket of
//! [`udp`] to another.

pub mod connections;
pub mod egress;
pub mod freezer;
pub mod ingress;
pub mod names;
pub mod own_sockets;
pub mod parked;
pub mod refusals;
pub mod relay;
pub mod rules;
pub mod stream;
pub mod tasks;
pub mod udp;
