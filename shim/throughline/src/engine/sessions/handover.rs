//! The sessions of a node are handed over to another process.
//!
//! The one that has them [freezes](Sessions::freeze): they send nothing more, so that nothing which the
//! peers are told goes on from the records that are [written](Sessions::write_records) then. The other one
//! [restores](Sessions::restore) sessions of the records, and [drives](HandedOver::begin) them once the
//! first has let go.
//!
//! **Sessions that are being set up** are among them: the peer may have been asked for one already, and would
//! keep it for its linger time if nobody came back to it. The new process asks for the same one again.
//!
//! An initiator's generation grows by one, so that a dial of the former process that is still under way is
//! not admitted after the new one's. The process number that peers know stays, as they end what another
//! one created.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tracing::warn;

use super::{Registered, Sessions};
use crate::engine::dial::Dialer;
use crate::engine::session::SessionHandle;
use throughline_proto::session::Session;
use throughline_proto::snapshot::RestoreError;
use throughline_proto::types::{FlowId, PeerId, SessionId, Side};
use throughline_proto::wire::codec::{DecodeError, get_varint, put_varint};

/// What a record is of, its first byte.
const SESSION: u8 = 1;
const FLOW: u8 = 2;

/// Flags of a session: the process of the peer's that has it is known.
const HAS_INSTANCE: u8 = 1;

/// No lane has ever attached.
const IS_CONNECTING: u8 = 2;

impl Sessions {
    /// Has every session fall silent, and begins none, until [`thaw`](Self::thaw).
    pub(crate) fn freeze(&self) {
        {
            // Under the lock: a session is registered before it, or not at all.
            let _registered = self.registered.lock();
            self.frozen.store(true, Ordering::SeqCst);
        }
        self.all().for_each(|session| session.freeze());
    }

    /// Goes on where nobody took the sessions over.
    pub(crate) fn thaw(&self) {
        self.frozen.store(false, Ordering::SeqCst);
        self.all().for_each(|session| session.thaw());
        self.changed();
    }

    /// Closes every lane, and what becomes one from now on: another process has the sessions.
    pub(crate) fn leave(&self) {
        self.all().for_each(|session| session.leave());
    }

    /// Returns whether another process is about to take the sessions over, or has.
    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::SeqCst)
    }

    /// Passes the records of the sessions and their flows to `write`, one after the other.
    ///
    /// # Errors
    /// Those of `write`.
    pub(crate) fn write_records(
        &self,
        mut write: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        for peer in self.context.peers.ids() {
            let of_peer: Vec<_> = {
                let registered = self.registered.lock();
                let sessions = registered.get(&peer).into_iter().flatten();
                sessions.map(|r| (r.session.clone(), r.instance)).collect()
            };
            let keys = self.context.peers.keys_of(peer);
            for (session, instance) in &of_peer {
                write_session(session, &keys, *instance, &mut write)?;
            }
        }
        Ok(())
    }

    /// Takes a record: makes a session without lanes, or adds a flow to the session made last.
    ///
    /// # Errors
    /// The record is of another version, or damaged.
    pub(crate) fn restore(
        &self,
        handed_over: &mut HandedOver,
        record: &[u8],
    ) -> Result<(), RestoreError> {
        match record.split_first() {
            Some((&SESSION, record)) => self.restore_session(handed_over, record),
            Some((&FLOW, record)) => handed_over.restore_flow(record),
            Some((other, _)) => Err(DecodeError::Invalid("kind of record", (*other).into()).into()),
            None => Err(DecodeError::Truncated("record").into()),
        }
    }

    fn restore_session(
        &self,
        handed_over: &mut HandedOver,
        mut record: &[u8],
    ) -> Result<(), RestoreError> {
        let record = &mut record;
        let mut keys = Vec::new();
        for _ in 0..get_varint(record, "keys of the peer")? {
            keys.push(PeerId::from_bytes(take(record, "key of the peer")?));
        }
        let id = SessionId(u128::from_be_bytes(take(record, "session id")?));
        let instance = u64::from_be_bytes(take(record, "process of the peer")?);
        let [flags] = take(record, "flags of the session")?;
        if flags > HAS_INSTANCE | IS_CONNECTING {
            return Err(DecodeError::Invalid("flags of the session", flags.into()).into());
        }
        let instance = (flags & HAS_INSTANCE != 0).then_some(instance);
        let generation = get_varint(record, "generation")?;
        let next_lane = get_varint(record, "next lane")?;
        // It is the same peer as long as it keeps one of its keys.
        let peers = &self.context.peers;
        let known = keys.iter().map(|key| peers.resolve(*key));
        let Some((peer, label)) = known.filter_map(|peer| Some((peer, peers.label(peer)?))).next()
        else {
            let key = keys.first().map(|key| key.short()).unwrap_or_default();
            warn!(peer = %key, "the peer is not configured any more: its sessions end");
            handed_over.current = None;
            return Ok(());
        };
        let config = self.session_config(peer, Side::Initiator);
        let session = self.handle(id, (peer, label), Session::restore(config, record)?);
        let generation = generation + u64::from(session.side() == Side::Initiator);
        session.take_over(generation, next_lane, flags & IS_CONNECTING == 0);
        if let Some(instance) = instance {
            self.instances.lock().note(peer, instance);
        }
        let registered = Registered { session: session.clone(), since: Instant::now(), instance };
        self.registered.lock().entry(peer).or_default().push(registered);
        handed_over.current = Some(session.clone());
        handed_over.sessions.push(session);
        Ok(())
    }
}

