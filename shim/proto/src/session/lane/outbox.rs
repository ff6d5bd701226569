//! What waits to be written on a lane.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::session::work::{StreamOp, WorkClass};
use crate::types::{FlowId, LaneId};

/// The most acknowledgements of facts that wait for a lane that does not write: a peer that sends
/// facts and does not read must not make us grow.
const MAX_PENDING_ACKS: usize = 4096;

/// Forgotten flows for which the queues are not searched.
const MIN_FORGOTTEN: usize = 64;

/// Flows that wait for a lane, and whether the lane was woken for them.
#[derive(Debug, Default)]
pub(in crate::session) struct Queue {
    pub(in crate::session) flows: VecDeque<FlowId>,
    /// The lane was woken for work of this class and has not run out of it.
    awake: bool,
    /// The lane ran out of work since this was last asked for.
    rested: bool,
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
    datagrams: Queue,
    bulk: Queue,
    /// Flows forgotten since the queues were last searched for such.
    forgotten: usize,
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
            datagrams: Queue::default(),
            bulk: Queue::default(),
            forgotten: 0,
        }
    }
}

impl Outbox {
    /// Returns the flows that have bytes of this class to send.
    pub(in crate::session) fn queue(&mut self, class: WorkClass) -> &mut Queue {
        match class {
            WorkClass::Urgent => &mut self.urgent,
            WorkClass::Datagrams => &mut self.datagrams,
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
        let queue = self.queue(class);
        (queue.awake, queue.rested) = (false, true);
    }

    /// Returns whether bulk has waited for the lane all the time since the last call.
    pub(in crate::session) fn take_bulk_waited(&mut self) -> bool {
        !std::mem::take(&mut self.bulk.rested) && self.bulk.awake
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
        self.datagrams.flows.clear();
        self.bulk.flows.clear();
    }

    /// Takes note that a flow is forgotten. Whoever takes it from a queue passes it by; the queues
    /// are searched only when half of them may be such flows, so that forgetting costs the same
    /// however many wait.
    pub(in crate::session) fn forget_flow(&mut self, is_live: impl Fn(FlowId) -> bool) {
        self.forgotten += 1;
        let queues = [
            &mut self.facts,
            &mut self.urgent.flows,
            &mut self.datagrams.flows,
            &mut self.bulk.flows,
        ];
        let waiting: usize = queues.iter().map(|queue| queue.len()).sum();
        if self.forgotten > MIN_FORGOTTEN.max(waiting / 2) {
            self.forgotten = 0;
            queues.into_iter().for_each(|queue| queue.retain(|flow| is_live(*flow)));
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
