//! What happened to lanes.

use throughline_proto::lane::{LaneAction, Report};

/// What happened to the lanes of an ISP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneReport {
    /// Suspicions that were worth a report, at either end.
    pub suspicions: u32,
    /// Lanes that ended, as the initiator sees it.
    pub closed: u32,
    /// Lanes that were dialed beside one that had failed.
    pub twins: u32,
    /// Of these those that ended because the first one answered again.
    pub surplus: u32,
    /// Times that the lane was found lossy.
    pub lossy: u32,
}

impl LaneReport {
    pub(super) fn take(&mut self, _side: usize, action: &LaneAction) {
        match action {
            LaneAction::Report(Report::Suspected { .. }) => self.suspicions += 1,
            LaneAction::Report(Report::Lossy { .. }) => self.lossy += 1,
            _ => {}
        }
    }
}
