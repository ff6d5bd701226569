//! What applications ask of a session: open, write, read, end, reset.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::{Event, Session};
use crate::flow::{Flow, Opening, Urgency};
use crate::types::{FailureCode, FlowId, OpenFailure};
use crate::wire::codec::{DecodeError, get_target, put_target};
use crate::wire::fact::{Open, ResetAt};

/// The code of a reset by an application that dropped a flow before its end.
pub const CANCELLED: u64 = 1;

/// Every flow may keep this many bytes however little memory is left.
const ALWAYS_BUFFERED: u64 = 64 * 1024;

/// Why a flow cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// The peer's bound on our flows is reached.
    #[error("{0} flows are open, the most the peer allows")]
    TooMany(u64),
    /// The session is closed.
    #[error("session closed: {0}")]
    Closed(String),
    /// The peer could not read the target; it would close every lane that carries it.
    #[error("target cannot be sent: {0}")]
    Target(#[source] DecodeError),
}

/// Why a flow cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FlowError {
    /// The peer's application, or its shim, reset it.
    #[error("flow reset by the peer (code {0})")]
    ResetByPeer(u64),
    /// We reset it.
    #[error("flow reset here")]
    ResetHere,
    /// It was never opened.
    #[error("{0}")]
    Failed(OpenFailure),
    /// Our direction has ended.
    #[error("flow finished; nothing can be written after the end")]
    Finished,
    /// The session is over.
    #[error("session closed: {0}")]
    Closed(String),
}

/// What reading gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many pieces.
    Data(usize),
    /// Nothing yet; [`Event::Readable`] or [`Event::Broken`] follows.
    Pending,
    /// The peer's direction has ended.
    End,
}

impl Session {
    /// Opens a flow. [`Event::Answered`] follows; bytes may be written at once.
    pub fn open(&mut self, now: Instant, open: Open) -> Result<FlowId, OpenError> {
        if let Some(reason) = &self.closed {
            return Err(OpenError::Closed(reason.clone()));
        }
        let mut target = BytesMut::new();
        put_target(&mut target, &open.target);
        get_target(&mut target).map_err(OpenError::Target)?;
        let ours = self.flows.values().filter(|f| f.local).count() as u64;
        if ours >= self.peer.max_flows {
            return Err(OpenError::TooMany(self.peer.max_flows));
        }
        let id = self.next_flow;
        self.next_flow = FlowId(id.0 + 2);
        let window = self.config.params.initial_window;
        self.config.memory.take(window);
        self.flows.insert(id, Flow::new(id, true, open, self.peer.initial_window, window));
        self.touch(now, id, Urgency::Now);
        Ok(id)
    }

    /// Opens what the peer asked for.
    pub fn accept(&mut self, now: Instant, id: FlowId) {
        if let Some(flow) = self.flows.get_mut(&id)
            && flow.opening == Opening::Pending
        {
            flow.opening = Opening::Opened;
            self.touch(now, id, Urgency::Now);
        }
    }

    /// Refuses what the peer asked for.
    pub fn refuse(&mut self, now: Instant, id: FlowId, failure: OpenFailure) {
        if let Some(flow) = self.flows.get_mut(&id)
            && flow.opening == Opening::Pending
        {
            flow.opening = Opening::Failed(failure);
            flow.app.reader_gone = true;
            flow.app.writer_gone = true;
            self.reset(now, id, CANCELLED);
            // The outcome is news even where the flow was reset before.
            self.touch(now, id, Urgency::Now);
            self.maybe_forget(id);
        }
    }

    /// How many bytes [`write`](Self::write) takes now. At 0, [`Event::Writable`] follows.
    pub fn capacity(&mut self, id: FlowId) -> Result<u64, FlowError> {
        self.check_broken(id)?;
        let limit = self.config.memory.limit() / 2;
        let scarce = self.buffered >= limit;
        let Some(flow) = self.flows.get_mut(&id) else { return Err(FlowError::Finished) };
        if flow.tx.fin.is_some() {
            return Err(FlowError::Finished);
        }
        let granted = flow.tx.edge.saturating_sub(flow.tx.buffer.end());
        let room = match scarce {
            true => ALWAYS_BUFFERED.saturating_sub(flow.tx.buffer.retained()),
            false => u64::MAX,
        };
        let capacity = granted.min(room);
        flow.app.write_waiting = capacity == 0;
        Ok(capacity)
    }

    /// Takes as much of the front of `bytes` as the flow has room for; returns how much.
    pub fn write(
        &mut self,
        now: Instant,
        id: FlowId,
        bytes: &mut Bytes,
    ) -> Result<usize, FlowError> {
        let room = usize::try_from(self.capacity(id)?).unwrap_or(usize::MAX);
        let piece = bytes.split_to(bytes.len().min(room));
        let len = piece.len();
        if len > 0
            && let Some(flow) = self.flows.get_mut(&id)
        {
            flow.tx.buffer.push(piece);
            flow.tx.meter(now, len as u64);
            self.recount(id);
            self.schedule(now, id);
        }
        Ok(len)
    }

    /// Ends our direction.
    pub fn finish(&mut self, now: Instant, id: FlowId) -> Result<(), FlowError> {
        self.check_broken(id)?;
        let Some(flow) = self.flows.get_mut(&id) else { return Err(FlowError::Finished) };
        if flow.tx.fin.is_none() {
            flow.tx.fin = Some(flow.tx.buffer.end());
            self.touch(now, id, Urgency::Now);
        }
        Ok(())
    }

