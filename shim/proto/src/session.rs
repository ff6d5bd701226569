//! A session at one end: the association of two shims, which outlives every lane.
//!
//! Sans-I/O: feed it events with `now`, poll it for output.
//!
//! | in | out |
//! |---|---|
//! | lanes: [`handle_lane_attached`](Session::handle_lane_attached), [`handle_lane_detached`](Session::handle_lane_detached), [`observe_lane`](Session::observe_lane), [`handle_lane_migrated`](Session::handle_lane_migrated) | [`poll_transmit`](Session::poll_transmit): what a lane writes next |
//! | from the peer: [`handle_control`](Session::handle_control), [`handle_segment`](Session::handle_segment), [`handle_segment_data`](Session::handle_segment_data), [`handle_datagram`](Session::handle_datagram), [`handle_long_datagram`](Session::handle_long_datagram) | [`poll_event`](Session::poll_event): what somebody waits for |
//! | from applications: [`open`](Session::open), [`write`](Session::write), [`read`](Session::read), … | [`next_timeout`](Session::next_timeout): when to call [`handle_timeout`](Session::handle_timeout) |
//!
//! **Life cycle.** A session begins without lanes. Each lane that attaches is sent the facts of all
//! flows, then `EndOfSync`, and carries bytes once the peer's `EndOfSync` has arrived. Without a lane
//! a session waits: its flows keep what they have, and no timer runs. It ends for good by
//! [`close`](Session::close), by the peer's `Close`, or by
//! [`handle_session_lost`](Session::handle_session_lost): its flows end with an error, and each is
//! forgotten when the application has let go of it.
//!
//! **Where is what.** `opening`, `reading`, `writing` and `ending` are for applications; `control`,
//! `facts`, `fact_acks` and `receive` take what the peer sends; `lane_events`, `monitoring`, `trust`
//! and `advertise` follow the lanes; `schedule`, `transmit`, `chunks` and `segments` give them work.
//!
//! **Lanes pull.** A lane that has room asks for the next chunk: control messages first, then thin
//! flows, then bulk flows. So a slow lane holds little, and bytes go where there is room. Which lanes
//! a flow uses, and when it moves, is decided by [`selection`](crate::selection).
//!
//! **Invariants.** A byte is forgotten only when the peer shim has acknowledged it. A flow id is
//! created at most once, however often its open arrives. No fact is lost with a lane: facts that the
//! peer has not acknowledged are retransmitted. Everything that a peer can make grow has a bound:
//! flows ([`SessionConfig::max_flows`], then refused), refused and finishing flows (twice that
//! and 64, then a violation), flow ids not yet seen ([`peer_ids::MAX_UNSEEN`]), bytes (the granted
//! windows), separate ranges of bytes ([`Violation::TooManyRanges`]).

mod advertise;
mod advertised;
mod chunks;
mod control;
mod datagram_flows;
mod datagrams;
mod ending;
mod error;
mod event;
mod fact_acks;
mod facts;
mod hedge;
mod held_write;
mod lane;
mod lane_events;
mod lane_status;
mod monitoring;
mod opening;
pub mod peer_ids;
mod reading;
mod receive;
mod rescue;
mod review;
mod schedule;
mod segments;
mod snapshot;
mod transmit;
mod trust;
mod work;
mod writing;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

pub use datagrams::{DatagramError, DatagramsPolled, IDLE};
pub use ending::CANCELLED;
pub use error::{FlowError, OpenError, Violation};
pub use event::SessionEvent;
pub use held_write::HeldWrite;
pub use lane::LaneInfo;
pub use monitoring::LanePlace;
pub use reading::Read;
pub use receive::SegmentVerdict;
pub use work::{LongDatagram, Priority, SegmentWrite, StreamOp, Transmit, WorkClass};

