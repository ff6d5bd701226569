//! Two sessions joined by lanes without losses: what is sent on a lane arrives at once, or waits
//! while the lane is [held](Pair::hold).

mod assume;
mod datagram_faults;
mod datagrams;
mod flows;
mod fuzz;

mod hostile;
mod idle;
mod lanes;
mod long_datagrams;
mod placement;
mod snapshot;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::lane::Health;
use crate::selection::Cost;
use crate::types::{Mode, Target};
use crate::wire::VERSION;
use crate::wire::control::{Decoder, Message};
use crate::wire::fact::Open;
use crate::wire::flow_datagram::FlowDatagram;
use crate::wire::long_datagram::LongDatagramHeader;
use crate::wire::segment::SegmentHeader;

const A: usize = 0;
const B: usize = 1;
const L1: LaneId = LaneId(1);
const L2: LaneId = LaneId(2);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn params() -> SessionParams {
    SessionParams { linger: Duration::from_secs(60), initial_window: 100_000, max_flows: 8 }
}

fn session(side: Side) -> (Session, Arc<Memory>) {
    session_of_flows(side, params().max_flows)
}

fn session_of_flows(side: Side, max_flows: u64) -> (Session, Arc<Memory>) {
    let memory = Arc::new(Memory::new(1 << 30));
    let (params, memory_of) = (SessionParams { max_flows, ..params() }, memory.clone());
    let max_flows = usize::try_from(max_flows).unwrap();
    let config = SessionConfig { side, params, max_flows, first_window: 0, memory: memory_of };
    (Session::new(config, params), memory)
}

fn open(mode: Mode) -> Open {
    Open { target: Target::service("x"), mode }
}

/// Bytes that a session gave to a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    side: usize,
    lane: LaneId,
    flow: FlowId,
    range: Range<u64>,
    resent: bool,
}

#[derive(Default)]
struct Wire {
    held: bool,
    waiting: [VecDeque<Transmit>; 2],
    decoders: [Decoder; 2],
    /// The headers of the segments by sender, with the offset of the next bytes: as written and as read.
    written: [BTreeMap<u64, SegmentHeader>; 2],
    read: [BTreeMap<u64, SegmentHeader>; 2],
}

struct Pair {
    now: Instant,
    ends: [Session; 2],
    memory: [Arc<Memory>; 2],
    wires: BTreeMap<LaneId, Wire>,
    events: [Vec<SessionEvent>; 2],
    given: Vec<Given>,
    resets: Vec<(usize, LaneId, u64)>,
    finishes: Vec<(usize, LaneId, u64)>,
}

impl Pair {
    /// Joins two sessions by `lanes` lanes, each over an uplink of its own.
    fn new(lanes: u64) -> Self {
        Self::of_flows(lanes, 8)
    }

    /// Joins two sessions of so many flows of each end.
    fn of_flows(lanes: u64, max_flows: u64) -> Self {
        let [(a, memory_a), (b, memory_b)] =
            [Side::Initiator, Side::Acceptor].map(|side| session_of_flows(side, max_flows));
        let mut pair = Self {
            now: Instant::now(),
            ends: [a, b],
            memory: [memory_a, memory_b],
            wires: BTreeMap::new(),
            events: [Vec::new(), Vec::new()],
            given: Vec::new(),
            resets: Vec::new(),
            finishes: Vec::new(),
        };
        (1..=lanes).for_each(|lane| pair.attach(LaneId(lane)));
        pair.run();
        pair
    }

    fn attach(&mut self, lane: LaneId) {
        self.wires.insert(lane, Wire::default());
        for end in &mut self.ends {
            end.handle_lane_attached(
                self.now,
                lane,
                LaneInfo {
                    local_risk: lane.0,
                    remote_risk: lane.0,
                    cost: Cost::FREE,
                    order: 0,
                    version: VERSION,
                },
            );
        }
    }

    fn detach(&mut self, lane: LaneId) {
        self.wires.remove(&lane);
        self.ends.iter_mut().for_each(|end| end.handle_lane_detached(self.now, lane));
    }

    /// Makes everything that is sent on the lane wait from now on.
    fn hold(&mut self, lane: LaneId) {
        self.wires.get_mut(&lane).unwrap().held = true;
    }

    /// Lets arrive what waits.
    fn release(&mut self, lane: LaneId) {
        self.wires.get_mut(&lane).unwrap().held = false;
        self.run();
    }

    fn health(&mut self, side: usize, lane: LaneId, health: Health) {
        self.ends[side].assume_health(self.now, lane, health, ms(20), None);
        self.run();
    }

    /// Carries everything until both sessions are quiet.
    fn run(&mut self) {
        for _ in 0..100_000 {
            let mut quiet = true;
            for side in 0..2 {
                for lane in self.wires.keys().copied().collect::<Vec<_>>() {
                    quiet &= !self.pull(side, lane);
                    quiet &= !self.carry(side, lane);
                }
                while let Some(event) = self.ends[side].poll_event() {
                    self.events[side].push(event);
                }
            }
            if quiet {
                return;
            }
        }
        panic!("two sessions that never become quiet");
    }

