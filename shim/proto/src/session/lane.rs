//! A lane as the session sees it: whether it is to be trusted, and what it is to write.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::{Class, Event, Transmit};
use crate::lane::{self, Health, LaneMonitor};
use crate::types::{FlowId, LaneId};
use crate::wire::fact::LaneUse;

/// The most echoes that wait for a lane that does not write: a peer that states flows and does
/// not read must not make us grow.
const MAX_PENDING_FACT_ACKS: usize = 4096;

/// What is known of a lane when it attaches.
#[derive(Clone, Copy, Debug)]
pub struct LaneInfo {
    /// Lanes of the same group share an uplink of the initiator (at the acceptor: an address of
    /// its): they are likely to fail together.
    pub group: u64,
    /// ... and those of the same landing share an address of the acceptor.
    pub landing: u64,
    /// 0 free, 255 most costly; from 128 up used only where no cheaper lane is.
    pub cost: u8,
    /// The order among lanes of the same cost; lower first.
    pub order: u32,
}

/// A lane of a session.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) info: LaneInfo,
    /// Our word on how it is to be used, and the peer's; the stricter binds.
    pub(super) our_use: Option<LaneUse>,
    pub(super) peer_use: Option<LaneUse>,
    /// The peer has stated all its flows on this lane.
    pub(super) synced: bool,
    /// What is thought of it, by us and by the peer.
    pub(super) monitor: LaneMonitor,
    /// The version of our last advertisement of its health.
    pub(super) health_version: u64,
    /// The version of the peer's last advertisement of its health.
    pub(super) peer_health_version: u64,
    pub(super) rtt: Duration,
    /// Bytes in doubt elsewhere that went out on it again.
    pub(super) resent: u64,
    /// Lanes whose use is to be told on this one; each as it is when it is written.
    pub(super) use_words: BTreeSet<LaneId>,
    /// Lanes whose health is to be told on this one.
    pub(super) health_words: BTreeSet<LaneId>,
    /// Our locators are to be told on this one.
    pub(super) locators_due: bool,
    /// Echoes to be written, latest version only, at most [`MAX_PENDING_FACT_ACKS`].
    pub(super) echoes: BTreeMap<FlowId, u64>,
    /// The session's last word has not been written yet.
    pub(super) goodbye: bool,
    /// Flows whose state is to be written.
    pub(super) facts: VecDeque<FlowId>,
    /// `EndOfSync` follows when `facts` has been written.
    pub(super) sync_end: bool,
    pub(super) chores: VecDeque<Transmit>,
    pub(super) thin: VecDeque<FlowId>,
    pub(super) bulk: VecDeque<FlowId>,
    pub(super) next_key: u64,
    /// The lane was told that there is work of this class and has not come to the end of it.
    woken: bool,
    woken_bulk: bool,
}

impl Lane {
    pub(super) fn new(info: LaneInfo) -> Self {
        Self {
            info,
            our_use: None,
            peer_use: None,
            synced: false,
            monitor: LaneMonitor::new(lane::MAX_ACK_DELAY),
            health_version: 0,
            peer_health_version: 0,
            rtt: Duration::ZERO,
            resent: 0,
            use_words: BTreeSet::new(),
            health_words: BTreeSet::new(),
            locators_due: false,
            echoes: BTreeMap::new(),
            goodbye: false,
            facts: VecDeque::new(),
            sync_end: true,
            chores: VecDeque::new(),
            thin: VecDeque::new(),
            bulk: VecDeque::new(),
            next_key: 0,
            woken: false,
            woken_bulk: false,
        }
    }

    /// The stricter of the two sides' words.
    pub(super) fn cost(&self) -> u8 {
        self.info.cost.max(self.peer_use.map_or(0, |word| word.cost))
    }

    /// Either side says that it is about to go.
    pub(super) fn draining(&self) -> bool {
        [self.our_use, self.peer_use].into_iter().flatten().any(|word| word.draining)
    }

    /// Takes an echo to be written. Where too many wait the peer will state its flow again.
    pub(super) fn echo(&mut self, id: FlowId, version: u64) {
        if self.echoes.len() < MAX_PENDING_FACT_ACKS || self.echoes.contains_key(&id) {
            let known = self.echoes.entry(id).or_insert(0);
            *known = version.max(*known);
        }
    }

    /// The session is over: nothing but its last word is written any more.
    pub(super) fn silence(&mut self) {
        self.use_words.clear();
        self.health_words.clear();
        self.locators_due = false;
        self.echoes.clear();
        self.facts.clear();
        self.chores.clear();
        self.thin.clear();
        self.bulk.clear();
        self.sync_end = false;
    }

    /// How many control messages wait.
    pub(super) fn backlog(&self) -> usize {
        self.use_words.len() + self.health_words.len() + self.echoes.len() + self.facts.len()
    }

    /// Acknowledgements are overdue, by our sensor or by the peer's advertisement.
    pub(super) fn is_suspect(&self) -> bool {
        self.monitor.is_suspected()
    }

    /// What this end thinks of it, whatever the peer does.
    pub(super) fn health(&self) -> Health {
        self.monitor.health()
    }

    /// It can carry bytes and nothing speaks against it.
    pub(super) fn is_up(&self) -> bool {
        self.synced && !self.is_suspect()
    }

    /// Tells the lane that there is work, once until it has come to the end of it.
    pub(super) fn wake(&mut self, id: LaneId, events: &mut VecDeque<Event>) {
        if !self.woken {
            self.woken = true;
            events.push_back(Event::Work(id));
        }
    }

    /// The same for bulk: a lane that is busy with bulk need not be told of more.
    pub(super) fn wake_bulk(&mut self, id: LaneId, events: &mut VecDeque<Event>) {
        if !self.woken_bulk {
            self.woken_bulk = true;
            events.push_back(Event::Work(id));
        }
    }

    /// The lane found nothing more of this class to write.
    pub(super) fn rest(&mut self, class: Class) {
        match class {
            Class::Urgent => self.woken = false,
            Class::Bulk => self.woken_bulk = false,
        }
    }

    /// Drops a flow from the queues.
    pub(super) fn forget_flow(&mut self, id: FlowId) {
        self.facts.retain(|f| *f != id);
        self.thin.retain(|f| *f != id);
        self.bulk.retain(|f| *f != id);
    }
}