    /// Moves up to `out.len()` pieces to the application.
    pub fn read(&mut self, now: Instant, id: FlowId, out: &mut [Bytes]) -> Result<Read, FlowError> {
        let Some(flow) = self.flows.get_mut(&id) else { return Ok(Read::End) };
        let count = flow.rx.assembler.pop(out);
        if count > 0 {
            self.after_read(now, id);
            return Ok(Read::Data(count));
        }
        self.nothing_to_read(id)
    }

    /// Moves at most `max` bytes to the application as one piece.
    pub fn read_at_most(
        &mut self,
        now: Instant,
        id: FlowId,
        max: usize,
    ) -> Result<Option<Bytes>, FlowError> {
        let Some(flow) = self.flows.get_mut(&id) else { return Ok(Some(Bytes::new())) };
        if let Some(piece) = flow.rx.assembler.pop_at_most(max) {
            self.after_read(now, id);
            return Ok(Some(piece));
        }
        match self.nothing_to_read(id)? {
            Read::End => Ok(Some(Bytes::new())),
            _ => Ok(None),
        }
    }

    fn after_read(&mut self, now: Instant, id: FlowId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let growth = flow.rx.wanted_growth(now);
        if growth > 0 && self.config.memory.try_take(growth) {
            flow.rx.grow(growth);
        }
        let moved = flow.rx.open_window();
        let dry = flow.rx.assembler.readable() == 0 && flow.rx.unstated > 0;
        if moved || dry {
            self.touch(now, id, Urgency::Early);
        }
    }

    fn nothing_to_read(&mut self, id: FlowId) -> Result<Read, FlowError> {
        let closed = self.closed.clone();
        let Some(flow) = self.flows.get_mut(&id) else { return Ok(Read::End) };
        if flow.reset_out.is_some() {
            return Err(FlowError::ResetHere);
        }
        if flow.rx.at_end() {
            flow.rx.end_seen = true;
            return Ok(Read::End);
        }
        if let Some(reset) = flow.reset_in
            && flow.rx.assembler.read_offset() >= reset.at
        {
            return Err(match &flow.opening {
                Opening::Failed(failure) => FlowError::Failed(failure.clone()),
                _ => FlowError::ResetByPeer(reset.code),
            });
        }
        if let Some(reason) = closed {
            return Err(FlowError::Closed(reason));
        }
        flow.app.read_waiting = true;
        Ok(Read::Pending)
    }

    /// Resets the whole flow. What was written before is delivered first.
    pub fn reset(&mut self, now: Instant, id: FlowId, code: u64) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        if flow.reset_out.is_some() {
            return;
        }
        flow.reset_out = Some(ResetAt { code, at: flow.tx.buffer.end() });
        flow.rx.discard = true;
        flow.rx.assembler.discard();
        self.events.push_back(Event::Broken(id));
        self.touch(now, id, Urgency::Now);
        self.maybe_forget(id);
    }

    /// The application dropped its receiving half.
    pub fn drop_reader(&mut self, now: Instant, id: FlowId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        flow.app.reader_gone = true;
        // All was read; only the end itself was not looked at.
        flow.rx.end_seen |= flow.rx.at_end();
        flow.rx.discard = true;
        flow.rx.assembler.discard();
        if flow.rx.open_window() {
            self.touch(now, id, Urgency::Soon);
        }
        self.after_drop(now, id);
    }

    /// The application dropped its sending half.
    pub fn drop_writer(&mut self, now: Instant, id: FlowId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        flow.app.writer_gone = true;
        // After a reset by the peer there is nothing to cut short, and the reader may still take
        // what precedes it.
        if flow.tx.fin.is_none() && flow.reset_in.is_none() {
            self.reset(now, id, CANCELLED);
        }
        self.after_drop(now, id);
    }

    /// A flow that nobody holds and that has not ended in both directions is reset: nobody is
    /// there to see what still comes.
    fn after_drop(&mut self, now: Instant, id: FlowId) {
        let Some(flow) = self.flows.get_mut(&id) else { return };
        let gone = flow.is_abandoned();
        let seen = match flow.reset_in {
            // What precedes a reset may take for ever to come.
            Some(_) => flow.received_all(),
            None => flow.rx.end_seen,
        };
        if gone && !seen {
            self.reset(now, id, CANCELLED);
        }
        self.maybe_forget(id);
    }

    /// What became of the open, once it is known.
    pub fn outcome(&self, id: FlowId) -> Option<Result<(), FlowError>> {
        if let Some(reason) = &self.closed {
            return Some(Err(FlowError::Closed(reason.clone())));
        }
        match self.flows.get(&id).map(|f| (&f.opening, f.reset_in)) {
            Some((Opening::Opened, _)) => Some(Ok(())),
            Some((Opening::Failed(failure), _)) => Some(Err(FlowError::Failed(failure.clone()))),
            Some((Opening::Pending, Some(reset))) => Some(Err(FlowError::ResetByPeer(reset.code))),
            Some((Opening::Pending, None)) => None,
            None => Some(Err(FlowError::Failed(OpenFailure::new(
                FailureCode::Other,
                "flow ended before it was opened",
            )))),
        }
    }

    /// Whether the flow was reset, or its session closed.
    pub fn check_broken(&self, id: FlowId) -> Result<(), FlowError> {
        if let Some(reason) = &self.closed {
            return Err(FlowError::Closed(reason.clone()));
        }
        match self.flows.get(&id) {
            Some(flow) if flow.reset_out.is_some() => Err(FlowError::ResetHere),
            Some(flow) => flow.reset_in.map_or(Ok(()), |r| Err(FlowError::ResetByPeer(r.code))),
            None => Ok(()),
        }
    }

    /// Whether both directions have ended in order.
    pub fn is_ended(&self, id: FlowId) -> bool {
        self.flows.get(&id).is_none_or(|f| f.tx.fin.is_some() && f.rx.at_end())
    }
}
