//! Hands a running daemon over to its successor: sockets, sessions and flows, so that a restart loses none.
//!
//! ```text
//! successor                        the one that runs
//!   configuration is valid
//!   take-over {formats} ─────────▸ none in common: refused
//!                       ◂───────── inventory {format, id, listening sockets}
//!   node, uplinks, new listeners
//!   proceed ─────────────────────▸ HTTP requests are answered; then: accepts nothing; relays park; sessions
//!                                  fall silent
//!                       ◂───────── state: a memory file, and the applications' sockets
//!   sessions and flows are restored
//!   ready ───────────────────────▸ leaves the listening sockets unread
//!                       ◂───────── yours
//!   dials, relays                  closes its lanes
//!                       ◂───────── left
//!   reads the listening sockets    ends without a word to anybody
//! ```
//!
//! **Until `yours` the one that runs can go on**, and does where anything fails: the successor says that it
//! cannot, dies, or takes too long. Nothing that the peers or the applications see has happened by then but
//! that nothing was passed on. **After it** the successor has everything, and cannot fail but by a crash. It leaves
//! the listening sockets unread until the lanes are closed, since it would answer the peers' packets on these with
//! a reset, which says that a process has ended.
//!
//! **Where the old process has to end first** (`systemctl restart`) what it would say is kept in a socket by the
//! service manager, see `keep` and `kept`.
//!
//! `state` is the file's format, `channel` carries messages and descriptors, `give` and `take` are
//! the two ends.

mod channel;
mod datagrams;
mod descriptors;
mod error;
mod give;
mod keep;
mod kept;
mod state;
mod take;

pub use self::datagrams::{HandedDatagrams, HandedOrigin, HandedOut};
pub use self::error::TakeOverError;
pub(crate) use self::give::GiveError;
pub use self::give::{Bundle, Giver, MakeBundle, MakingBundle, Settle};
pub(crate) use self::state::FORMATS;
pub use self::take::{Departure, Handed, HandedEnd, HandedRelay, TakeOver};

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What the two ends say after the request, a line of JSON each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Message {
    /// Everything was left here; an inventory follows, and after its descriptors that of a socket with the rest.
    Kept {
        /// Since when everything stands still: the time since the system began.
        since_ms: u64,
    },
    /// What there is to take over; the descriptors of the sockets follow, in their order.
    Inventory {
        /// The format of the state.
        format: u64,
        /// The public key of the daemon.
        id: String,
        sockets: Vec<Socket>,
    },
    /// The successor is prepared.
    Proceed,
    /// The descriptor of the state follows, and then those of so many connections.
    State { connections: usize },
    /// The successor has restored everything.
    Ready,
    /// The successor cannot take over.
    Failed(String),
    /// The successor has it.
    Yours,
    /// The lanes of the one that ran are closed.
    Left,
    /// There is no hand-over.
    Refused(String),
    /// The request was not understood.
    Error(String),
}

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Socket {
    /// An ingress's.
    Ingress {
        /// Its name.
        name: String,
        /// The address as it was configured.
        listen: SocketAddr,
    },
    /// That of an ingress at a Unix socket, since format 3.
    UnixIngress {
        /// Its path.
        path: PathBuf,
    },
    /// That of an ingress of datagrams.
    Datagrams {
        /// Its name.
        name: String,
        /// The address as it was configured.
        listen: SocketAddr,
    },
    /// One that lanes are accepted on.
    Lanes {
        /// The address as it was configured.
        listen: SocketAddr,
    },
    /// That of the metrics, or of the status page: a successor knows them by their addresses.
    Metrics {
        /// The address as it is bound.
        addr: SocketAddr,
    },
    /// The admin socket.
    Admin {
        /// Its path.
        path: PathBuf,
    },
    /// That of the DNS answerer for datagrams, since format 3.
    DnsDatagrams,
    /// That of the DNS answerer for connections, since format 3.
    DnsConnections,
    /// No socket but a file in memory, since format 3: the names that have stand-ins. They are in it as soon as
    /// everything stands still.
    Names,
}
