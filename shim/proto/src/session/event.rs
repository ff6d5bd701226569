//! What a session reports.

use crate::types::{FlowId, LaneId};

/// Something happened that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// The peer opened a flow; somebody must accept or refuse it.
    Incoming(FlowId),
    /// The open of a flow of ours was answered.
    Answered(FlowId),
    /// There is something to read, or the flow ended.
    Readable(FlowId),
    /// There is room to write, or the flow ended.
    Writable(FlowId),
    /// The peer has more of what was written.
    Acknowledged(FlowId),
    /// The flow was reset or the session closed: both halves want to know.
    Broken(FlowId),
    /// The flow is forgotten.
    Forgotten(FlowId),
    /// The lane has something to write.
    Work(LaneId),
    /// The peer's locators changed ([`Session::peer_locators`](super::Session::peer_locators)).
    Locators,
    /// An application wrote while no lane is up
    /// ([`Session::take_unserved_write`](super::Session::take_unserved_write)).
    UnservedWrite,
    /// The session is closed and of no more use.
    Closed,
}
