//! Two sessions, and the lanes between them.
//!
//! A lane delivers in order what is written to its control stream, and to each of its segments;
//! between these streams there is no order. It loses everything that it holds when it is detached.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use throughline_proto::flow::memory::Memory;
use throughline_proto::session::{
    LongDatagram, SegmentVerdict, Session, SessionEvent, StreamOp, Transmit, WorkClass,
};
use throughline_proto::types::{FlowId, LaneId, Side};
use throughline_proto::wire::control::Decoder;
use throughline_proto::wire::flow_datagram::FlowDatagram;
use throughline_proto::wire::long_datagram::LongDatagramHeader;
use throughline_proto::wire::segment::SegmentHeader;

use super::session::{lane_info, session};

/// One direction of a lane.
#[derive(Default)]
struct Wire {
    control: VecDeque<Bytes>,
    decoder: Decoder,
    segments: BTreeMap<u64, Stream>,
    datagrams: VecDeque<Bytes>,
    long: VecDeque<LongDatagram>,
}

/// A segment's stream: what is under way on it, and where its next byte belongs.
#[derive(Default)]
struct Stream {
    writes: VecDeque<(Option<Bytes>, Vec<Bytes>)>,
    read: Option<SegmentHeader>,
}

pub(super) struct World {
    pub(super) now: Instant,
    pub(super) ends: [Session; 2],
    pub(super) memory: [Arc<Memory>; 2],
    wires: BTreeMap<(LaneId, usize), Wire>,
    last_lane: LaneId,
    /// Flows that wait for an answer, by the end that has to give it.
    pub(super) incoming: [Vec<FlowId>; 2],
}

impl World {
    pub(super) fn new() -> Self {
        let ((a, memory_a), (b, memory_b)) = (session(Side::Initiator), session(Side::Acceptor));
        Self {
            now: Instant::now(),
            ends: [a, b],
            memory: [memory_a, memory_b],
            wires: BTreeMap::new(),
            last_lane: LaneId(0),
            incoming: [Vec::new(), Vec::new()],
        }
    }

    /// Sets up a lane. Ids are not used twice.
    pub(super) fn attach(&mut self) {
        self.last_lane = LaneId(self.last_lane.0 + 1);
        let lane = self.last_lane;
        for (side, end) in self.ends.iter_mut().enumerate() {
            self.wires.insert((lane, side), Wire::default());
            end.handle_lane_attached(self.now, lane, lane_info(lane));
        }
    }

    pub(super) fn detach(&mut self, lane: LaneId) {
        for (side, end) in self.ends.iter_mut().enumerate() {
            self.wires.remove(&(lane, side));
            end.handle_lane_detached(self.now, lane);
        }
    }

    pub(super) fn lanes(&self) -> Vec<LaneId> {
        self.wires.keys().filter(|(_, side)| *side == 0).map(|(lane, _)| *lane).collect()
    }

    /// Lets `side` write one piece of work to `lane`; returns whether there was any.
    pub(super) fn pull(&mut self, side: usize, lane: LaneId, class: WorkClass) -> bool {
        let Some(wire) = self.wires.get_mut(&(lane, side)) else { return false };
        let Some(work) = self.ends[side].poll_transmit(self.now, lane, class) else { return false };
        match work {
            Transmit::Control(bytes) | Transmit::Close(bytes) => wire.control.push_back(bytes),
            Transmit::Datagram(bytes) => wire.datagrams.push_back(bytes),
            Transmit::LongDatagram(long) => wire.long.push_back(long),
            Transmit::Segment(write) => {
                let stream = wire.segments.entry(write.key).or_default();
                stream.writes.push_back((write.header, write.data));
            }
            Transmit::Stream { key, op: StreamOp::Reset } => drop(wire.segments.remove(&key)),
            Transmit::Stream { op: StreamOp::Finish | StreamOp::Release, .. } => {}
        }
        self.events();
        true
    }

    /// Delivers what `side` wrote first to the control stream of `lane`.
    pub(super) fn deliver_control(&mut self, side: usize, lane: LaneId) -> bool {
        let Some(wire) = self.wires.get_mut(&(lane, side)) else { return false };
        let Some(bytes) = wire.control.pop_front() else { return false };
        wire.decoder.push(&bytes);
        while let Some(message) = wire.decoder.next_message().expect("ours can be read") {
            self.ends[1 - side].handle_control(self.now, lane, message).expect("ours is allowed");
        }
        self.events();
        true
    }

