//! One end of a lane: its streams, and what comes in on them.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use quinn_proto::{Chunk, Connection, Dir, Event, StreamEvent, StreamId, VarInt};
use throughline_proto::session::{
    HeldWrite, LaneInfo, SegmentVerdict, SegmentWrite, Session, StreamOp,
};
use throughline_proto::types::{FlowId, LaneId};
use throughline_proto::wire::codec::DecodeError;
use throughline_proto::wire::control::Decoder;
use throughline_proto::wire::datagram::Datagram;
use throughline_proto::wire::segment::{MAX_HEADER, SegmentHeader};

use crate::quic::{Host, HostId};

/// A lane, as both ends have it.
pub(super) struct Lane {
    /// The number of its ISP.
    pub(super) isp: usize,
    pub(super) ends: [LaneEnd; 2],
}

/// The connection is over.
pub(super) struct Over;

/// What a segment is known of.
enum Incoming {
    Head(Vec<u8>),
    Body { flow: FlowId, offset: u64, resent: bool, header: u64, thin: bool },
}

/// A segment that begins with less is a thin flow's, and is read in any order, as the engine does.
const THIN_BEGINNING: usize = 900;

/// What goes out whatever the window, in the order in which the session gave it.
#[derive(Debug)]
pub(super) enum Urgent {
    Write(SegmentWrite),
    End(u64, StreamOp),
}

/// One end of a lane.
pub(super) struct LaneEnd {
    pub(super) host: HostId,
    pub(super) attached: bool,
    /// What pings are answered by.
    clock: Instant,
    pub(super) control: Option<StreamId>,
    decoder: Decoder,
    incoming: HashMap<StreamId, Incoming>,
    /// The streams of segments that are not released.
    pub(super) segments: HashMap<u64, StreamId>,
    pub(super) held: HeldWrite,
    /// What is urgent and QUIC did not take yet.
    pub(super) urgent: VecDeque<Urgent>,
    pub(super) control_bytes: Vec<bytes::Bytes>,
    pub(super) probed_at: Option<Instant>,
    closed: bool,
}

impl LaneEnd {
    pub(super) fn new(clock: Instant, host: HostId) -> Self {
        Self {
            host,
            attached: false,
            clock,
            control: None,
            decoder: Decoder::default(),
            incoming: HashMap::new(),
            segments: HashMap::new(),
            held: HeldWrite::default(),
            urgent: VecDeque::new(),
            control_bytes: Vec::new(),
            probed_at: None,
            closed: false,
        }
    }