use self::advertised::Advertised;
use self::datagram_flows::DatagramFlows;
use self::hedge::HedgeBudget;
use self::lane::Lane;
use self::peer_ids::PeerIds;
use self::rescue::RescueBudget;
use crate::flow::Flow;
use crate::flow::memory::Memory;
use crate::types::{FlowId, LaneId, Side};
use crate::wire::fact::Locators;
use crate::wire::hello::SessionParams;

/// What a session begins with.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Which end this is.
    pub side: Side,
    /// What this end promised the peer.
    pub params: SessionParams,
    /// The number of flows that the peer may have open; the next open is refused.
    pub max_flows: usize,
    /// The window with which a flow begins while there is memory for more than what was promised.
    pub first_window: u64,
    /// The bound on bytes held, shared by the sessions of a node.
    pub memory: Arc<Memory>,
}

/// A session at one end. See the [module](self) for its life cycle and invariants.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    peer: SessionParams,
    /// The live flows, ordered, so that the same inputs give the same outputs.
    /// Boxed, as the nodes of the tree have room for more than there are.
    flows: BTreeMap<FlowId, Box<Flow>>,
    /// Boxed: a map of few entries has room for eleven.
    lanes: BTreeMap<LaneId, Box<Lane>>,
    /// The live flows that the peer opened.
    peer_flows: usize,
    next_flow: FlowId,
    peer_ids: PeerIds,
    /// Flow timers, earliest first; each flow has at most one ([`Flow::timer`]).
    timers: BTreeSet<(Instant, FlowId)>,
    /// Versions of the peer's facts that are not acknowledged yet, the latest of each flow.
    fact_acks: BTreeMap<FlowId, u64>,
    /// When `fact_acks` are sent.
    fact_acks_at: Option<Instant>,
    /// The flows with an open segment on a lane, and when each was last looked at, earliest first.
    open_segments: VecDeque<(Instant, FlowId, LaneId)>,
    /// When idle segments are looked for; set only while there are open ones.
    sweep_at: Option<Instant>,
    /// What is kept of the datagram flows in all.
    datagram_flows: DatagramFlows,
    /// Advertisements of the peer that came too fast.
    advertised: Advertised,
    events: VecDeque<SessionEvent>,
    /// An application wrote while no lane was up.
    unserved_write: bool,
    hedge: HedgeBudget,
    rescue: RescueBudget,
    /// When bulk flows are reviewed; set only while there are some on several lanes.
    review_at: Option<Instant>,
    /// The flows that are reviewed: bulk was scheduled, and may be under way.
    bulk: BTreeSet<FlowId>,
    /// Flows of which a lane declined bytes, or that several lanes carry: some bytes may have to be
    /// offered again.
    spread: BTreeSet<FlowId>,
    /// Flows that could be re-sent on another lane if the budget allowed.
    hedge_waiting: BTreeSet<FlowId>,
    /// The one of them that was scheduled last.
    hedge_turn: FlowId,
    /// The flows whose application waits for memory to write.
    memory_waiting: BTreeSet<FlowId>,
    /// The bytes in the send buffers of all flows.
    buffered: u64,
    /// Our locators; generation 0: none were advertised.
    locators: Locators,
    /// The peer's locators.
    peer_locators: Locators,
    /// Why the session is closed, if it is.
    closed: Option<String>,
    /// The message that closes the session at the peer, sent on every lane.
    close_message: Option<Bytes>,
    /// Nothing is sent: another process is about to take the session over.
    muted: bool,
}

