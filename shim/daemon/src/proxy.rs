//! The TCP proxy: applications' connections become flows, and peers' flows become connections.
//!
//! ```text
//! application ─TCP─▸ ingress ─▸ rules ─▸ peer's flow ┈┈▸ egress ─▸ ACL ─TCP─▸ destination
//!                       └────── relay ──────┘             └────── relay ──────┘
//! ```
//!
//! An [`ingress`] accepts a TCP connection, looks up in the [`rules`] where it goes, opens a flow
//! to a peer (or a connection of this host's own), and joins the two with a [`relay`]. The
//! [`egress`] checks what peers open against their ACL, dials it and relays likewise. [`tasks`]
//! ends all of it together.

pub mod egress;
pub mod ingress;
pub mod relay;
pub mod rules;
pub mod tasks;
