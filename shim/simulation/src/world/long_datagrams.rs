//! Datagrams that are longer than a packet, each a stream of its own, which is reset after a while.

use std::collections::btree_map::OccupiedEntry;
use std::time::Instant;

use throughline_proto::datagram::LONG_DEADLINE;
use throughline_proto::session::{LongDatagram, Priority, SegmentVerdict, Session};
use throughline_proto::types::LaneId;
use throughline_proto::wire::codec::DecodeError;
use throughline_proto::wire::long_datagram::LongDatagramHeader;

use super::World;
use super::lane::{Incoming, Lane};
use crate::connection::End;
use crate::link::Nanos;

/// The first of their streams; those of segments have lower numbers.
const FIRST_STREAM: u64 = 1 << 40;

/// Writes a long datagram to a stream of its own.
pub(super) fn begin_long(lane: &mut Lane, side: usize, long: LongDatagram, now: Nanos) {
    let outbox = &mut lane.ends[side].outbox;
    let stream = FIRST_STREAM + lane.long_begun[side];
    lane.long_begun[side] += 1;
    outbox.open(stream, if long.priority == Priority::Thin { 1 } else { 3 });
    long.data.into_iter().for_each(|data| outbox.write(stream, data));
    outbox.finish(stream);
    let until = now + LONG_DEADLINE.as_nanos() as Nanos;
    lane.long[side].insert(stream, (long.flow, long.seq, until));
}

/// Takes the beginning of one; `false`: it is not wanted.
pub(super) fn long_datagram_begins(
    end: &mut End,
    session: &mut Session,
    now: Instant,
    stream: u64,
    mut entry: OccupiedEntry<'_, u64, Incoming>,
) -> bool {
    let Incoming::Head(head) = entry.get_mut() else { return true };
    let mut rest = &head[..];
    let header = match LongDatagramHeader::decode(&mut rest) {
        Ok(header) => header,
        Err(DecodeError::Truncated(_)) => return true,
        Err(error) => panic!("an honest end's long datagram: {error}"),
    };
    let verdict = session.handle_long_datagram(now, &header).expect("no violation");
    if verdict == SegmentVerdict::Stop {
        entry.remove();
        end.stop(stream);
        return false;
    }
    let payload = rest.to_vec();
    entry.insert(Incoming::Long(header, payload));
    true
}

impl World {
    /// Takes a long datagram all of which has come.
    pub(super) fn take_long_datagram(&mut self, id: LaneId, side: usize, stream: u64) {
        let instant = self.instant();
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if !matches!(lane.incoming[side].get(&stream), Some(Incoming::Long(..))) {
            return;
        }
        let Some(Incoming::Long(header, payload)) = lane.incoming[side].remove(&stream) else {
            return;
        };
        let datagram = header.with_payload(payload.into());
        let taken = self.hosts[side].session.handle_datagram(instant, datagram);
        taken.expect("no violation between honest ends");
    }

    /// Tells the session which long datagrams have arrived, and gives up those that take too long.
    pub(super) fn end_long_datagrams(&mut self, id: LaneId, side: usize) {
        let (now, instant) = (self.now, self.instant());
        let Some(lane) = self.lanes.get_mut(&id).filter(|lane| lane.attached[side]) else { return };
        let end = &mut lane.ends[side];
        let mut over = Vec::new();
        lane.long[side].retain(|stream, (flow, seq, until)| {
            let has_arrived = end.has_delivered(*stream);
            if has_arrived || *until <= now {
                over.push((*stream, (*flow, *seq), has_arrived));
            }
            !has_arrived && *until > now
        });
        for (stream, of, has_arrived) in over {
            if !has_arrived {
                end.reset(stream);
            }
            let session = &mut self.hosts[side].session;
            session.handle_long_datagram_ended(instant, id, of, has_arrived);
        }
    }
}
