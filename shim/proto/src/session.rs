//! A session at one end: the association of two shims, which outlives every lane.
//!
//! The session is pure: it is told what happens, with the time, and is asked for work.
//!
//! | in | out |
//! |---|---|
//! | lanes: [`lane_attached`](Session::lane_attached), [`lane_detached`](Session::lane_detached), [`observe_lane`](Session::observe_lane) | [`poll_transmit`](Session::poll_transmit): what a lane writes next |
//! | from the peer: [`control`](Session::control), [`segment`](Session::segment), [`segment_data`](Session::segment_data) | [`poll_event`](Session::poll_event): who is to be woken |
//! | from applications: [`open`](Session::open), [`write`](Session::write), [`read`](Session::read), … | [`next_timeout`](Session::next_timeout): when to call [`handle_timeout`](Session::handle_timeout) |
//!
//! Lanes pull: a lane that has room asks for the next piece, control first, then thin flows, then
//! bulk. So a slow lane holds little, and bytes go where there is room.
//!
//! **Invariants.** A byte is forgotten only when the peer shim states that it has it. A flow id is
//! created at most once, however often its open comes. No fact is lost with a lane: what the peer
//! has not echoed is stated again. Everything a peer can make grow has a bound: flows
//! ([`SessionConfig::max_flows`], then refused), refused flows (twice that, then a breach), flow
//! ids not yet seen ([`ids::MAX_UNSEEN`]), bytes (the granted windows), stretches of them
//! ([`Violation::Scattered`]).

mod application;
mod control;
mod facts;
pub mod hedge;
pub mod ids;
mod lane;
mod lanes;
mod monitoring;
mod receive;
pub mod select;
mod transmit;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use thiserror::Error;

pub use application::{CANCELLED, FlowError, OpenError, Read};
pub use lane::LaneInfo;
pub use monitoring::LanePlace;
pub use receive::Accepted;
pub use transmit::{Class, Priority, SegmentWrite, Transmit};

use self::hedge::HedgeBudget;
use self::ids::PeerIds;
use self::lane::Lane;
use crate::flow::Flow;
use crate::flow::memory::Memory;
use crate::types::{FlowId, LaneId, Side};
use crate::wire::codec::DecodeError;
use crate::wire::control::ControlError;
use crate::wire::fact::Locators;
use crate::wire::hello::SessionParams;

/// What a session is told when it begins.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Which end we are.
    pub side: Side,
    /// What we promised the peer.
    pub params: SessionParams,
    /// Flows the peer may have open; the next open is refused.
    pub max_flows: usize,
    /// The bound on bytes held, shared by the sessions of a node.
    pub memory: Arc<Memory>,
}

/// Something happened that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer opened a flow; somebody must accept or refuse it.
    Incoming(FlowId),
    /// The open of a flow of ours was answered.
    Answered(FlowId),
    /// There is something to read, or the flow ended.
    Readable(FlowId),
    /// There is room to write, or the flow ended.
    Writable(FlowId),
    /// The flow was reset or the session closed: both halves want to know.
    Broken(FlowId),
    /// The flow is forgotten.
    Forgotten(FlowId),
    /// The lane has something to write.
    Work(LaneId),
    /// The peer can be reached elsewhere than before ([`Session::peer_locators`]).
    Locators,
    /// The session was closed by the peer; it is of no more use.
    Closed,
}

/// What a peer did that the protocol does not allow. The lane it came on is closed with this.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Violation {
    /// A control message cannot be read.
    #[error("{0}")]
    Control(#[from] ControlError),
    /// A segment header cannot be read.
    #[error("bad segment header: {0}")]
    Header(#[source] DecodeError),
    /// A message that belongs elsewhere.
    #[error("{0} message out of place")]
    OutOfPlace(&'static str),
    /// Bytes beyond the granted window.
    #[error("flow {flow}: bytes up to {end}, but only {edge} were granted")]
    Window {
        /// The flow.
        flow: FlowId,
        /// Where the bytes end.
        end: u64,
        /// What was granted.
        edge: u64,
    },
    /// The final size contradicts what was said or sent before.
    #[error("flow {0}: contradicting final size")]
    FinalSize(FlowId),
    /// Bytes in more separate stretches than a receiver holds.
    #[error(
        "flow {flow}: bytes in more than {most} separate stretches; send what is missing first"
    )]
    Scattered {
        /// The flow.
        flow: FlowId,
        /// How many there may be.
        most: usize,
    },
    /// Bytes stated as received that were never sent.
    #[error("flow {flow}: {end} bytes stated as received, {sent} were sent")]
    NeverSent {
        /// The flow.
        flow: FlowId,
        /// What was stated.
        end: u64,
        /// What was sent.
        sent: u64,
    },
    /// A new flow without its open request.
    #[error("flow {0} is new but carries no open request")]
    NoOpen(FlowId),
    /// A flow of ours that we never opened.
    #[error("flow {0} was never opened by us")]
    NeverOpened(FlowId),
    /// A flow id far above those seen.
    #[error("flow {0} skips more than {max} ids", max = ids::MAX_UNSEEN)]
    SkippedIds(FlowId),
    /// More flows than allowed, even counting those we refused.
    #[error("more than {0} flows, refused ones included")]
    TooManyFlows(usize),
}

