//! What a session keeps of its datagram flows in all, and of a lane that carries them.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::types::FlowId;

/// The longest datagram of a lane of which nothing is known yet: QUIC's smallest packets hold so much (RFC 9000
/// §14), less what their header and the frame's take at the most.
pub(super) const MIN_DATAGRAM: usize = 1150;

/// What a session keeps of its datagram flows in all.
#[derive(Debug, Default)]
pub(super) struct DatagramFlows {
    /// When to look whether a flow is over, earliest first; each has one.
    pub(super) checks: BTreeSet<(Instant, FlowId)>,
    /// There was one.
    pub(super) had_any: bool,
    /// The peer's latest lane takes datagram flows.
    pub(super) peer_takes: bool,
    /// When the latest lane attached: before that a flow was idle for want of one.
    pub(super) attached_at: Option<Instant>,
}
