//! The sending side of a lane's end: the engine's pump, without its awaits.

use std::time::Instant;

use quinn_proto::{Connection, Dir, VarInt, WriteError};
use throughline_congestion::{DELAY_PROBE_INTERVAL, LaneSensor};
use throughline_proto::session::{SegmentWrite, Session, StreamOp, Transmit, WorkClass};
use throughline_proto::types::LaneId;
use throughline_proto::wire::datagram::Datagram;

use super::lane::{LaneEnd, Urgent};
use crate::quic::Host;

/// The send window for urgent work: all of it goes out.
const URGENT_WINDOW: u64 = u64::MAX >> 2;

/// The error code of a stream that was reset because its bytes came another way.
const SUPERSEDED: VarInt = VarInt::from_u32(1);

impl LaneEnd {
    /// Takes work from the session as long as QUIC takes it: what is urgent whatever the window, bulk
    /// only while QUIC holds little more than its congestion window.
    pub(super) fn pump(
        &mut self,
        now: Instant,
        id: LaneId,
        session: &mut Session,
        host: &mut Host,
    ) {
        let Some(sensor) = host.sensor().cloned() else { return };
        let Some(connection) = host.connection() else { return };
        loop {
            self.flush_urgent(connection);
            while let Some(work) = session.poll_transmit(now, id, WorkClass::Urgent) {
                self.perform(connection, work);
            }
            if self.held.is_empty()
                && let Some(Transmit::Segment(write)) =
                    session.poll_transmit(now, id, WorkClass::Bulk)
            {
                self.held.hold(write);
            }
            if self.held.is_empty() {
                return;
            }
            connection.set_send_window(sensor.bulk_window());
            self.probe_delay(now, connection, &sensor);
            let mut held = std::mem::take(&mut self.held);
            let done = held.get_mut().is_none_or(|write| self.write(connection, write));
            if !done {
                self.held = held;
                return;
            }
        }
    }

    fn flush_urgent(&mut self, connection: &mut Connection) {
        connection.set_send_window(URGENT_WINDOW);
        if let Some(control) = self.control {
            let mut bytes = std::mem::take(&mut self.control_bytes);
            if let Ok(written) = connection.send_stream(control).write_chunks(&mut bytes) {
                bytes.drain(..written.chunks);
            }
            self.control_bytes = bytes;
        }
        // In order, as the engine awaits each: what follows may be of the same segment, whose stream is not open yet.
        let mut urgent = std::mem::take(&mut self.urgent);
        while let Some(first) = urgent.front_mut() {
            let done = match first {
                Urgent::Write(write) => self.write(connection, write),
                Urgent::End(key, op) => {
                    self.end_stream(connection, *key, *op);
                    true
                }
            };
            if !done {
                break;
            }
            urgent.pop_front();
        }
        self.urgent = urgent;
    }

    fn perform(&mut self, connection: &mut Connection, work: Transmit) {
        match work {
            Transmit::Control(bytes) | Transmit::Close(bytes) => self.control_bytes.push(bytes),
            Transmit::Segment(write) => self.urgent.push_back(Urgent::Write(write)),
            // No flow here is one of datagrams.
            Transmit::Datagram(_) | Transmit::LongDatagram(_) => {}
            Transmit::Stream { key, op } => {
                if let Some(op) = self.held.before(key, op) {
                    self.urgent.push_back(Urgent::End(key, op));
                }
            }
        }
        self.flush_urgent(connection);
    }

    fn end_stream(&mut self, connection: &mut Connection, key: u64, op: StreamOp) {
        let stream = match op {
            StreamOp::Finish => self.segments.get(&key).copied(),
            StreamOp::Release | StreamOp::Reset => self.segments.remove(&key),
        };
        if let Some(stream) = stream {
            let _ = match op {
                StreamOp::Reset => connection.send_stream(stream).reset(SUPERSEDED).is_ok(),
                // Dropping a stream finishes it.
                StreamOp::Finish | StreamOp::Release => {
                    connection.send_stream(stream).finish().is_ok()
                }
            };
        }
    }

    /// Writes what is left of `write`; returns whether nothing is.
    fn write(&mut self, connection: &mut Connection, write: &mut SegmentWrite) -> bool {
        if write.header.is_some() && !self.segments.contains_key(&write.key) {
            let Some(stream) = connection.streams().open(Dir::Uni) else { return false };
            let _ = connection.send_stream(stream).set_priority(write.priority as i32);
            self.segments.insert(write.key, stream);
        }
        let Some(&stream) = self.segments.get(&write.key) else { return true };
        if let Some(header) = write.header.take() {
            write.data.insert(0, header);
        }
        while write.data.iter().any(|chunk| !chunk.is_empty()) {
            match connection.send_stream(stream).write_chunks(&mut write.data) {
                Ok(written) => {
                    write.data.drain(..written.chunks);
                }
                Err(WriteError::Blocked) => return false,
                Err(WriteError::Stopped(_) | WriteError::ClosedStream) => {
                    self.segments.remove(&write.key);
                    return true;
                }
            }
        }
        if write.last {
            let _ = connection.send_stream(stream).finish();
        }
        true
    }

    fn probe_delay(&mut self, now: Instant, connection: &mut Connection, sensor: &LaneSensor) {
        if self.probed_at.is_none_or(|at| now >= at + DELAY_PROBE_INTERVAL) {
            self.probed_at = Some(now);
            let ping = Datagram::Ping { seq: sensor.on_ping() };
            let _ = connection.datagrams().send(ping.to_bytes(0), true);
        }
    }
}
