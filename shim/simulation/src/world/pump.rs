//! A lane's work: what the session has for it becomes packets, and packets become calls.

use std::collections::btree_map::Entry;

use bytes::Bytes;
use throughline_proto::lane::{AddressListing, LaneAction, Observation};
use throughline_proto::path::PathKey;
use throughline_proto::session::{
    HeldWrite, Priority, SegmentVerdict, SegmentWrite, StreamOp, Transmit, WorkClass,
};
use throughline_proto::types::LaneId;
use throughline_proto::wire::codec::DecodeError;
use throughline_proto::wire::control::Message;
use throughline_proto::wire::long_datagram;
use throughline_proto::wire::segment::{MAX_HEADER, MAX_SEGMENT, SegmentHeader};

use super::lane::{Incoming, Lane};
use super::long_datagrams::{begin_long, long_datagram_begins};
use super::{SimEvent, World};
use crate::connection::{End, Frame, Packet};
use crate::link::Nanos;
use crate::streams::CONTROL;

impl World {
    /// Asks the session for work as long as the lane takes it, and sends packets.
    pub(super) fn pump(&mut self, id: LaneId, side: usize) {
        let instant = self.instant();
        let Some(lane) = self.lanes.get_mut(&id).filter(|l| l.attached[side]) else { return };
        let session = &mut self.hosts[side].session;
        loop {
            if let Some(work) = session.poll_transmit(instant, id, WorkClass::Urgent) {
                transmit(&mut lane.ends[side], &mut lane.held[side], work);
                continue;
            }
            if lane.ends[side].takes_datagram()
                && let Some(work) = session.poll_transmit(instant, id, WorkClass::Datagrams)
            {
                match work {
                    Transmit::LongDatagram(long) => begin_long(lane, side, long, self.now),
                    other => transmit(&mut lane.ends[side], &mut lane.held[side], other),
                }
                continue;
            }
            let held = &mut lane.held[side];
            if held.is_empty()
                && let Some(Transmit::Segment(write)) =
                    session.poll_transmit(instant, id, WorkClass::Bulk)
            {
                held.hold(write);
            }
            let end = &mut lane.ends[side];
            match held.take_if(end.has_room()) {
                Some(write) => write_segment(end, write),
                None => break,
            }
        }
        self.flush(id, side);
        self.observe(id, side);
        self.arm_lane(id, side);
    }

    /// Sends the packets that there are.
    fn flush(&mut self, id: LaneId, side: usize) {
        let now = self.now;
        let Some(lane) = self.lanes.get_mut(&id).filter(|l| l.attached[side]) else { return };
        let mut packets = Vec::new();
        while let Some(packet) = lane.ends[side].build(now) {
            packets.push(packet);
        }
        for packet in packets {
            self.send(id, side, &packet);
        }
    }

    /// Shows the lane's monitor what its end sees, and does what it wants done.
    pub(super) fn observe(&mut self, id: LaneId, side: usize) {
        let (now, instant, late_by) =
            (self.now, self.instant(), self.sleeps[side].late_by(self.now));
        let Some(lane) = self.lanes.get_mut(&id).filter(|l| l.attached[side]) else { return };
        let listed = match side {
            0 => self.network.is_alive(lane.key.local),
            _ => !self.network.carrier_lost[lane.road(1).1],
        };
        let end = &mut lane.ends[side];
        let received = end.received();
        let seen = Observation {
            sensor: end.snapshot(now, self.base),
            received: &|| received,
            remote: [lane.key.remote, (lane.heard_from.local, 0).into()][side],
            address: if listed { AddressListing::Listed } else { AddressListing::Unlisted },
            late_by,
            resumed: false,
        };
        let session = &mut self.hosts[side].session;
        let actions = session.observe_lane(instant, id, &seen);
        let condition = session.lane_condition(id).unwrap_or_default();
        if condition.suspected_since.is_some() {
            end.sensor.set_alarm(false);
        }
        let check_at = session.lane_check(id);
        end.check_at =
            check_at.map(|at| at.saturating_duration_since(self.base).as_nanos() as Nanos);
        if side == 0 && std::mem::replace(&mut lane.planned, condition) != condition {
            self.plan_soon();
        }
        for action in actions {
            self.perform(id, side, &action);
        }
    }