    /// Takes all that the connection has for us.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        id: LaneId,
        info: LaneInfo,
        session: &mut Session,
        host: &mut Host,
    ) -> Result<(), Over> {
        let sensor = host.sensor().cloned();
        let Some(connection) = host.connection() else { return Ok(()) };
        let mut readable = Vec::new();
        while let Some(event) = connection.poll() {
            match event {
                Event::Stream(StreamEvent::Readable { id }) => readable.push(id),
                Event::ConnectionLost { .. } => return Err(Over),
                _ => {}
            }
        }
        if self.closed || connection.is_closed() {
            return Err(Over);
        }
        self.set_up(now, id, info, session, connection);
        while let Some(stream) = connection.streams().accept(Dir::Uni) {
            self.incoming.insert(stream, Incoming::Head(Vec::new()));
            readable.push(stream);
        }
        if let Some(control) = self.control {
            readable.push(control);
        }
        readable.dedup();
        for stream in readable {
            if Some(stream) == self.control {
                self.read_control(now, id, session, connection);
            } else {
                self.read_segment(now, session, connection, stream);
            }
        }
        while let Some(bytes) = connection.datagrams().recv() {
            match Datagram::decode(&bytes) {
                Ok(Some(Datagram::Ping { seq })) => {
                    let received = now.duration_since(self.clock).as_micros() as u64;
                    let pong = Datagram::Pong { seq, received };
                    let _ = connection.datagrams().send(pong.to_bytes(bytes.len()), true);
                }
                Ok(Some(Datagram::Pong { seq, received })) => {
                    if let Some(sensor) = &sensor {
                        sensor.on_pong(seq, received);
                    }
                }
                Ok(Some(Datagram::Notice { narrow })) => session.handle_notice(now, id, narrow),
                Ok(None) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Attaches the lane once its control stream is there. The initiator's `Hello` is left out; that an
    /// acceptor attaches with the first byte of the stream is what the real exchange comes to.
    fn set_up(
        &mut self,
        now: Instant,
        id: LaneId,
        info: LaneInfo,
        session: &mut Session,
        connection: &mut Connection,
    ) {
        if self.attached || connection.is_handshaking() {
            return;
        }
        let control = match connection.side().is_client() {
            true => connection.streams().open(Dir::Bi),
            false => connection.streams().accept(Dir::Bi),
        };
        if let Some(control) = control {
            self.control = Some(control);
            self.attached = true;
            let _ = connection.send_stream(control).set_priority(i32::from(u8::MAX));
            session.handle_lane_attached(now, id, info);
        }
    }

    fn read_control(
        &mut self,
        now: Instant,
        id: LaneId,
        session: &mut Session,
        connection: &mut Connection,
    ) {
        let Some(control) = self.control else { return };
        for chunk in read(connection, control) {
            self.decoder.push(&chunk);
        }
        while let Some(message) = self.decoder.next_message().expect("an honest end's control") {
            session.handle_control(now, id, message).expect("an honest end");
        }
    }

    fn read_segment(
        &mut self,
        now: Instant,
        session: &mut Session,
        connection: &mut Connection,
        stream: StreamId,
    ) {
        let Some(incoming) = self.incoming.get_mut(&stream) else { return };
        let mut verdict = SegmentVerdict::Read;
        while verdict == SegmentVerdict::Read
            && let Some(chunk) = read_one(connection, stream, incoming.is_ordered())
        {
            verdict = take(incoming, now, session, chunk);
        }
        if verdict == SegmentVerdict::Stop {
            self.incoming.remove(&stream);
            let _ = connection.recv_stream(stream).stop(VarInt::from_u32(0));
        }
    }

    /// Asks the peer whether the lane is alive, past a full window.
    pub(super) fn probe(&mut self, host: &mut Host) {
        let Some(sensor) = host.sensor().cloned() else { return };
        let Some(connection) = host.connection() else { return };
        sensor.allow_probe();
        let ping = Datagram::Ping { seq: sensor.on_ping() };
        let len = Datagram::probe_len(connection.datagrams().max_size().unwrap_or(0));
        let _ = connection.datagrams().send(ping.to_bytes(len), true);
    }

    /// Sends a datagram, when the window has room for it.
    pub(super) fn send(host: &mut Host, datagram: Datagram) {
        if let Some(connection) = host.connection() {
            let _ = connection.datagrams().send(datagram.to_bytes(0), true);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Closes the lane, past a full window as well.
    pub(super) fn close(&mut self, now: Instant, host: &mut Host) {
        self.closed = true;
        if let Some(sensor) = host.sensor() {
            sensor.allow_probe();
        }
        if let Some(connection) = host.connection() {
            connection.close(now, VarInt::from_u32(1), bytes::Bytes::new());
        }
    }
}

impl Incoming {
    fn is_ordered(&self) -> bool {
        !matches!(self, Self::Body { thin: true, .. })
    }
}

/// Takes a part of a segment's stream.
fn take(
    incoming: &mut Incoming,
    now: Instant,
    session: &mut Session,
    Chunk { offset: position, bytes: mut chunk, .. }: Chunk,
) -> SegmentVerdict {
    if let Incoming::Head(head) = incoming {
        let before = head.len();
        head.extend_from_slice(&chunk);
        let mut rest = &head[..];
        let header = match SegmentHeader::decode(&mut rest) {
            Err(DecodeError::Truncated(_)) => {
                assert!(head.len() <= MAX_HEADER);
                return SegmentVerdict::Read;
            }
            decoded => decoded.expect("an honest end's segment header"),
        };
        let taken = head.len() - rest.len() - before;
        chunk = chunk.split_off(taken);
        if session.handle_segment(now, &header).expect("an honest end") == SegmentVerdict::Stop {
            return SegmentVerdict::Stop;
        }
        let SegmentHeader { flow, offset, resent, .. } = header;
        let thin = chunk.len() < THIN_BEGINNING;
        let header = (before + taken) as u64;
        *incoming = Incoming::Body { flow, offset, resent, header, thin };
        if chunk.is_empty() {
            return SegmentVerdict::Read;
        }
        return session
            .handle_segment_data(now, flow, offset, resent, &mut [chunk])
            .expect("an honest end");
    }
    let Incoming::Body { flow, offset, resent, header, .. } = incoming else {
        return SegmentVerdict::Read;
    };
    let at = *offset + position - *header;
    session.handle_segment_data(now, *flow, at, *resent, &mut [chunk]).expect("an honest end")
}

/// Reads the next chunk of a stream, if there is one.
fn read_one(connection: &mut Connection, stream: StreamId, ordered: bool) -> Option<Chunk> {
    let mut receive = connection.recv_stream(stream);
    let mut chunks = receive.read(ordered).ok()?;
    let chunk = chunks.next(usize::MAX).ok().flatten();
    let _ = chunks.finalize();
    chunk
}

/// Reads all that a stream has, in order.
fn read(connection: &mut Connection, stream: StreamId) -> Vec<bytes::Bytes> {
    let mut receive = connection.recv_stream(stream);
    let Ok(mut chunks) = receive.read(true) else { return Vec::new() };
    let mut out = Vec::new();
    // Until it ends, was reset, or is blocked.
    while let Ok(Some(chunk)) = chunks.next(usize::MAX) {
        out.push(chunk.bytes);
    }
    let _ = chunks.finalize();
    out
}
