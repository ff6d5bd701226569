//! The ingresses: where applications' connections enter, and how each gets its way out.
//!
//! [`serve()`] gives each connection to what speaks with the application: `socks5`, `socks4`, `http`,
//! `forward` or `intercept`; [`accept`] is the accept loop. The [`dispatcher`] decides where a connection goes and opens
//! the [way out](outbound).

pub mod accept;
mod clients;
pub mod credentials;
pub mod datagrams;
pub mod dispatcher;
mod failover;
mod forward;
mod handshake;
mod http;
pub mod intercept;
mod kind;
mod listener;
mod opening;
pub mod outbound;
mod proxy_protocol;
mod serve;
mod socks4;
mod socks5;

pub use self::clients::Clients;
pub use self::datagrams::{DatagramOutbound, HandedFlow, serve_udp};
pub use self::kind::{IngressKind, LiveIngress, Now};
pub use self::listener::{Listen, Listener, UnixEntrance, UnixPath};
pub use self::proxy_protocol::ProxyProtocol;
pub use self::serve::serve;
pub use self::socks5::associate::go_on as go_on_with_association;