/// A session at one end. See the [module](self).
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    peer: SessionParams,
    /// Ordered, so that the same inputs give the same outputs.
    flows: BTreeMap<FlowId, Flow>,
    lanes: BTreeMap<LaneId, Lane>,
    next_flow: FlowId,
    peer_ids: PeerIds,
    /// Flow timers, earliest first; each flow has at most one ([`Flow::timer`]).
    timers: BTreeSet<(Instant, FlowId)>,
    /// Echoes to be sent, latest version only.
    echoes: BTreeMap<FlowId, u64>,
    echo_at: Option<Instant>,
    /// When idle segments are looked for; set only while there are open ones.
    sweep_at: Option<Instant>,
    events: VecDeque<Event>,
    hedge: HedgeBudget,
    /// Flows that could be sent again on another lane if the budget allowed.
    hedge_waiting: BTreeSet<FlowId>,
    buffered: u64,
    /// Where we can be reached; generation 0: nothing was ever said.
    locators: Locators,
    /// Where the peer says that it can be.
    peer_locators: Locators,
    closed: Option<String>,
    /// Our last word to the peer, said on every lane.
    goodbye: Option<Bytes>,
}

/// A segment that was not written to for this long is ended, so that its stream's credit returns.
const SEGMENT_IDLE: Duration = Duration::from_secs(5);

impl Session {
    /// A session without lanes. `peer` is what the peer promised.
    pub fn new(config: SessionConfig, peer: SessionParams) -> Self {
        Self {
            next_flow: config.side.first_flow(),
            peer_ids: PeerIds::new(config.side.peer()),
            config,
            peer,
            flows: BTreeMap::new(),
            lanes: BTreeMap::new(),
            timers: BTreeSet::new(),
            echoes: BTreeMap::new(),
            echo_at: None,
            sweep_at: None,
            events: VecDeque::new(),
            hedge: HedgeBudget::default(),
            hedge_waiting: BTreeSet::new(),
            buffered: 0,
            locators: Locators { generation: 0, list: Vec::new() },
            peer_locators: Locators { generation: 0, list: Vec::new() },
            closed: None,
            goodbye: None,
        }
    }

    /// Which end we are.
    pub fn side(&self) -> Side {
        self.config.side
    }

    /// What we promised the peer.
    pub fn params(&self) -> SessionParams {
        self.config.params
    }

    /// The peer's promise, as it was renewed with a lane.
    pub fn set_peer_params(&mut self, params: SessionParams) {
        self.peer = params;
    }

    /// The peer's promise.
    pub fn peer_params(&self) -> SessionParams {
        self.peer
    }

    /// The live flows.
    pub fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.flows.values()
    }

    /// A live flow.
    pub fn flow(&self, id: FlowId) -> Option<&Flow> {
        self.flows.get(&id)
    }

    /// Why the session is closed, if it is.
    pub fn closed(&self) -> Option<&str> {
        self.closed.as_deref()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    pub fn next_timeout(&self) -> Option<Instant> {
        let flow = self.timers.first().map(|(at, _)| *at);
        [flow, self.echo_at, self.sweep_at].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, id)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            if let Some(flow) = self.flows.get_mut(&id) {
                flow.timer = None;
                if flow.clock.is_due(now) || flow.clock.is_overdue(now) {
                    self.state_flow(now, id);
                } else {
                    self.arm(id);
                }
            }
        }
        if self.echo_at.is_some_and(|at| at <= now) {
            self.flush_echoes();
        }
        if self.sweep_at.is_some_and(|at| at <= now) {
            self.sweep(now);
        }
    }

    /// Sets the flow's timer to what its clock asks for.
    fn arm(&mut self, id: FlowId) {
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

    /// Ends segments that are not written to, and looks again later if there are more.
    fn sweep(&mut self, now: Instant) {
        let mut more = false;
        for flow in self.flows.values_mut() {
            for carrier in &mut flow.tx.lanes {
                let Some(segment) = carrier.segments.last_mut().filter(|s| s.open) else {
                    continue;
                };
                if now.saturating_duration_since(segment.used) < SEGMENT_IDLE {
                    more = true;
                    continue;
                }
                segment.open = false;
                if let Some(lane) = self.lanes.get_mut(&carrier.lane) {
                    lane.chores.push_back(Transmit::Finish { key: segment.key });
                    lane.wake(carrier.lane, &mut self.events);
                }
            }
        }
        self.sweep_at = more.then(|| now + SEGMENT_IDLE);
        // What is ended and acknowledged needs no record.
        let ids: Vec<FlowId> = self.flows.keys().copied().collect();
        for id in ids {
            self.retire_segments(id);
        }
    }

    /// Forgets the flow if nothing is left to do for it.
    fn maybe_forget(&mut self, id: FlowId) {
        let over = self.closed.is_some();
        if self.flows.get(&id).is_some_and(|f| f.is_finished() || (over && f.is_abandoned())) {
            self.forget(id);
        }
    }

    fn forget(&mut self, id: FlowId) {
        let Some(flow) = self.flows.remove(&id) else { return };
        if let Some(at) = flow.timer {
            self.timers.remove(&(at, id));
        }
        self.hedge_waiting.remove(&id);
        self.buffered -= flow.tx.counted;
        self.config.memory.release(flow.rx.window());
        for carrier in &flow.tx.lanes {
            if let Some(lane) = self.lanes.get_mut(&carrier.lane) {
                lane.forget_flow(id);
                for segment in &carrier.segments {
                    let key = segment.key;
                    // Reset, not finish: what is not acknowledged is of no use to anybody.
                    lane.chores.push_back(Transmit::Reset { key });
                    lane.wake(carrier.lane, &mut self.events);
                }
            }
        }
        self.events.push_back(Event::Forgotten(id));
    }
}

impl Drop for Session {
    /// Gives back the windows of the flows that are still there.
    fn drop(&mut self) {
        let windows = self.flows.values().map(|f| f.rx.window()).sum();
        self.config.memory.release(windows);
    }
}

#[cfg(test)]
mod tests;