    /// Delivers what `side` wrote first to the `nth` of the segments of `lane` that hold something.
    pub(super) fn deliver_segment(&mut self, side: usize, lane: LaneId, nth: usize) -> bool {
        let Some(wire) = self.wires.get_mut(&(lane, side)) else { return false };
        let mut full = wire.segments.values_mut().filter(|stream| !stream.writes.is_empty());
        let Some(stream) = full.nth(nth) else { return false };
        let (header, mut data) = stream.writes.pop_front().expect("it is not empty");
        let end = &mut self.ends[1 - side];
        if let Some(header) = header {
            let header = SegmentHeader::decode(&mut &header[..]).expect("ours can be read");
            let accepted = end.handle_segment(self.now, &header).expect("ours is allowed");
            stream.read = (accepted == SegmentVerdict::Read).then_some(header);
        }
        if let Some(header) = &mut stream.read {
            let at = header.offset;
            header.offset += data.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
            end.handle_segment_data(self.now, header.flow, at, header.resent, &mut data)
                .expect("ours is allowed");
        }
        self.events();
        true
    }

    /// Delivers the first or the last datagram of `lane`, or loses it.
    pub(super) fn deliver_datagram(
        &mut self,
        side: usize,
        lane: LaneId,
        first: bool,
        lost: bool,
    ) -> bool {
        let Some(wire) = self.wires.get_mut(&(lane, side)) else { return false };
        let waiting = &mut wire.datagrams;
        let next = if first { waiting.pop_front() } else { waiting.pop_back() };
        let Some(bytes) = next else { return false };
        let datagram = FlowDatagram::decode(&bytes).expect("ours can be read").expect("of a flow");
        if !lost {
            self.ends[1 - side].handle_datagram(self.now, datagram).expect("ours is allowed");
        }
        self.events();
        true
    }

    /// Delivers the first or the last long datagram of `lane`, or gives it up.
    pub(super) fn deliver_long(
        &mut self,
        side: usize,
        lane: LaneId,
        first: bool,
        lost: bool,
    ) -> bool {
        let Some(wire) = self.wires.get_mut(&(lane, side)) else { return false };
        let waiting = &mut wire.long;
        let next = if first { waiting.pop_front() } else { waiting.pop_back() };
        let Some(LongDatagram { flow, seq, data: [header, payload], .. }) = next else {
            return false;
        };
        let header = LongDatagramHeader::decode(&mut &header[..]).expect("ours can be read");
        let end = &mut self.ends[1 - side];
        let verdict = end.handle_long_datagram(self.now, &header).expect("ours is allowed");
        if !lost && verdict == SegmentVerdict::Read {
            let datagram = header.with_payload(payload);
            end.handle_datagram(self.now, datagram).expect("ours is allowed");
        }
        self.ends[side].handle_long_datagram_ended(self.now, lane, (flow, seq), !lost);
        self.events();
        true
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        for end in &mut self.ends {
            end.handle_timeout(self.now);
        }
        self.events();
    }

    fn events(&mut self) {
        for (end, incoming) in self.ends.iter_mut().zip(&mut self.incoming) {
            while let Some(event) = end.poll_event() {
                if let SessionEvent::Incoming(flow) = event {
                    incoming.push(flow);
                }
            }
        }
    }

    /// Delivers everything until nothing is left to say.
    pub(super) fn rest(&mut self) {
        for _ in 0..1_000_000 {
            let mut is_quiet = true;
            for lane in self.lanes() {
                for side in 0..2 {
                    is_quiet &= !self.pull(side, lane, WorkClass::Urgent);
                    is_quiet &= !self.pull(side, lane, WorkClass::Datagrams);
                    is_quiet &= !self.pull(side, lane, WorkClass::Bulk);
                    is_quiet &= !self.deliver_datagram(side, lane, true, false);
                    is_quiet &= !self.deliver_long(side, lane, true, false);
                    is_quiet &= !self.deliver_control(side, lane);
                    is_quiet &= !self.deliver_segment(side, lane, 0);
                }
            }
            if is_quiet {
                return;
            }
        }
        panic!("two sessions that never come to rest");
    }
}
