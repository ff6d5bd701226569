//! What waits to be written on a lane.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::session::work::{StreamOp, WorkClass};
use crate::types::{FlowId, LaneId};

/// The most acknowledgements of facts that wait for a lane that does not write: a peer that sends
/// facts and does not read must not make us grow.
const MAX_PENDING_ACKS: usize = 4096;

/// Flows that wait for a lane, and whether the lane was woken for them.
#[derive(Debug, Default)]
pub(in crate::session) struct Queue {
    pub(in crate::session) flows: VecDeque<FlowId>,
    /// The lane was woken for work of this class and has not run out of it.
    awake: bool,
}

/// What waits to be written on a lane, in the order in which it is written.
///
/// Messages about lanes and flows are kept as ids only: each is written as it is then.
#[derive(Debug)]
pub(in crate::session) struct Outbox {
    /// The session's close message.
    pub(in crate::session) close_message: bool,
    /// Our locators.
    pub(in crate::session) locators: bool,
    /// Lanes whose use is advertised.
    pub(in crate::session) lane_use: BTreeSet<LaneId>,
    /// Lanes whose health is advertised.
    pub(in crate::session) lane_health: BTreeSet<LaneId>,
    /// The versions of the peer's facts to acknowledge, at most [`MAX_PENDING_ACKS`].
    pub(in crate::session) fact_acks: BTreeMap<FlowId, u64>,
    /// Flows whose facts are sent.
    pub(in crate::session) facts: VecDeque<FlowId>,
    /// `EndOfSync` follows when `facts` has been written.
    pub(in crate::session) end_of_sync: bool,
    /// Segments whose streams are ended, forgotten or reset.
    pub(in crate::session) stream_ops: VecDeque<(u64, StreamOp)>,
    urgent: Queue,
    bulk: Queue,
}

impl Default for Outbox {
    /// A lane begins with all facts and `EndOfSync`.
    fn default() -> Self {
        Self {
            close_message: false,
            locators: false,
            lane_use: BTreeSet::new(),
            lane_health: BTreeSet::new(),
            fact_acks: BTreeMap::new(),
            facts: VecDeque::new(),
            end_of_sync: true,
            stream_ops: VecDeque::new(),
            urgent: Queue::default(),
            bulk: Queue::default(),
        }
    }
}

impl Outbox {
    /// Returns the flows that have bytes of this class to send.
    pub(in crate::session) fn queue(&mut self, class: WorkClass) -> &mut Queue {
        match class {
            WorkClass::Urgent => &mut self.urgent,
            WorkClass::Bulk => &mut self.bulk,
        }
    }

    /// Returns whether the lane must be woken: once until it has no more work of this class. A lane
    /// that is busy with bulk need not be woken for more.
    pub(super) fn wake(&mut self, class: WorkClass) -> bool {
        !std::mem::replace(&mut self.queue(class).awake, true)
    }

    /// Takes note that the lane found no more work of this class.
    pub(in crate::session) fn rest(&mut self, class: WorkClass) {
        self.queue(class).awake = false;
    }

    /// Takes an acknowledgement of facts. Where too many wait, it is left out, and the peer will
    /// retransmit the facts.
    pub(in crate::session) fn ack_fact(&mut self, id: FlowId, version: u64) {
        if self.fact_acks.len() < MAX_PENDING_ACKS || self.fact_acks.contains_key(&id) {
            let known = self.fact_acks.entry(id).or_insert(0);
            *known = version.max(*known);
        }
    }

    /// Drops everything but the close message, because the session is over.
    pub(in crate::session) fn clear(&mut self) {
        self.locators = false;
        self.lane_use.clear();
        self.lane_health.clear();
        self.fact_acks.clear();
        self.facts.clear();
        self.end_of_sync = false;
        self.stream_ops.clear();
        self.urgent.flows.clear();
        self.bulk.flows.clear();
    }

    /// Drops a flow from the queues.
    pub(in crate::session) fn forget_flow(&mut self, id: FlowId) {
        for queue in [&mut self.facts, &mut self.urgent.flows, &mut self.bulk.flows] {
            queue.retain(|flow| *flow != id);
        }
    }

    /// Drops a lane from the advertisements.
    pub(in crate::session) fn forget_lane(&mut self, id: LaneId) {
        self.lane_use.remove(&id);
        self.lane_health.remove(&id);
    }

    /// Returns how many control messages wait.
    pub(in crate::session) fn backlog(&self) -> usize {
        self.lane_use.len() + self.lane_health.len() + self.fact_acks.len() + self.facts.len()
    }
}
