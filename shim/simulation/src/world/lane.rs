//! A lane, as both ends have it.

use std::collections::BTreeMap;

use throughline_proto::lane::Condition;
use throughline_proto::path::PathKey;
use throughline_proto::session::HeldWrite;
use throughline_proto::types::FlowId;
use throughline_proto::wire::control::Decoder;
use throughline_proto::wire::long_datagram::LongDatagramHeader;

use super::network::{Road, road};
use crate::connection::{End, Frame};
use crate::link::Nanos;

/// What a side makes of a segment that comes.
pub(crate) enum Incoming {
    /// Its header is not complete.
    Head(Vec<u8>),
    /// A long datagram, of which this has come.
    Long(LongDatagramHeader, Vec<u8>),
    Body {
        flow: FlowId,
        offset: u64,
        resent: bool,
    },
}

pub(crate) struct Lane {
    /// Its addresses at the initiator, as they are now.
    pub(crate) key: PathKey,
    /// Where the acceptor last heard it from.
    pub(crate) heard_from: PathKey,
    pub(crate) order: u32,
    pub(crate) metered: bool,
    /// What the planner was last asked with.
    pub(crate) planned: Condition,
    pub(crate) ends: [End; 2],
    pub(crate) attached: [bool; 2],
    pub(crate) dead: [bool; 2],
    pub(crate) armed: [Nanos; 2],
    /// Bulk that waits for room.
    pub(crate) held: [HeldWrite; 2],
    pub(crate) decoders: [Decoder; 2],
    pub(crate) incoming: [BTreeMap<u64, Incoming>; 2],
    /// Long datagrams that an end has sent and that are under way, by their streams, and until when.
    pub(crate) long: [BTreeMap<u64, (FlowId, u64, Nanos)>; 2],
    /// How many there were.
    pub(crate) long_begun: [u64; 2],
    /// Frames that came before the end attached the lane.
    pub(crate) early: [Vec<Frame>; 2],
}

impl Lane {
    /// The road it is on, as an end sees it.
    pub(crate) fn road(&self, side: usize) -> Road {
        road([self.key, self.heard_from][side])
    }
}
