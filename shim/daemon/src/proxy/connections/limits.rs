//! How many connections there may be at once.

/// How many connections there may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections of an ingress; more wait in the kernel's queue.
    pub per_ingress: usize,
    /// Datagram flows of all ingresses: half of what a session may have, so that TCP has the other half.
    pub datagram_flows: usize,
    /// Connections that the egress is making for a peer; the next flow is refused.
    pub dials_of_peer: usize,
}

/// Dials of a peer at once: 5,000 a second to destinations that answer within 100 ms. Look-ups of names
/// are bounded apart.
const DIALS_OF_PEER: usize = 512;

impl ConnectionLimits {
    /// Returns the limits where a peer may have so many flows in a session. An ingress takes twice as many
    /// connections: those of two peers. Connections that could not be served need not hold descriptors.
    pub fn of_flows(flows: usize) -> Self {
        Self {
            per_ingress: flows.saturating_mul(2),
            datagram_flows: (flows / 2).max(1),
            dials_of_peer: DIALS_OF_PEER,
        }
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self::of_flows(throughline::Limits::default().flows_per_session)
    }
}
