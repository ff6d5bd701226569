//! Datagrams that are longer than a packet of their lane, each a stream of its own.
//!
//! Here a lane counts on QUIC, which repeats what is lost of a stream, but only for as long as somebody may wait for the
//! datagram. They are numbered with the others, so that a copy that came on another lane is dropped like theirs.

use std::time::Instant;

use crate::session::{SegmentVerdict, Session, Violation};
use crate::types::{FlowId, LaneId};
use crate::wire::long_datagram::LongDatagramHeader;

impl Session {
    /// Takes note of how many bytes of long datagrams a lane's path takes at a time.
    pub fn set_long_datagram_window(&mut self, id: LaneId, bytes: u64) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.long.set_window(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
    }

    /// Takes note that a long datagram has arrived on a lane, or was given up there. What waited for room goes on.
    pub fn handle_long_datagram_ended(
        &mut self,
        now: Instant,
        id: LaneId,
        (flow, seq): (FlowId, u64),
        arrived: bool,
    ) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        if !lane.long.end(flow, seq) {
            return;
        }
        let waiting = lane.long.take_waiting();
        self.end_copy(now, flow, seq, arrived);
        waiting.into_iter().for_each(|flow| self.queue_datagrams(flow));
    }

    /// Takes note that a lane does not carry a long datagram any more.
    pub(in crate::session) fn end_copy(
        &mut self,
        now: Instant,
        id: FlowId,
        seq: u64,
        arrived: bool,
    ) {
        let flow = self.flows.get_mut(&id).and_then(|flow| flow.datagrams.as_mut());
        let Some(datagrams) = flow else { return };
        if datagrams.under_way.end(seq, arrived) {
            datagrams.tx.count_late();
        }
        self.end_if_sent(now, id);
    }

    /// Takes the header of a long datagram. Its stream is to be read to its end, and given to
    /// [`handle_datagram`](Self::handle_datagram).
    ///
    /// # Errors
    /// The peer may not send it.
    pub fn handle_long_datagram(
        &mut self,
        now: Instant,
        header: &LongDatagramHeader,
    ) -> Result<SegmentVerdict, Violation> {
        let id = header.flow;
        if self.closed.is_some() {
            return Ok(SegmentVerdict::Stop);
        }
        if let Some(open) = &header.open
            && !self.find_flow(now, id, Some(open))?
        {
            return Ok(SegmentVerdict::Stop);
        }
        let Some(flow) = self.flows.get(&id) else {
            let is_ours = id.opener() == self.config.side;
            return match is_ours {
                true if id >= self.next_flow => Err(Violation::NeverOpened(id)),
                true => Ok(SegmentVerdict::Stop),
                // What opens it may be under way on a slower lane.
                false => Ok(SegmentVerdict::Read),
            };
        };
        let is_over = flow.reset_out.is_some() || flow.app.reader_gone;
        match &flow.datagrams {
            None => Err(Violation::NotOfDatagrams(id)),
            Some(_) if is_over => Ok(SegmentVerdict::Stop),
            Some(_) => Ok(SegmentVerdict::Read),
        }
    }

    /// Counts a long datagram of the peer that was given up here.
    pub fn handle_long_datagram_dropped(&mut self, id: FlowId) {
        let flow = self.flows.get_mut(&id).and_then(|flow| flow.datagrams.as_mut());
        if let Some(datagrams) = flow {
            datagrams.rx.count_unfinished();
        }
    }
}