    fn perform(&mut self, id: LaneId, side: usize, action: &LaneAction) {
        self.say(|| format!("{side} {id} {action:?}"));
        match action {
            LaneAction::Probe => {
                if let Some(lane) = self.lanes.get_mut(&id) {
                    lane.ends[side].probe();
                }
                self.flush(id, side);
            }
            LaneAction::Close(_) => self.die(id, side, true),
            // The modelled lanes have no datagrams.
            LaneAction::Notice { .. } | LaneAction::Report(_) => {}
        }
    }

    pub(super) fn lane_timer(&mut self, id: LaneId, side: usize) {
        let now = self.now;
        let Some(lane) = self.lanes.get_mut(&id).filter(|l| l.attached[side]) else { return };
        if lane.armed[side] != now {
            // It was set anew since.
            return;
        }
        lane.armed[side] = u64::MAX;
        if !lane.ends[side].handle_timeout(now) {
            return self.die(id, side, true);
        }
        self.end_long_datagrams(id, side);
        self.observe(id, side);
        self.pump(id, side);
    }

    pub(super) fn arrive(&mut self, id: LaneId, side: usize, packet: Packet, from: PathKey) {
        let now = self.now;
        if !self.network.is_alive(from.local) {
            return;
        }
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if lane.dead[side] {
            // As a stateless reset (RFC 9000 §10.3) does it.
            if !matches!(packet.frames[..], [Frame::Close]) && self.seed.is_multiple_of(2) {
                self.send(id, side, &Packet { number: u64::MAX, frames: vec![Frame::Close] });
            }
            return;
        }
        if matches!(packet.frames[..], [Frame::Close]) {
            return self.die(id, side, false);
        }
        if side == 1 && lane.ends[1].is_newest(packet.number) {
            self.heard(id, from);
        }
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        let frames = lane.ends[side].receive(now, packet);
        for frame in frames {
            self.frame(id, side, frame);
        }
        self.observe(id, side);
        self.pump(id, side);
    }

    pub(super) fn frame(&mut self, id: LaneId, side: usize, frame: Frame) {
        let now = self.now;
        let Some(lane) = self.lanes.get_mut(&id).filter(|l| !l.dead[side]) else { return };
        if !lane.attached[side] {
            lane.early[side].push(frame);
            return;
        }
        let end = &mut lane.ends[side];
        match frame {
            Frame::Ack(ranges) => {
                end.acked(now, &ranges);
                self.end_long_datagrams(id, side);
            }
            Frame::Ping | Frame::Probe | Frame::Close => {}
            Frame::Datagram(bytes) => self.datagram(side, &bytes),
            // STOP_SENDING is answered by a reset (RFC 9000 §3.5).
            Frame::Stop(stream) => end.reset(stream),
            Frame::Reset(stream) => {
                end.inbox.close(stream);
                lane.incoming[side].remove(&stream);
            }
            Frame::Stream(chunk) => {
                let stream = chunk.stream;
                let mut out = Vec::new();
                end.inbox.insert(chunk, &mut out);
                let has_ended = end.inbox.done.contains(&stream);
                if !out.is_empty() {
                    self.deliver(id, side, stream, out);
                }
                if has_ended {
                    self.take_long_datagram(id, side, stream);
                }
            }
        }
    }

    fn deliver(&mut self, id: LaneId, side: usize, stream: u64, chunks: Vec<Bytes>) {
        if stream != CONTROL {
            // A stream that is stopped delivers nothing more.
            let _ = chunks.into_iter().all(|chunk| self.segment(id, side, stream, chunk));
            return;
        }
        let instant = self.instant();
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        chunks.iter().for_each(|chunk| lane.decoders[side].push(chunk));
        loop {
            let Some(lane) = self.lanes.get_mut(&id) else { return };
            match lane.decoders[side].next_message() {
                Ok(None) => return,
                Ok(Some(message)) => {
                    self.say(|| format!("{side} <- {id} {message:?}"));
                    if side == 0 && matches!(message, Message::LaneUse(_)) {
                        self.plan_soon();
                    }
                    if let Err(e) = self.hosts[side].session.handle_control(instant, id, message) {
                        panic!("violation between honest ends: {e}");
                    }
                }
                Err(e) => panic!("an honest end's control stream: {e}"),
            }
        }
    }

