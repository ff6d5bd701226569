//! What is seen of a lane from outside: by its sensor, by the system, by our own timer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::pauses::Pauses;

/// What the lane sensor saw up to one moment.
///
/// Times are of packets that ask for an acknowledgement.
#[derive(Clone, Copy, Debug, Default)]
pub struct SensorSnapshot {
    /// Bytes in flight on the current path; those sent on an earlier path are not counted.
    pub in_flight: u64,
    /// The congestion window in bytes.
    pub cwnd: u64,
    /// Bytes acknowledged since the lane began.
    pub acked_bytes: u64,
    /// Bytes declared lost since the lane began, those of an earlier path included.
    pub lost_bytes: u64,
    /// Bytes sent since the lane began, acknowledgements included, path-MTU probes not.
    pub sent_bytes: u64,
    /// When the last acknowledgement arrived.
    pub last_ack: Option<Instant>,
    /// When the oldest packet after the newest acknowledged one was sent. Holes below that are not
    /// counted: loss recovery fills them. `None` when nothing is outstanding.
    pub oldest_unacked: Option<Instant>,
    /// The full packets that smaller ones have overtaken.
    pub overtaken: Overtaken,
    /// When the newest acknowledged packet was sent.
    pub newest_acked_sent: Option<Instant>,
    /// When the newest acknowledged packet of about the path's MTU was sent.
    pub newest_full_acked_sent: Option<Instant>,
    /// When the acknowledgement of the newest full packet arrived.
    pub last_full_ack: Option<Instant>,
    /// When the last packet was sent.
    pub last_sent: Option<Instant>,
    /// How far apart acknowledgements arrive while the lane is busy: smoothed, quick to rise.
    pub ack_interval: Duration,
    /// Smoothed round-trip time, the peer's acknowledgement delay included (RFC 9002 §5.3).
    pub srtt: Duration,
    /// Mean variation of the round-trip time (RFC 9002 §5.3).
    pub rttvar: Duration,
    /// The least round-trip time seen on the current path.
    pub min_rtt: Duration,
    /// How the current path pauses.
    pub pauses: Pauses,
    /// How often the lane has migrated to another path.
    pub epoch: u64,
}

/// Full packets that were sent one after the other, none of which is acknowledged although smaller ones are that
/// were sent later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overtaken {
    /// How many there are.
    pub packets: u32,
    /// How many acknowledgements have shown it: what an outage took is overtaken at once.
    pub turns: u32,
}

/// Whether the system lists the address that a lane is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressListing {
    /// The address, or the system's list, is not known.
    Unknown,
    /// The address is there, on a link that carries packets.
    Listed,
    /// The address is not listed, or its link is down.
    Unlisted,
}

/// All that a lane monitor is shown at one moment.
#[derive(Clone, Copy)]
pub struct Observation<'a> {
    /// What the lane's sensor saw.
    pub sensor: SensorSnapshot,
    /// Counts the datagrams of the peer that arrived since the lane began. Called only while the
    /// lane is suspected, because counting takes the connection's lock.
    pub received: &'a dyn Fn() -> u64,
    /// Where the peer is.
    pub remote: SocketAddr,
    /// What the system says of our address.
    pub address: AddressListing,
    /// How late our own timer fired; zero where it did not.
    pub late_by: Duration,
    /// The machine was suspended since the last observation.
    pub resumed: bool,
}

impl std::fmt::Debug for Observation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observation")
            .field("sensor", &self.sensor)
            .field("remote", &self.remote)
            .field("address", &self.address)
            .field("late_by", &self.late_by)
            .field("resumed", &self.resumed)
            .finish_non_exhaustive()
    }
}
