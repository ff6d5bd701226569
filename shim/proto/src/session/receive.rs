//! Segments from the peer.

use std::time::Instant;

use bytes::Bytes;

use super::peer_ids::IdStatus;
use super::{Session, SessionEvent, Violation};
use crate::flow::{REPORT_AFTER_BYTES, Urgency};
use crate::types::{FailureCode, FlowId, Mode, OpenFailure};
use crate::wire::fact::Open;
use crate::wire::segment::SegmentHeader;

/// Flows that the peer may have finished with while we have not: what would end them here, its
/// acknowledgement of our last facts, is on its way or was lost. An honest peer that may open few
/// flows, and opens the next as soon as one is refused, comes to many times their number where its
/// acknowledgements are lost and its opens are not.
pub(super) const FINISHED_IN_FLIGHT: usize = 64;

/// What to do with the stream of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentVerdict {
    /// Read the stream and pass its bytes to [`Session::handle_segment_data`].
    Read,
    /// Stop the stream: its flow is finished.
    Stop,
}

impl Session {
    /// Takes the header of a segment.
    pub fn handle_segment(
        &mut self,
        now: Instant,
        header: &SegmentHeader,
    ) -> Result<SegmentVerdict, Violation> {
        if self.closed.is_some() || !self.find_flow(now, header.flow, header.open.as_ref())? {
            return Ok(SegmentVerdict::Stop);
        }
        if self.flows.get(&header.flow).is_some_and(|flow| flow.datagrams.is_some()) {
            return Err(Violation::NotOfBytes(header.flow));
        }
        if header.resent {
            // A sender that re-sends wants to know what we have: one of its lanes is suspect.
            self.mark_dirty(now, header.flow, Urgency::Early);
        }
        Ok(SegmentVerdict::Read)
    }

    /// Takes bytes of a segment: `chunks` are moved out, the first of them belongs at `offset`.
    pub fn handle_segment_data(
        &mut self,
        now: Instant,
        id: FlowId,
        mut offset: u64,
        resent: bool,
        chunks: &mut [Bytes],
    ) -> Result<SegmentVerdict, Violation> {
        if self.closed.is_some() {
            return Ok(SegmentVerdict::Stop);
        }
        let Some(flow) = self.flows.get_mut(&id) else { return Ok(SegmentVerdict::Stop) };
        if flow.reset_out.is_some() {
            return Ok(SegmentVerdict::Stop);
        }
        let (mut new, start) = (0, offset);
        for chunk in chunks {
            let chunk = std::mem::take(chunk);
            let len = chunk.len() as u64;
            new += flow.rx.insert(offset, chunk).map_err(|e| Violation::on_flow(id, e))?;
            offset += len;
        }
        let growth = flow.rx.growth_for_reordering();
        let grown = growth > 0 && self.config.memory.try_grow(growth);
        if grown {
            flow.rx.grow(growth);
        }
        let on_two_lanes = matches!(flow.mode(), Mode::Auto | Mode::AutoBond | Mode::Redundant);
        flow.rx.count(resent, on_two_lanes, new, offset - start - new);
        if flow.rx.discard && flow.rx.open_window() {
            self.mark_dirty(now, id, Urgency::Soon);
            return Ok(SegmentVerdict::Read);
        }
        if new > 0 && flow.app.read_waiting && flow.rx.assembler.readable() > 0 {
            flow.app.read_waiting = false;
            self.events.push_back(SessionEvent::Readable(id));
        }
        let opened = grown && flow.rx.open_window();
        let urgency = match opened || resent || flow.rx.unreported >= REPORT_AFTER_BYTES {
            true => Urgency::Early,
            false => Urgency::Soon,
        };
        if new > 0 || resent {
            self.mark_dirty(now, id, urgency);
        }
        if new > 0 {
            self.maybe_forget(id);
        }
        Ok(SegmentVerdict::Read)
    }

    /// Returns whether the flow is live, and creates it if it is new; `false` says that it is
    /// finished.
    pub(super) fn find_flow(
        &mut self,
        now: Instant,
        id: FlowId,
        open: Option<&Open>,
    ) -> Result<bool, Violation> {
        if self.flows.contains_key(&id) {
            return Ok(true);
        }
        if id.opener() == self.config.side {
            return if id < self.next_flow { Ok(false) } else { Err(Violation::NeverOpened(id)) };
        }
        match self.peer_ids.status(id) {
            IdStatus::Used => return Ok(false),
            IdStatus::TooFar => return Err(Violation::SkippedIds(id)),
            IdStatus::New => {}
        }
        let open = open.ok_or(Violation::NoOpen(id))?;
        let theirs = self.peer_flows;
        let most = 2 * self.config.max_flows + FINISHED_IN_FLIGHT;
        if theirs >= most {
            return Err(Violation::TooManyFlows(most));
        }
        self.peer_ids.mark_used(id);
        let has_memory = self.config.memory.may_promise(self.config.params.initial_window);
        self.create_flow(now, id, false, open.clone());
        if !has_memory {
            let detail = "the peer's flows hold all of their share of `memory`";
            self.refuse(now, id, OpenFailure::new(FailureCode::LimitReached, detail));
        } else if theirs >= self.config.max_flows {
            let detail = format!("{theirs} flows are open, the limit");
            self.refuse(now, id, OpenFailure::new(FailureCode::LimitReached, detail));
        } else {
            self.events.push_back(SessionEvent::Incoming(id));
            self.mark_dirty(now, id, Urgency::Soon);
        }
        Ok(true)
    }
}
