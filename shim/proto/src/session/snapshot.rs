//! Hands a session over to another process: its state as records, and a session made of them.
//!
//! **What is in it**: all that the peer or an application relies on. Bytes that were written and are not
//! acknowledged, bytes that were received and not read, what was granted, which facts of which version
//! were sent, which flow ids were used. **What is not**: lanes, with what they carry and all that was
//! measured of them. A restored session is one whose lanes were all lost just now: the next one begins
//! with all facts, and what was sent and is not acknowledged goes out again.
//!
//! **What the caller sees to**: from the snapshot on the old session sends nothing ([`Session::mute`]).
//! What it still receives is not acknowledged then, so the peer sends it again, to the new one.

use std::time::Duration;

use super::peer_ids::{IdStatus, PeerIds};
use super::{Session, SessionConfig, SessionEvent};
use crate::flow::Flow;
use crate::snapshot::{RestoreError, get_end, get_flags, get_version, put_flags, put_version};
use crate::types::{FlowId, Side};
use crate::wire::codec::{get_varint, put_varint};
use crate::wire::fact::Locators;
use crate::wire::hello::SessionParams;

impl Session {
    /// Returns the records of the session: its own, then one of each flow. They are made one by one, so
    /// that no more than one needs memory. A session that is [closed](Self::closed) has none to give.
    pub fn snapshot(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        debug_assert!(self.closed.is_none(), "a closed session is handed over");
        std::iter::once(self.head()).chain(self.flows().map(Flow::snapshot))
    }

    fn head(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_version(&mut out);
        put_flags(&mut out, [self.config.side == Side::Acceptor]);
        put_params(&mut out, self.config.params);
        put_params(&mut out, self.peer);
        put_varint(&mut out, self.next_flow.0);
        self.peer_ids.put(&mut out);
        self.locators.put(&mut out);
        self.peer_locators.put(&mut out);
        out
    }

    /// Makes a session without lanes of a session's own record; [`restore_flow`](Self::restore_flow) adds
    /// the flows. The side, the number of flows and the window that was promised for each are those of the
    /// record; the other limits are those of `config`.
    ///
    /// # Errors
    /// The record is of another version, or damaged.
    pub fn restore(mut config: SessionConfig, mut record: &[u8]) -> Result<Self, RestoreError> {
        let record = &mut record;
        get_version(record)?;
        let [is_acceptor] = get_flags(record)?;
        config.side = if is_acceptor { Side::Acceptor } else { Side::Initiator };
        // What was promised to the peer is kept, whatever is configured since.
        let params = get_params(record)?;
        config.params.initial_window = params.initial_window;
        config.params.max_flows = params.max_flows;
        config.max_flows = usize::try_from(params.max_flows).unwrap_or(usize::MAX);
        let peer = get_params(record)?;
        let mut session = Self::new(config, peer);
        session.next_flow = FlowId(get_varint(record, "next flow id")?);
        session.peer_ids = PeerIds::get(record, session.config.side.peer())?;
        session.locators = Locators::get(record)?;
        session.peer_locators = Locators::get(record)?;
        get_end(record, "the session")?;
        if session.next_flow.opener() != session.config.side {
            return Err(RestoreError::Contradiction("next flow id"));
        }
        Ok(session)
    }

    /// Adds a flow of its record; returns its id.
    ///
    /// # Errors
    /// The record is of another version, damaged, or of another session.
    pub fn restore_flow(&mut self, record: &[u8]) -> Result<FlowId, RestoreError> {
        let flow = Flow::restore(record)?;
        let (id, window) = (flow.id, flow.rx.window());
        let promised = self.config.params.initial_window;
        let is_ours = id.opener() == self.config.side;
        // Else the id would be given to another flow, too.
        let was_used = match is_ours {
            true => id < self.next_flow,
            false => self.peer_ids.status(id) == IdStatus::Used,
        };
        let fits = flow.local == is_ours && was_used && !self.flows.contains_key(&id);
        let Some(grown) = window.checked_sub(promised).filter(|_| fits) else {
            return Err(RestoreError::Contradiction("flow"));
        };
        self.config.memory.promise(promised);
        self.config.memory.grow_anyway(grown);
        self.peer_flows += usize::from(!flow.local);
        self.datagram_flows.had_any |= flow.datagrams.is_some();
        self.flows.insert(id, Box::new(flow));
        self.account_buffer(id);
        Ok(id)
    }

    /// Sends nothing more on any lane until [`unmute`](Self::unmute): another process is about to take the
    /// session over, and its state must not go on from what that one is given. Everything else works.
    pub fn mute(&mut self) {
        self.muted = true;
    }

    /// Sends again, where nobody took the session over.
    pub fn unmute(&mut self) {
        self.muted = false;
        for lane in self.lanes.keys() {
            self.events.push_back(SessionEvent::Work(*lane));
        }
    }

    /// Returns whether the session is [muted](Self::mute).
    pub fn is_muted(&self) -> bool {
        self.muted
    }
}

fn put_params(out: &mut Vec<u8>, params: SessionParams) {
    put_varint(out, params.linger.as_secs());
    put_varint(out, params.initial_window);
    put_varint(out, params.max_flows);
}

fn get_params(record: &mut &[u8]) -> Result<SessionParams, RestoreError> {
    Ok(SessionParams {
        linger: Duration::from_secs(get_varint(record, "linger time")?),
        initial_window: get_varint(record, "initial window")?,
        max_flows: get_varint(record, "most flows")?,
    })
}
