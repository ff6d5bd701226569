//! What a lane's deliveries show of it.

use std::time::Duration;

/// What a lane's deliveries show of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// What the lane delivers with bulk waiting for it, or did within the last 15 seconds, in bytes a
    /// second.
    pub rate: Option<u64>,
    /// For how long bulk has waited for the lane without a break.
    pub full_for: Duration,
    /// Bulk waits for the lane, and it delivers a fraction of what it did seconds ago.
    pub collapsed: bool,
    /// How many bulk flows have the lane as their primary one.
    pub bulk_flows: u32,
    /// The congestion window in bytes.
    pub cwnd: u64,
    /// The variation of the round trip time.
    pub rttvar: Duration,
    /// How many of a thousand bytes are lost.
    pub loss: u16,
    /// How long a byte has to wait on the lane on average because its path pauses.
    pub mean_wait: Duration,
}
