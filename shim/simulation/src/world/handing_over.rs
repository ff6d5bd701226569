//! What a host keeps while its session is being handed over.

use throughline_proto::types::FlowId;

/// A hand-over under way.
#[derive(Debug)]
pub(super) struct HandOver {
    pub(super) era: u32,
    pub(super) records: Vec<Vec<u8>>,
    /// Flows that the peer opened since: nobody has been told.
    pub(super) incoming: Vec<FlowId>,
}
