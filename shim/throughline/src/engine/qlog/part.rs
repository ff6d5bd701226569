//! What the reader of a qlog is given.

use std::net::SocketAddr;
use std::time::SystemTime;

use throughline_proto::types::{LaneId, SessionId};

/// A connection whose qlog is read: a lane, or what is to become one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QlogLane {
    /// Its number among the connections of the node whose qlog was asked for.
    pub connection: u64,
    /// Its session, and its number there.
    pub lane: (SessionId, LaneId),
    /// The uplink at our end, where our address belongs to one.
    pub uplink: Option<String>,
    /// Our address.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// Whether we dialed it.
    pub dialed: bool,
    /// When its qlog began: the times in it are relative to that.
    pub began: SystemTime,
    /// Whether it has become a lane; a dial may fail.
    pub is_up: bool,
}

/// A part of a connection's qlog.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QlogPart {
    /// Whose it is.
    pub lane: QlogLane,
    /// Whole records in JSON text sequences (RFC 7464), after those of the part before. The first record of a
    /// connection says what the others are.
    pub records: Vec<u8>,
    /// How many records were dropped after these because they were not read in time.
    pub dropped: u64,
    /// Whether the connection is over and nothing follows.
    pub is_last: bool,
}
