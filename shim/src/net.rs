//! Layer 3: input and output. Sockets, TLS, QUIC, and the tasks that drive the pure machines.

pub mod events;
pub mod identity;
pub mod node;
pub mod status;
pub mod stream;

pub(crate) mod clock;
pub(crate) mod congestion;
pub(crate) mod dialer;
pub mod drains;
pub(crate) mod lane;
pub(crate) mod locators;
pub(crate) mod said;
pub(crate) mod session;
pub(crate) mod socket;
pub(crate) mod tls;
pub(crate) mod transport;
pub(crate) mod uplinks;
