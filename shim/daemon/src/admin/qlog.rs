//! The qlog of lanes over the admin socket: what the daemon sends.

use std::net::SocketAddr;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use throughline::QlogPart;

/// A part of the qlog of a lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QlogAnswer {
    /// The number of its connection in this daemon.
    pub connection: u64,
    /// The session's id, 32 hexadecimal digits.
    pub session: String,
    /// The lane's number in the session.
    pub lane: u64,
    /// The uplink at this end.
    pub uplink: Option<String>,
    /// The address at this end.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// Whether this end dialed it.
    pub dialed: bool,
    /// When its qlog began, in milliseconds after 1970 began.
    pub began_ms: u64,
    /// Whether it has become a lane.
    pub is_up: bool,
    /// Whole records in JSON text sequences (RFC 7464).
    pub records: String,
    /// How many records were dropped after these because they were not read in time.
    pub dropped: u64,
    /// Whether the connection is over.
    pub is_last: bool,
}

impl From<QlogPart> for QlogAnswer {
    fn from(part: QlogPart) -> Self {
        let QlogPart { lane, records, dropped, is_last, .. } = part;
        let began = lane.began.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            connection: lane.connection,
            session: format!("{:032x}", lane.lane.0.0),
            lane: lane.lane.1.0,
            uplink: lane.uplink,
            local: lane.local,
            remote: lane.remote,
            dialed: lane.dialed,
            began_ms: u64::try_from(began.as_millis()).unwrap_or(u64::MAX),
            is_up: lane.is_up,
            records: String::from_utf8(records)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
            dropped,
            is_last,
        }
    }
}
