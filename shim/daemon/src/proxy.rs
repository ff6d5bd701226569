//! Layer 4: the edges, where applications' flows enter (ingress) and leave (egress).
//!
//! An ingress ([`socks5`], [`forward`]) accepts a TCP connection, asks the [`route`] for a way out
//! and joins the two ends with a [`relay`]. The [`egress`] takes what peers open, asks the [`acl`],
//! dials ([`dial`]) and relays likewise.

pub mod accept;
pub mod acl;
pub mod dial;
pub mod egress;
pub mod forward;
pub mod policy;
pub mod ports;
pub mod relay;
pub mod route;
pub mod socks5;
pub mod tasks;