/// Sessions that were restored and do not run yet.
#[derive(Default)]
pub(crate) struct HandedOver {
    sessions: Vec<SessionHandle>,
    /// The session that the next flows belong to; none where its peer is not configured any more.
    current: Option<SessionHandle>,
    flows: Vec<(SessionHandle, FlowId)>,
}

impl HandedOver {
    fn restore_flow(&mut self, record: &[u8]) -> Result<(), RestoreError> {
        let Some(session) = &self.current else { return Ok(()) };
        let id = session.with(|core, _| core.session.restore_flow(record))?;
        self.flows.push((session.clone(), id));
        Ok(())
    }

    /// Returns the flows that were restored, and no others that their sessions have meanwhile.
    pub(crate) fn take_flows(&mut self) -> Vec<(SessionHandle, FlowId)> {
        std::mem::take(&mut self.flows)
    }

    /// Returns the sessions.
    pub(crate) fn sessions(&self) -> &[SessionHandle] {
        &self.sessions
    }

    /// Runs the sessions.
    pub(crate) fn begin(&self, sessions: &Arc<Sessions>) {
        for session in &self.sessions {
            let (context, peer, side) = (sessions.context.clone(), session.peer(), session.side());
            sessions.drive(session.clone(), Box::new(Dialer::new(context, peer, side)));
        }
    }
}

fn write_session(
    session: &SessionHandle,
    keys: &[PeerId],
    instance: Option<u64>,
    write: &mut impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let is_connecting = !session.is_established();
    session.with(|core, _| {
        if core.session.closed().is_some() {
            return Ok(());
        }
        let mut head = vec![SESSION];
        put_varint(&mut head, keys.len() as u64);
        keys.iter().for_each(|key| head.extend_from_slice(key.as_bytes()));
        head.extend_from_slice(&session.id().0.to_be_bytes());
        head.extend_from_slice(&instance.unwrap_or_default().to_be_bytes());
        let has_instance = if instance.is_some() { HAS_INSTANCE } else { 0 };
        head.push(has_instance | if is_connecting { IS_CONNECTING } else { 0 });
        put_varint(&mut head, core.generation);
        put_varint(&mut head, core.next_lane);
        for record in core.session.snapshot() {
            head.extend_from_slice(&record);
            write(&head)?;
            head.clear();
            head.push(FLOW);
        }
        Ok(())
    })
}

fn take<const N: usize>(record: &mut &[u8], field: &'static str) -> Result<[u8; N], DecodeError> {
    let (taken, rest) = record.split_first_chunk::<N>().ok_or(DecodeError::Truncated(field))?;
    *record = rest;
    Ok(*taken)
}
