//! The sending side of a lane: takes work from the session and gives it to QUIC.
//!
//! Control and thin flows are written whatever the window: they are little, and somebody waits.
//! Bulk is written only while QUIC holds little more than its congestion window
//! ([`LaneSensor::bulk_window`]), so that little has to be sent again when the lane dies, and the rest can take
//! another. While bulk waits for room the pump still writes what is urgent.
//!
//! The pump is a part of the lane's task. Dropping it at any await is safe: what was not acknowledged
//! is still in the flows' send buffers.

use std::collections::HashMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use quinn::{Connection, SendStream, VarInt, WriteError};
use tokio::sync::Notify;
use tokio::task::yield_now;

use super::burst::Burst;
use super::datagrams::{self, Written};
use super::end::LaneEnd;
use super::long_datagrams;
use crate::engine::session::SessionHandle;
use throughline_congestion::{DELAY_PROBE_INTERVAL, LaneSensor};
use throughline_proto::session::{
    HeldWrite, Priority, SegmentWrite, StreamOp, Transmit, WorkClass,
};
use throughline_proto::types::LaneId;
use throughline_proto::wire::datagram::Datagram;

/// The send window for urgent work: all of it goes out. It is bounded by the flows' own windows.
const URGENT_WINDOW: u64 = u64::MAX >> 2;

/// The error code of a stream that was reset because its bytes came another way.
const SUPERSEDED: VarInt = VarInt::from_u32(1);

/// Writes a lane's control messages and segments.
pub(super) struct Pump {
    session: SessionHandle,
    id: LaneId,
    connection: Connection,
    sensor: Arc<LaneSensor>,
    control: SendStream,
    work: Arc<Notify>,
    /// Segments that are being written, or whose bytes are not acknowledged yet.
    segments: HashMap<u64, SendStream>,
    /// Long datagrams of flows that are under way.
    long: long_datagrams::Sending,
    /// How many bytes of datagrams QUIC is given at a time.
    burst: Burst,
    /// QUIC's priority of the bulk that is written now. It falls with each chunk, so that QUIC sends
    /// chunks one after the other: with equal priorities it sends a packet of each stream in turn, and
    /// the peer wakes a task for every packet.
    bulk_priority: i32,
    /// When the last delay probe was sent.
    delay_probed_at: Option<Instant>,
}

impl Pump {
    pub(super) fn new(
        session: SessionHandle,
        id: LaneId,
        connection: Connection,
        sensor: Arc<LaneSensor>,
        control: SendStream,
        work: Arc<Notify>,
    ) -> Self {
        let long = long_datagrams::Sending::new(session.clone(), id, connection.clone());
        Self {
            session,
            id,
            connection,
            sensor,
            control,
            work,
            segments: HashMap::new(),
            long,
            burst: Burst::default(),
            bulk_priority: Priority::Bulk as i32,
            delay_probed_at: None,
        }
    }

