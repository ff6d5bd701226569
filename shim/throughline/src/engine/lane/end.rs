//! Why a lane ended.

use quinn::{ConnectionError, ReadError, WriteError};
use thiserror::Error;

use throughline_proto::session::Violation;
use throughline_proto::wire::codec::DecodeError;

/// Why a lane ended.
#[derive(Debug, Error)]
pub(super) enum LaneEnd {
    /// Its connection is gone.
    #[error("{0}")]
    Connection(#[from] ConnectionError),
    /// The peer violated the protocol.
    #[error("protocol violation: {0}")]
    Violation(#[from] Violation),
    /// A datagram cannot be read.
    #[error("protocol violation: bad datagram: {0}")]
    Datagram(#[source] DecodeError),
    /// The control stream ended before the lane.
    #[error("protocol violation: control stream ended")]
    ControlEnded,
    /// The peer's control stream cannot be read.
    #[error("protocol violation: control stream {0}")]
    ControlRead(#[source] ReadError),
    /// The peer takes no control messages.
    #[error("protocol violation: control stream {0}")]
    ControlWrite(#[source] WriteError),
    /// A segment's stream took no bytes although the peer did not stop it. Never expected; ending
    /// the lane has others send them.
    #[error("segment stream {0}")]
    SegmentWrite(#[source] WriteError),
    /// The session is over.
    #[error("session over")]
    SessionOver,
}

impl LaneEnd {
    /// Returns whether the peer violated the protocol.
    pub(super) fn is_violation(&self) -> bool {
        !matches!(self, Self::Connection(_) | Self::SessionOver)
    }
}
