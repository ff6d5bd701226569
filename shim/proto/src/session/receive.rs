//! Segments from the peer.

use std::time::Instant;

use bytes::Bytes;

use super::ids::Seen;
use super::{Event, Session, Violation};
use crate::flow::{EVERY_BYTES, Flow, Urgency};
use crate::types::{FailureCode, FlowId, Mode, OpenFailure};
use crate::wire::fact::Open;
use crate::wire::segment::SegmentHeader;

/// What to do with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Read it and pass its bytes to [`Session::segment_data`].
    Read,
    /// Its flow is finished: stop the stream.
    Stop,
}

impl Session {
    /// A segment begins.
    pub fn segment(&mut self, now: Instant, header: &SegmentHeader) -> Result<Accepted, Violation> {
        if self.closed.is_some() || !self.find_flow(now, header.flow, header.open.as_ref())? {
            return Ok(Accepted::Stop);
        }
        if header.resent {
            // Whoever sends again wants to know what we have; its lane is in doubt.
            self.touch(now, header.flow, Urgency::Early);
        }
        Ok(Accepted::Read)
    }

    /// Bytes of a segment: `chunks` are moved out, the first of them belongs at `offset`.
    pub fn segment_data(
        &mut self,
        now: Instant,
        id: FlowId,
        mut offset: u64,
        resent: bool,
        chunks: &mut [Bytes],
    ) -> Result<Accepted, Violation> {
        if self.closed.is_some() {
            return Ok(Accepted::Stop);
        }
        let Some(flow) = self.flows.get_mut(&id) else { return Ok(Accepted::Stop) };
        if flow.reset_out.is_some() {
            return Ok(Accepted::Stop);
        }
        let (mut new, start) = (0, offset);
        for chunk in chunks {
            let chunk = std::mem::take(chunk);
            let len = chunk.len() as u64;
            new += flow.rx.insert(offset, chunk).map_err(|breach| breach.into_violation(id))?;
            offset += len;
        }
        let twice = matches!(flow.mode(), Mode::Auto | Mode::Redundant);
        flow.rx.count(resent, twice, new, offset - start - new);
        if flow.rx.discard && flow.rx.open_window() {
            self.touch(now, id, Urgency::Soon);
            return Ok(Accepted::Read);
        }
        if new > 0 && flow.app.read_waiting && flow.rx.assembler.readable() > 0 {
            flow.app.read_waiting = false;
            self.events.push_back(Event::Readable(id));
        }
        let urgency = match resent || flow.rx.unstated >= EVERY_BYTES {
            true => Urgency::Early,
            false => Urgency::Soon,
        };
        if new > 0 || resent {
            self.touch(now, id, urgency);
        }
        if new > 0 {
            self.maybe_forget(id);
        }
        Ok(Accepted::Read)
    }

    /// Whether the flow is live, creating it if this is the first we hear of it. `false`: it is
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
        match self.peer_ids.classify(id) {
            Seen::Before => return Ok(false),
            Seen::TooFar => return Err(Violation::SkippedIds(id)),
            Seen::New => {}
        }
        let open = open.ok_or(Violation::NoOpen(id))?;
        let theirs = self.flows.values().filter(|f| !f.local).count();
        if theirs >= 2 * self.config.max_flows {
            return Err(Violation::TooManyFlows(2 * self.config.max_flows));
        }
        self.peer_ids.mark(id);
        let window = self.config.params.initial_window;
        self.config.memory.take(window);
        let flow = Flow::new(id, false, open.clone(), self.peer.initial_window, window);
        self.flows.insert(id, flow);
        if theirs >= self.config.max_flows {
            let detail = format!("{theirs} flows are open, the limit");
            self.refuse(now, id, OpenFailure::new(FailureCode::LimitReached, detail));
        } else {
            self.events.push_back(Event::Incoming(id));
            self.touch(now, id, Urgency::Soon);
        }
        Ok(true)
    }
}

impl crate::flow::Breach {
    fn into_violation(self, flow: FlowId) -> Violation {
        match self {
            Self::Window { end, edge } => Violation::Window { flow, end, edge },
            Self::FinalSize => Violation::FinalSize(flow),
            Self::Scattered(most) => Violation::Scattered { flow, most },
        }
    }
}
