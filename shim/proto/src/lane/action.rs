//! What a lane monitor wants done.

use super::report::Report;

/// What follows from a change of a lane's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The session marks what the lane carries as at risk, and sends it on other lanes as well.
    MarkAtRisk,
    /// The session sends the bytes of thin flows on another lane as well: acknowledgements are late,
    /// as is usual for the lane's path.
    CopyThin,
    /// The session uses the lane again.
    Trust {
        /// The suspicion was a false alarm: flows that it displaced return.
        spurious: bool,
    },
    /// The session chooses lanes anew, since the lane became lossy or recovered from loss.
    Reselect,
    /// The session tells the peer what this end thinks of the lane.
    Advertise,
    /// Whoever runs the lane does this.
    Lane(LaneAction),
}

impl Action {
    pub(super) fn report(report: Report) -> Self {
        Self::Lane(LaneAction::Report(report))
    }
}

/// What whoever runs a lane has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaneAction {
    /// Send a probe as large as a packet of bulk, although the congestion window may be full. A
    /// small one would not prove that large packets pass.
    Probe,
    /// Tell the peer in a datagram, which nothing that was lost keeps waiting, that this end suspects the lane.
    Notice {
        /// Full packets vanish, and smaller ones pass.
        narrow: bool,
    },
    /// Close the lane.
    Close(CloseReason),
    /// Emit an event.
    Report(Report),
}

/// Why a monitor closes its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Nothing proved for long that the lane works.
    Unresponsive,
    /// Our packets are lost although the peer's come.
    OneWay,
}