    /// Writes until the lane ends.
    pub(super) async fn run(mut self) -> LaneEnd {
        match self.pump().await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn pump(&mut self) -> Result<std::convert::Infallible, LaneEnd> {
        let mut held = HeldWrite::default();
        let work = self.work.clone();
        loop {
            while let Some(transmit) = self.poll(WorkClass::Urgent) {
                self.perform(transmit, &mut held).await?;
            }
            let written = self.write_datagrams()?;
            if held.is_empty()
                && let Some(Transmit::Segment(write)) = self.poll(WorkClass::Bulk)
            {
                held.hold(write);
                self.bulk_priority = self.bulk_priority.saturating_sub(1);
            }
            if written == Written::Enough {
                yield_now().await;
                work.notify_one();
            }
            let sensor = Arc::clone(&self.sensor);
            let room = async move {
                match written {
                    Written::AsManyAsFit => sensor.room().await,
                    Written::All | Written::Enough => pending().await,
                }
            };
            let Some(write) = held.get_mut() else {
                tokio::select! {
                    () = work.notified() => {}
                    () = room => {}
                }
                continue;
            };
            self.limit_bulk();
            self.probe_delay();
            tokio::select! {
                biased;
                result = self.write(write) => {
                    result?;
                    held = HeldWrite::default();
                }
                () = work.notified() => {}
                () = room => {}
            }
        }
    }

    fn poll(&self, class: WorkClass) -> Option<Transmit> {
        self.session.with(|core, now| core.session.poll_transmit(now, self.id, class))
    }

    /// Writes the datagrams of flows. A long one of a thick flow takes its turn with the bulk that is written now.
    fn write_datagrams(&mut self) -> Result<Written, LaneEnd> {
        let Self { session, id, connection, sensor, long, burst, bulk_priority, .. } = self;
        datagrams::write(session, *id, connection, sensor, burst, |datagram| {
            connection.set_send_window(URGENT_WINDOW);
            let priority = match datagram.priority {
                Priority::Bulk => *bulk_priority,
                priority => priority as i32,
            };
            long.send(datagram, priority);
        })
    }

    /// Lets bulk into QUIC only up to a little more than the congestion window.
    fn limit_bulk(&self) {
        self.connection.set_send_window(self.sensor.bulk_window());
    }

    /// Asks the peer now and then when a packet of ours arrived, which shows in whose queue bulk waits
    /// (one-way delay, cf. RFC 6817).
    fn probe_delay(&mut self) {
        let now = Instant::now();
        if self.delay_probed_at.is_none_or(|at| now >= at + DELAY_PROBE_INTERVAL) {
            self.delay_probed_at = Some(now);
            let ping = Datagram::Ping { seq: self.sensor.on_ping() };
            let _ = self.connection.send_datagram(ping.to_bytes(0));
        }
    }

    /// Does what is urgent, although bulk may wait for room.
    async fn perform(&mut self, transmit: Transmit, held: &mut HeldWrite) -> Result<(), LaneEnd> {
        match transmit {
            Transmit::Control(bytes) => {
                self.connection.set_send_window(URGENT_WINDOW);
                let written = self.control.write_all_chunks(&mut [bytes]).await;
                written.map_err(control_failed)
            }
            Transmit::Close(bytes) => {
                self.connection.set_send_window(URGENT_WINDOW);
                self.control.write_all_chunks(&mut [bytes]).await.map_err(control_failed)?;
                let _ = self.control.finish();
                // Acknowledged, or the peer has closed the lane because of it.
                let _ = self.control.stopped().await;
                Err(LaneEnd::SessionOver)
            }
            // Those of flows are written where there is room.
            Transmit::Datagram(_) | Transmit::LongDatagram(_) => Ok(()),
            Transmit::Segment(mut write) => {
                self.connection.set_send_window(URGENT_WINDOW);
                self.write(&mut write).await
            }
            Transmit::Stream { key, op } => {
                if let Some(op) = held.before(key, op) {
                    self.end_stream(key, op);
                }
                Ok(())
            }
        }
    }

    fn end_stream(&mut self, key: u64, op: StreamOp) {
        match op {
            StreamOp::Finish => {
                if let Some(stream) = self.segments.get_mut(&key) {
                    let _ = stream.finish();
                }
            }
            // Dropping a stream finishes it.
            StreamOp::Release => drop(self.segments.remove(&key)),
            StreamOp::Reset => {
                if let Some(mut stream) = self.segments.remove(&key) {
                    let _ = stream.reset(SUPERSEDED);
                }
            }
        }
    }

    /// Writes what is left of `write`. Cancel-safe: what was written is gone from it.
    async fn write(&mut self, write: &mut SegmentWrite) -> Result<(), LaneEnd> {
        if write.header.is_some() && !self.segments.contains_key(&write.key) {
            let stream = self.connection.open_uni().await?;
            self.segments.insert(write.key, stream);
        }
        // A stream that the peer stopped takes nothing more: the flow is finished there.
        let Some(stream) = self.segments.get_mut(&write.key) else { return Ok(()) };
        let is_first = write.header.is_some();
        if let Some(header) = write.header.take() {
            write.data.insert(0, header);
        }
        let _ = match write.priority {
            Priority::Bulk => stream.set_priority(self.bulk_priority),
            priority if is_first => stream.set_priority(priority as i32),
            _ => Ok(()),
        };
        while write.data.iter().any(|chunk| !chunk.is_empty()) {
            match stream.write_chunks(&mut write.data).await {
                Ok(written) => {
                    write.data.drain(..written.chunks);
                }
                Err(WriteError::ConnectionLost(error)) => return Err(error.into()),
                Err(WriteError::Stopped(_)) => {
                    self.segments.remove(&write.key);
                    return Ok(());
                }
                // The session counts on this lane for these bytes: without it others send them.
                Err(error) => return Err(LaneEnd::SegmentWrite(error)),
            }
        }
        if write.last {
            let _ = stream.finish();
        }
        Ok(())
    }
}

fn control_failed(error: WriteError) -> LaneEnd {
    match error {
        WriteError::ConnectionLost(error) => error.into(),
        other => LaneEnd::ControlWrite(other),
    }
}