    /// Bytes of a segment's stream; `false`: it was stopped.
    fn segment(&mut self, id: LaneId, side: usize, stream: u64, mut chunk: Bytes) -> bool {
        let instant = self.instant();
        let Some(lane) = self.lanes.get_mut(&id) else { return false };
        let session = &mut self.hosts[side].session;
        let violation = |e| panic!("violation between honest ends: {e}");
        let mut entry = match lane.incoming[side].entry(stream) {
            Entry::Vacant(entry) => entry.insert_entry(Incoming::Head(Vec::new())),
            Entry::Occupied(entry) => entry,
        };
        if let Incoming::Head(head) = entry.get_mut() {
            let before = head.len();
            head.extend_from_slice(&chunk);
            if head[0] == long_datagram::KIND {
                return long_datagram_begins(&mut lane.ends[side], session, instant, stream, entry);
            }
            let mut rest = &head[..];
            let header = match SegmentHeader::decode(&mut rest) {
                Err(DecodeError::Truncated(_)) => {
                    assert!(head.len() <= MAX_HEADER);
                    return true;
                }
                Err(e) => panic!("an honest end's segment header: {e}"),
                Ok(header) => header,
            };
            let taken = head.len() - rest.len() - before;
            chunk = chunk.split_off(taken);
            if self.trace {
                println!("{:>13.6} {side} <- {id} {header:?}", self.now as f64 / 1e9);
            }
            let accepted = session.handle_segment(instant, &header).unwrap_or_else(violation);
            if accepted == SegmentVerdict::Stop {
                entry.remove();
                lane.ends[side].stop(stream);
                return false;
            }
            let SegmentHeader { flow, offset, resent, .. } = header;
            entry.insert(Incoming::Body { flow, offset, resent });
        }
        if let Incoming::Long(_, payload) = entry.get_mut() {
            payload.extend_from_slice(&chunk);
            return true;
        }
        let Incoming::Body { flow, offset, resent } = entry.get_mut() else { return false };
        if chunk.is_empty() {
            return true;
        }
        let (at, len) = (*offset, chunk.len() as u64);
        *offset += len;
        let accepted = session.handle_segment_data(instant, *flow, at, *resent, &mut [chunk]);
        if accepted.unwrap_or_else(violation) == SegmentVerdict::Stop {
            entry.remove();
            lane.ends[side].stop(stream);
            return false;
        }
        true
    }

    /// Asks the monitors that want it, because of what came on another lane.
    pub(super) fn check_lanes_that_are_due(&mut self, side: usize) {
        let (now, instant) = (self.now, self.instant());
        let session = &self.hosts[side].session;
        let due = |id: LaneId| session.lane_check(id).is_some_and(|at| at <= instant);
        if session.next_lane_check().is_none_or(|at| at > instant) {
            return;
        }
        let waits = |(_, lane): &(&LaneId, &Lane)| lane.attached[side] && lane.armed[side] > now;
        let ids = self.lanes.iter().filter(waits).map(|(id, _)| *id).filter(|id| due(*id));
        for id in ids.collect::<Vec<_>>() {
            self.queue_timer(id, side);
        }
    }

    pub(super) fn queue_timer(&mut self, id: LaneId, side: usize) {
        let now = self.now;
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.armed[side] = now;
            self.at(now, SimEvent::LaneTimer { lane: id, side });
        }
    }
}

/// Does what is urgent, although bulk may wait for room.
fn transmit(end: &mut End, held: &mut HeldWrite, work: Transmit) {
    match work {
        Transmit::Control(bytes) | Transmit::Close(bytes) => end.outbox.write(CONTROL, bytes),
        Transmit::Datagram(bytes) => end.datagrams.push_back(bytes),
        Transmit::LongDatagram(_) => unreachable!("it is begun by itself"),
        Transmit::Segment(write) => write_segment(end, write),
        Transmit::Stream { key, op } => match held.before(key, op) {
            Some(StreamOp::Finish) => end.outbox.finish(key + 1),
            Some(StreamOp::Reset) => end.reset(key + 1),
            Some(StreamOp::Release) | None => {}
        },
    }
}

fn write_segment(end: &mut End, write: SegmentWrite) {
    let stream = write.key + 1;
    let class = match write.priority {
        Priority::Thin => 1,
        Priority::Resent => 2,
        Priority::Bulk => 3,
    };
    end.outbox.check_class(stream, class);
    if let Some(header) = write.header {
        end.outbox.open(stream, class);
        end.outbox.write(stream, header);
    }
    if let Some(state) = end.outbox.streams.get_mut(&stream) {
        state.writes += 1;
        state.payload += write.data.iter().map(|d| d.len() as u64).sum::<u64>();
        assert!(state.payload <= MAX_SEGMENT, "a segment of {}", state.payload);
        assert!(state.writes <= 512, "{} writes", state.writes);
    }
    write.data.into_iter().for_each(|data| end.outbox.write(stream, data));
    if write.last {
        end.outbox.finish(stream);
    }
}
