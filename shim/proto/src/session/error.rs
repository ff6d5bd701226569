//! What a peer may not do, and why an application's request fails.

use thiserror::Error;

use super::peer_ids::MAX_UNSEEN;
use crate::flow::RxViolation;
use crate::types::{FlowId, OpenFailure};
use crate::wire::codec::DecodeError;
use crate::wire::control::ControlError;

/// What a peer did although the protocol does not allow it. The lane on which it did so is closed
/// with this.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Violation {
    /// A control message cannot be read.
    #[error("{0}")]
    Control(#[from] ControlError),
    /// A segment header cannot be read.
    #[error("bad segment header: {0}")]
    Header(#[source] DecodeError),
    /// A message that belongs elsewhere.
    #[error("{0} message out of place")]
    OutOfPlace(&'static str),
    /// Bytes beyond the granted window.
    #[error("flow {flow}: bytes up to {end}, but only {max_offset} were granted")]
    Window {
        /// The flow.
        flow: FlowId,
        /// The offset at which the bytes end.
        end: u64,
        /// The offset that was granted.
        max_offset: u64,
    },
    /// A final size that contradicts the bytes or an earlier final size.
    #[error("flow {0}: contradicting final size")]
    FinalSize(FlowId),
    /// Bytes in more separate ranges than a receiver holds.
    #[error("flow {flow}: bytes in more than {max} separate ranges; send what is missing first")]
    TooManyRanges {
        /// The flow.
        flow: FlowId,
        /// How many ranges there may be.
        max: usize,
    },
    /// An acknowledgement of bytes that were never sent.
    #[error("flow {flow}: {end} bytes acknowledged, {sent} were sent")]
    NeverSent {
        /// The flow.
        flow: FlowId,
        /// The offset that was acknowledged.
        end: u64,
        /// The offset up to which bytes were sent.
        sent: u64,
    },
    /// A new flow without its open request.
    #[error("flow {0} is new but carries no open request")]
    NoOpen(FlowId),
    /// A flow of ours that we never opened.
    #[error("flow {0} was never opened by us")]
    NeverOpened(FlowId),
    /// A flow id far above those seen.
    #[error("flow {0} skips more than {MAX_UNSEEN} ids")]
    SkippedIds(FlowId),
    /// A segment of a flow of datagrams.
    #[error("flow {0}: a segment, but the flow is one of datagrams")]
    NotOfBytes(FlowId),
    /// A datagram of a flow of bytes.
    #[error("flow {0}: a datagram, but the flow is one of bytes")]
    NotOfDatagrams(FlowId),
    /// A reset of a flow of datagrams after bytes.
    #[error("flow {0}: a reset at {1}, but the flow is one of datagrams")]
    ResetAfterBytes(FlowId, u64),
    /// More flows than allowed, even counting those that were refused.
    #[error("more than {0} flows, refused ones included")]
    TooManyFlows(usize),
}

impl Violation {
    /// Names the flow on which a violation occurred.
    pub(super) fn on_flow(flow: FlowId, violation: RxViolation) -> Self {
        match violation {
            RxViolation::Window { end, max_offset } => Self::Window { flow, end, max_offset },
            RxViolation::FinalSize => Self::FinalSize(flow),
            RxViolation::TooManyRanges(max) => Self::TooManyRanges { flow, max },
        }
    }
}

/// Why a flow cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The peer's bound on our flows is reached.
    #[error("{0} flows are open, the most the peer allows")]
    TooMany(u64),
    /// The session is closed.
    #[error("session closed: {0}")]
    Closed(String),
    /// The peer speaks a version that has no datagram flows.
    #[error("the peer's version has no datagram flows; update it")]
    NoDatagrams,
    /// The peer could not read the target, and would close every lane that carries it.
    #[error("target cannot be sent: {0}")]
    Target(#[source] DecodeError),
}

/// Why a flow cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FlowError {
    /// The peer's application, or its shim, reset the flow.
    #[error("flow reset by the peer (code {0})")]
    ResetByPeer(u64),
    /// This end reset the flow.
    #[error("flow reset here")]
    ResetHere,
    /// The flow was never opened.
    #[error("{0}")]
    Failed(OpenFailure),
    /// Our direction has ended.
    #[error("flow finished; nothing can be written after the end")]
    Finished,
    /// The session is closed.
    #[error("session closed: {0}")]
    Closed(String),
}
