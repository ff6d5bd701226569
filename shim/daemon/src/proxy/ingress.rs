//! The ingresses: where applications' connections enter, and how each gets its way out.
//!
//! [`socks5`] and [`forward`] speak with the application; [`accept`] is the accept loop they share.
//! The [`dispatcher`] decides where a connection goes and opens the [way out](outbound).

pub mod accept;
pub mod dispatcher;
mod failover;
pub mod forward;
pub mod outbound;
pub mod socks5;
