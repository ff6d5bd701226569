//! Real QUIC connections over simulated links, in virtual time.
//!
//! Nothing here is a model but the links: `quinn-proto` is sans-I/O, so the connections, their TLS, loss
//! recovery, pacing and congestion controllers are those of the product, and the controllers they compete
//! with are quinn's own. The links are `throughline_link`'s, shared by as many connections as wanted.
//!
//! ```text
//! Traffic   flows with an application: bulk up or down, an echo; what came of it, over time
//!    └── Network   hosts, links, the clock: moves packets, fires timers, says which hosts were touched
//!          └── Host   one endpoint with one connection
//! ```
//!
//! [`Network`] by itself is for callers with an application of their own, such as sessions over several
//! lanes: it returns after each step with the hosts that something happened to, and gives access to their
//! connections.
//!
//! The virtual clock begins a day ahead of the real one, so that whatever reads the real clock at its
//! making (a sensor's zero) is before it. Runs of one seed are alike but for what quinn draws from the
//! operating system: BBR's phase and the bytes of keys.

mod bulk;
mod congestion;
mod echo;
mod end;
mod host;
mod measure;
mod network;
mod scenario;
mod tls;
mod traffic;
mod watch;

pub use congestion::Congestion;
pub use host::{Host, HostId};
pub use measure::percentile;
pub use network::{Ends, LinkId, Network, Route};
pub use scenario::{Alone, Contest, Shares, alone};
pub use traffic::{Application, Flow, FlowId, Traffic};
pub use watch::Finding;
