//! What a session gives to a lane to do.

use bytes::Bytes;

use crate::types::FlowId;

/// The kind of work that a lane asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkClass {
    /// Control messages and the bytes of thin flows: taken even by a lane whose window is full.
    Urgent,
    /// Datagrams of flows: taken by a lane from which they leave at once.
    Datagrams,
    /// The bytes of bulk flows: taken by a lane that has room.
    Bulk,
}

/// The order in which QUIC sends what a lane holds, lowest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Bulk flows.
    Bulk = 0,
    /// Bytes of bulk flows that another lane may have lost: somebody waits for them.
    Resent = 1,
    /// Thin flows.
    Thin = 2,
}

/// Bytes to be written to a segment.
#[derive(Debug)]
pub struct SegmentWrite {
    /// The number of the segment on its lane.
    pub key: u64,
    /// The header, where the segment begins: open a stream and write this first.
    pub header: Option<Bytes>,
    /// The bytes, shared with the flow's send buffer.
    pub data: Vec<Bytes>,
    /// The segment ends here: finish the stream, and keep it until it is released or reset.
    pub last: bool,
    /// When QUIC sends the bytes, among what the lane holds.
    pub priority: Priority,
}

/// A datagram that is longer than a packet of the lane takes, to be sent on a stream of its own. When it has arrived or
/// was given up, at the latest after [`LONG_DEADLINE`](crate::datagram::LONG_DEADLINE), the session is told so
/// ([`handle_long_datagram_ended`](crate::session::Session::handle_long_datagram_ended)).
#[derive(Debug)]
pub struct LongDatagram {
    /// The flow.
    pub flow: FlowId,
    /// Its number in the flow.
    pub seq: u64,
    /// The header, and the datagram: all that is written to the stream, which then ends.
    pub data: [Bytes; 2],
    /// When QUIC sends it, among what the lane holds.
    pub priority: Priority,
}

/// What becomes of a segment's stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamOp {
    /// End the stream.
    Finish,
    /// Forget the stream: the segment's bytes are acknowledged.
    Release,
    /// Reset the stream, so that stale bytes are not sent again: the segment is superseded.
    Reset,
}

/// A lane's work.
#[derive(Debug)]
pub enum Transmit {
    /// Append this to the control stream.
    Control(Bytes),
    /// Append this message to the control stream, end the stream, and close the lane once the peer
    /// has it: the session is over.
    Close(Bytes),
    /// Send this in a DATAGRAM frame.
    Datagram(Bytes),
    /// Send this on a stream of its own.
    LongDatagram(LongDatagram),
    /// Write to a segment.
    Segment(SegmentWrite),
    /// End, forget or reset the stream of a segment.
    Stream {
        /// The number of the segment on its lane.
        key: u64,
        /// What becomes of it.
        op: StreamOp,
    },
}
