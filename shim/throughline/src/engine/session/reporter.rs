//! Turns what the monitors report into events.

use tracing::debug;

use super::LaneEntry;
use crate::events::{EventKind, OneWayDetectedBy, SessionLog, SuspectedBy};
use throughline_proto::lane::{self, FailedDirection, Report};
use throughline_proto::types::LaneId;

impl LaneEntry {
    /// Emits a report about the lane.
    pub(crate) fn emit(&self, log: &SessionLog, id: LaneId, report: Report) {
        let (peer, uplink) = (log.peer(), self.uplink());
        let kind = match report {
            Report::Raised { address_lost, by_peer } => {
                debug!(%peer, lane = %id, uplink, address_lost, by_peer, "lane suspect");
                return;
            }
            Report::Withdrawn { after } => {
                debug!(%peer, lane = %id, uplink, ?after, "lane answers again");
                return;
            }
            Report::Suspected { detected_by, suppressed } => {
                let detected_by = match detected_by {
                    lane::SuspectedBy::Us { rule, silence } => SuspectedBy::Us { rule, silence },
                    lane::SuspectedBy::Peer => SuspectedBy::Peer,
                };
                EventKind::LaneSuspected { detected_by, suppressed }
            }
            Report::OneWay(direction) => {
                let detected_by = match direction {
                    FailedDirection::Ours { received } => OneWayDetectedBy::Us { received },
                    FailedDirection::Peers => OneWayDetectedBy::Peer,
                };
                EventKind::LaneOneWay { detected_by }
            }
            Report::Hedged { bytes, instead_of } => EventKind::Hedged { bytes, instead_of },
            Report::Recovered { after } => EventKind::LaneRecovered { duration: after },
            Report::Lossy { percent } => EventKind::LaneLossy { percent },
            Report::PeerMigrated { from, to } => EventKind::PeerMigrated { from, to },
        };
        log.emit_lane(id, uplink, kind);
    }
}