impl Session {
    /// Creates a session without lanes. `peer` is what the peer promised.
    pub fn new(config: SessionConfig, peer: SessionParams) -> Self {
        Self {
            next_flow: config.side.first_flow(),
            peer_ids: PeerIds::new(config.side.peer()),
            config,
            peer,
            flows: BTreeMap::new(),
            peer_flows: 0,
            lanes: BTreeMap::new(),
            timers: BTreeSet::new(),
            fact_acks: BTreeMap::new(),
            fact_acks_at: None,
            open_segments: VecDeque::new(),
            sweep_at: None,
            datagram_flows: DatagramFlows::default(),
            advertised: Advertised::default(),
            events: VecDeque::new(),
            unserved_write: false,
            hedge: HedgeBudget::default(),
            rescue: RescueBudget::default(),
            review_at: None,
            bulk: BTreeSet::new(),
            spread: BTreeSet::new(),
            hedge_waiting: BTreeSet::new(),
            hedge_turn: FlowId(0),
            memory_waiting: BTreeSet::new(),
            buffered: 0,
            locators: Locators { generation: 0, list: Vec::new() },
            peer_locators: Locators { generation: 0, list: Vec::new() },
            closed: None,
            close_message: None,
            muted: false,
        }
    }

    /// Returns which end this is.
    pub fn side(&self) -> Side {
        self.config.side
    }

    /// Returns what this end promised the peer.
    pub fn params(&self) -> SessionParams {
        self.config.params
    }

    /// Replaces what the peer promised, as it was renewed with a lane.
    pub fn set_peer_params(&mut self, params: SessionParams) {
        self.peer = params;
    }

    /// Returns what the peer promised.
    pub fn peer_params(&self) -> SessionParams {
        self.peer
    }

    /// Returns the budget of bytes that the session shares.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.config.memory
    }

    /// Returns the live flows.
    pub fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.flows.values().map(Box::as_ref)
    }

    /// Returns the number of live flows.
    pub fn flow_count(&self) -> usize {
        self.flows.len()
    }

    /// Returns a live flow.
    pub fn flow(&self, id: FlowId) -> Option<&Flow> {
        self.flows.get(&id).map(Box::as_ref)
    }

    /// Returns why the session is closed, if it is.
    pub fn closed(&self) -> Option<&str> {
        self.closed.as_deref()
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<SessionEvent> {
        self.events.pop_front()
    }

    /// Returns when to call [`handle_timeout`](Self::handle_timeout).
    pub fn next_timeout(&self) -> Option<Instant> {
        let flow = self.timers.first().map(|(at, _)| *at);
        let sweeps =
            [self.sweep_at, self.review_at, self.advertised.at(), self.next_datagram_check()];
        [flow, self.fact_acks_at].into_iter().chain(sweeps).flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.timer = None;
                if flow.clock.is_due(now) {
                    self.send_facts(now, id);
                } else {
                    self.set_timer(id);
                }
            }
        }
        if self.advertised.at().is_some_and(|at| at <= now) {
            self.take_advertised(now);
        }
        if self.fact_acks_at.is_some_and(|at| at <= now) {
            self.flush_fact_acks();
        }
        if self.sweep_at.is_some_and(|at| at <= now) {
            self.finish_idle_segments(now);
        }
        if self.review_at.is_some_and(|at| at <= now) {
            self.review(now);
        }
        self.check_datagram_flows(now);
    }

    /// Sets the flow's timer to when its facts are due.
    fn set_timer(&mut self, id: FlowId) {
        if self.closed.is_some() {
            return;
        }
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let next = flow.clock.next();
        if next == flow.timer {
            return;
        }
        if let Some(old) = flow.timer {
            self.timers.remove(&(old, id));
        }
        flow.timer = next;
        if let Some(at) = next {
            self.timers.insert((at, id));
        }
    }

    fn flow_ids(&self) -> Vec<FlowId> {
        self.flows.keys().copied().collect()
    }
}

impl Drop for Session {
    /// Gives back the windows of the flows that are still there.
    fn drop(&mut self) {
        let windows: u64 = self.flows.values().map(|f| f.rx.window()).sum();
        let promised = self.flows.len() as u64 * self.config.params.initial_window;
        self.config.memory.release(promised, windows - promised);
        self.config.memory.count_buffered(self.buffered, 0);
    }
}

#[cfg(test)]
mod tests;