    fn pull(&mut self, side: usize, lane: LaneId) -> bool {
        let end = &mut self.ends[side];
        let work = end
            .poll_transmit(self.now, lane, WorkClass::Urgent)
            .or_else(|| end.poll_transmit(self.now, lane, WorkClass::Datagrams))
            .or_else(|| end.poll_transmit(self.now, lane, WorkClass::Bulk));
        let Some(work) = work else { return false };
        let wire = self.wires.get_mut(&lane).unwrap();
        match &work {
            Transmit::Segment(write) => {
                if let Some(header) = &write.header {
                    let header = SegmentHeader::decode(&mut &header[..]).unwrap();
                    assert!(wire.written[side].insert(write.key, header).is_none());
                }
                let header = wire.written[side].get_mut(&write.key).expect("a segment begins");
                let start = header.offset;
                header.offset += write.data.iter().map(|d| d.len() as u64).sum::<u64>();
                let (flow, resent, range) = (header.flow, header.resent, start..header.offset);
                self.given.push(Given { side, lane, flow, range, resent });
            }
            Transmit::Stream { key, op: StreamOp::Reset } => self.resets.push((side, lane, *key)),
            Transmit::Stream { key, op: StreamOp::Finish } => {
                self.finishes.push((side, lane, *key));
            }
            Transmit::Stream { op: StreamOp::Release, .. }
            | Transmit::Control(_)
            | Transmit::Datagram(_)
            | Transmit::LongDatagram(_)
            | Transmit::Close(_) => {}
        }
        wire.waiting[side].push_back(work);
        true
    }

    fn carry(&mut self, side: usize, lane: LaneId) -> bool {
        let wire = self.wires.get_mut(&lane).unwrap();
        if wire.held {
            return false;
        }
        let Some(work) = wire.waiting[side].pop_front() else { return false };
        let end = &mut self.ends[1 - side];
        match work {
            Transmit::Control(bytes) | Transmit::Close(bytes) => {
                wire.decoders[side].push(&bytes);
                while let Some(message) = wire.decoders[side].next_message().unwrap() {
                    end.handle_control(self.now, lane, message).unwrap();
                }
            }
            Transmit::Datagram(bytes) => {
                let datagram = FlowDatagram::decode(&bytes).unwrap().unwrap();
                end.handle_datagram(self.now, datagram).unwrap();
            }
            Transmit::LongDatagram(LongDatagram { flow, seq, data: [header, payload], .. }) => {
                let header = LongDatagramHeader::decode(&mut &header[..]).unwrap();
                if end.handle_long_datagram(self.now, &header).unwrap() == SegmentVerdict::Read {
                    end.handle_datagram(self.now, header.with_payload(payload)).unwrap();
                }
                let sender = &mut self.ends[side];
                sender.handle_long_datagram_ended(self.now, lane, (flow, seq), true);
            }
            Transmit::Segment(mut write) => {
                if let Some(header) = &write.header {
                    let header = SegmentHeader::decode(&mut &header[..]).unwrap();
                    if end.handle_segment(self.now, &header).unwrap() == SegmentVerdict::Read {
                        wire.read[side].insert(write.key, header);
                    }
                }
                if let Some(header) = wire.read[side].get_mut(&write.key) {
                    let (flow, at, resent) = (header.flow, header.offset, header.resent);
                    header.offset += write.data.iter().map(|d| d.len() as u64).sum::<u64>();
                    end.handle_segment_data(self.now, flow, at, resent, &mut write.data).unwrap();
                }
            }
            _ => {}
        }
        true
    }

    /// Lets time pass, with all timers.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        self.run();
        while let Some(at) = self.ends.iter().filter_map(Session::next_timeout).min()
            && at <= until
        {
            self.now = self.now.max(at);
            self.ends.iter_mut().for_each(|end| end.handle_timeout(self.now));
            self.run();
        }
        self.now = until;
    }

    fn open(&mut self, side: usize, mode: Mode) -> FlowId {
        self.ends[side].open(self.now, open(mode)).unwrap()
    }

    /// Opens a flow at `side` that the other end accepts.
    fn joined(&mut self, side: usize, mode: Mode) -> FlowId {
        let id = self.open(side, mode);
        self.run();
        self.ends[1 - side].accept(self.now, id);
        self.pass(ms(20));
        id
    }

    fn write(&mut self, side: usize, id: FlowId, len: usize) -> usize {
        let start = self.ends[side].flow(id).unwrap().tx.buffer.end();
        let bytes: Vec<u8> = (start..start + len as u64).map(|i| (i % 251) as u8).collect();
        self.ends[side].write(self.now, id, &mut bytes.into()).unwrap()
    }

    /// Reads all there is and checks it; returns how many bytes, and how reading ended.
    fn read(&mut self, side: usize, id: FlowId) -> (u64, Result<Read, FlowError>) {
        let mut total = 0;
        loop {
            let at = self.ends[side].flow(id).map_or(0, |f| f.rx.assembler.read_offset());
            let mut out = [Bytes::new()];
            match self.ends[side].read(self.now, id, &mut out) {
                Ok(Read::Data(_)) => {
                    let right = |(i, b): (usize, &u8)| *b == ((at + i as u64) % 251) as u8;
                    assert!(out[0].iter().enumerate().all(right), "wrong bytes from {at}");
                    total += out[0].len() as u64;
                }
                end => return (total, end),
            }
        }
    }

    fn drop_both(&mut self, side: usize, id: FlowId) {
        self.ends[side].drop_reader(self.now, id);
        self.ends[side].drop_writer(self.now, id);
    }

    fn count(&self, side: usize, event: &SessionEvent) -> usize {
        self.events[side].iter().filter(|e| *e == event).count()
    }

    fn given_to(&self, lane: LaneId) -> u64 {
        let bytes = self.given.iter().filter(|g| g.lane == lane);
        bytes.map(|g| g.range.end - g.range.start).sum()
    }

    /// Asserts that both ends have forgotten everything, and that nothing is left to do.
    fn assert_empty(&mut self) {
        self.pass(Duration::from_secs(10));
        for (end, memory) in self.ends.iter().zip(&self.memory) {
            assert_eq!(end.flows().count(), 0);
            assert_eq!(memory.used(), 0);
            assert_eq!(end.next_timeout(), None);
        }
    }
}
