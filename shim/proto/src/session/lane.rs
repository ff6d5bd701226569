//! A lane as the session sees it: whether it is to be trusted, and what it is to write.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::pardon::Pardons;
use super::{Class, Event, Transmit};
use crate::types::{FlowId, LaneId};
use crate::wire::fact::{LaneUse, Suspicion};

/// The most echoes that wait for a lane that does not write: a peer that states flows and does
/// not read must not make us grow.
const MAX_PENDING_FACT_ACKS: usize = 4096;

/// How long a peer's suspicion of a lane stands without being repeated. It is repeated with every
/// probe, of which there is one each 100 ms; this allows for one lost.
pub const WORD_HOLDS: Duration = Duration::from_millis(250);

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

/// What the lane's sensor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Acknowledgements come as they should.
    Alive,
    /// They are overdue.
    Suspect {
        /// No progress for a whole probe timeout: no longer a guess.
        confirmed: bool,
    },
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
    pub(super) health: Health,
    /// It loses much of what we send.
    pub(super) lossy: bool,
    /// What we send on it is lost, while what the peer sends comes.
    pub(super) one_way: bool,
    /// How often our own view of its health changed.
    pub(super) health_version: u64,
    /// The version of the peer's last word on its health.
    pub(super) peer_health_version: u64,
    /// The peer told us that it suspects this lane: when it last said so.
    pub(super) peer_suspects: Option<Instant>,
    /// It told us that what we send comes there, while what it sends is lost.
    pub(super) peer_one_way: bool,
    /// The doubts of either end that may be forgiven.
    pub(super) pardons: Pardons,
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
            health: Health::Alive,
            lossy: false,
            one_way: false,
            health_version: 0,
            peer_health_version: 0,
            peer_suspects: None,
            peer_one_way: false,
            pardons: Pardons::default(),
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

    /// Acknowledgements are overdue, by our sensor or by the peer's word.
    pub(super) fn is_suspect(&self) -> bool {
        self.health != Health::Alive || self.peer_suspects.is_some()
    }

    /// What the peer is told that we think of it.
    pub(super) fn suspicion(&self) -> Suspicion {
        match (self.health, self.one_way) {
            (Health::Alive, _) => Suspicion::None,
            (Health::Suspect { .. }, false) => Suspicion::Suspected,
            (Health::Suspect { .. }, true) => Suspicion::OneWay,
        }
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
