//! A lane as its session sees it.

mod delivery;
mod long_datagrams;
mod outbox;
mod usage;

use std::collections::VecDeque;
use std::time::Duration;

use self::delivery::DeliveryMeter;
use self::long_datagrams::LongDatagrams;
use self::outbox::Outbox;
use self::usage::Usage;
use super::datagram_flows::MIN_DATAGRAM;
use super::event::SessionEvent;
use super::work::WorkClass;
use crate::lane::{self, LaneMonitor};
use crate::selection::{Candidate, Cost};
use crate::types::LaneId;
use crate::wire::version::{has_datagram_flows, has_traffic_classes};

/// What is known of a lane when it attaches.
#[derive(Clone, Copy, Debug)]
pub struct LaneInfo {
    /// What the lane shares with others at the initiator's end: its uplink (known to the acceptor
    /// by its address). Such lanes are likely to fail together.
    pub local_risk: u64,
    /// What the lane shares with others at the acceptor's end: its address.
    pub remote_risk: u64,
    /// What this end says that the lane costs.
    pub cost: Cost,
    /// The order among lanes of the same cost; lower first.
    pub order: u32,
    /// The version of the protocol that both ends speak on it.
    pub version: u64,
}

/// A lane of a session.
#[derive(Debug)]
pub(super) struct Lane {
    id: LaneId,
    pub(super) local_risk: u64,
    remote_risk: u64,
    pub(super) order: u32,
    /// How both ends want the lane to be used.
    pub(super) usage: Usage,
    /// What both ends think of the lane.
    pub(super) monitor: LaneMonitor,
    /// The version of our last advertisement of the lane's health.
    pub(super) health_version: u64,
    /// The version of the peer's last advertisement of the lane's health.
    pub(super) peer_health_version: u64,
    pub(super) rtt: Duration,
    /// Its version has datagram flows.
    pub(super) takes_datagrams: bool,
    /// Its version has traffic classes of datagrams.
    pub(super) takes_classes: bool,
    /// How long the content of a DATAGRAM frame may be.
    pub(super) max_datagram: usize,
    /// The longer ones that it carries.
    pub(super) long: LongDatagrams,
    /// What it delivers.
    pub(super) delivery: DeliveryMeter,
    /// Segments whose streams are not given up: the peer allows so many.
    pub(super) open_streams: usize,
    /// The peer has sent the facts of all its flows on this lane.
    pub(super) synced: bool,
    /// The number of bytes at risk elsewhere that were sent again on this lane.
    pub(super) resent: u64,
    /// The number of the next segment.
    pub(super) next_key: u64,
    /// What waits to be written.
    pub(super) outbox: Outbox,
}

impl Lane {
    pub(super) fn new(id: LaneId, info: LaneInfo) -> Self {
        Self {
            id,
            local_risk: info.local_risk,
            remote_risk: info.remote_risk,
            order: info.order,
            usage: Usage::new(info.cost),
            monitor: LaneMonitor::new(lane::MAX_ACK_DELAY),
            health_version: 0,
            peer_health_version: 0,
            rtt: Duration::ZERO,
            takes_datagrams: has_datagram_flows(info.version),
            takes_classes: has_traffic_classes(info.version),
            max_datagram: MIN_DATAGRAM,
            long: LongDatagrams::default(),
            delivery: DeliveryMeter::default(),
            open_streams: 0,
            synced: false,
            resent: 0,
            next_key: 0,
            outbox: Outbox::default(),
        }
    }

    /// Returns whether either end suspects the lane.
    pub(super) fn is_suspect(&self) -> bool {
        self.monitor.is_suspected()
    }

    /// Returns whether the suspicion may yet prove spurious.
    pub(super) fn is_guess(&self) -> bool {
        self.is_suspect() && !self.monitor.condition().confirmed
    }

    /// Returns whether either end is about to close the lane.
    pub(super) fn is_draining(&self) -> bool {
        self.usage.is_draining()
    }

    /// Returns whether the lane can carry bytes and is not suspect.
    pub(super) fn is_up(&self) -> bool {
        self.synced && !self.is_suspect()
    }

    /// Returns the lane as a candidate for a flow.
    pub(super) fn candidate(&self) -> Candidate {
        Candidate {
            id: self.id,
            local_risk: self.local_risk,
            remote_risk: self.remote_risk,
            cost: self.usage.cost(),
            order: self.order,
            rtt: self.rtt,
            synced: self.synced,
            late: self.monitor.is_late(),
            suspect: self.is_suspect(),
            confirmed: self.monitor.condition().confirmed,
            draining: self.is_draining(),
            lossy: self.monitor.is_lossy(),
            evidence: self.delivery.evidence(),
        }
    }

    /// Returns whether its deliveries broke down, so that what it carries comes late.
    pub(super) fn has_collapsed(&self) -> bool {
        self.delivery.evidence().collapsed
    }

    /// Wakes the lane, once until it has no more work of this class.
    pub(super) fn wake(&mut self, class: WorkClass, events: &mut VecDeque<SessionEvent>) {
        if self.outbox.wake(class) {
            events.push_back(SessionEvent::Work(self.id));
        }
    }
}
