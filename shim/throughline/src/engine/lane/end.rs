//! Why a lane ended.

use quinn::{ConnectionError, ReadError, WriteError};
use thiserror::Error;

use crate::engine::quic::tls;
use throughline_proto::panics::Panicked;
use throughline_proto::session::Violation;
use throughline_proto::wire::codec::DecodeError;

/// Why a lane ended.
#[derive(Debug, Error)]
pub(super) enum LaneEnd {
    /// Its connection is gone.
    #[error("{}", tls::reason(.0))]
    Connection(#[from] ConnectionError),
    /// The peer violated the protocol.
    #[error("protocol violation: {0}")]
    Violation(#[from] Violation),
    /// A datagram cannot be read.
    #[error("protocol violation: bad datagram: {0}")]
    Datagram(#[source] DecodeError),
    /// The peer leaves out what would make its streams readable.
    #[error("protocol violation: too many stream frames that cannot be read in order")]
    Unreadable,
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
    /// A part of the lane panicked: a fault of ours.
    #[error("internal error: {0}")]
    Panicked(#[from] Panicked),
    /// The session is over.
    #[error("session over")]
    SessionOver,
}

impl LaneEnd {
    /// Returns whether a process at the peer's address has answered that it does not know the lane.
    pub(super) fn is_reset(&self) -> bool {
        matches!(self, Self::Connection(ConnectionError::Reset))
    }

    /// Returns whether one of the ends ended it on purpose.
    pub(super) fn is_orderly(&self) -> bool {
        use ConnectionError::{ApplicationClosed, LocallyClosed};
        matches!(self, Self::SessionOver | Self::Connection(ApplicationClosed(_) | LocallyClosed))
    }

    /// Returns whether the peer violated the protocol.
    pub(super) fn is_violation(&self) -> bool {
        !matches!(self, Self::Connection(_) | Self::Panicked(_) | Self::SessionOver)
    }
}
