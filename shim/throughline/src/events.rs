//! What happened: the last thousand events of a node, and whoever follows them.
//!
//! An event is a change that a person cares about: a lane came, fell silent, moved; an uplink is
//! drained. It is kept in a ring of [`KEPT`] and sent to the followers. Telling one costs a short
//! lock and never waits, neither for a follower nor for a byte: nothing is told per packet or per
//! piece of a flow. The lock is a leaf: it is taken with any other held, and takes none.
//!
//! A follower that is slower than events come loses the oldest ones and is told how many. What a
//! stranger to this host can cause at will (flows and keys that are refused) is told so often at the
//! most (`limit`), so that it does not push everything else out of the ring; the rest is counted.

mod kind;
mod limit;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};

pub use self::kind::{EventKind, OneWay, Suspicion};
use self::limit::{Refusals, Strangers};
use crate::clock;
use throughline_proto::types::{LaneId, PeerId, PeerName, SessionId, unrepeated};

/// Events that are kept.
pub const KEPT: usize = 1000;

/// How far a follower may fall behind: a quarter of what is kept.
const BEHIND: usize = 256;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Its number, from 0 on; none is left out.
    pub seq: u64,
    /// When, on the wall clock.
    pub at: SystemTime,
    /// The peer it is about, if it is about one.
    pub peer: Option<PeerName>,
    /// The session.
    pub session: Option<SessionId>,
    /// The lane.
    pub lane: Option<LaneId>,
    /// The uplink at our end, where it is known.
    pub uplink: Option<String>,
    /// What happened.
    pub kind: EventKind,
}

/// What [`Node::events`](crate::Node::events) returns.
#[derive(Debug)]
pub struct Events {
    /// What is kept of the past, oldest first, at most [`KEPT`].
    pub recent: Vec<Arc<Event>>,
    /// What follows it, without a gap.
    pub live: EventStream,
}

/// Follows events. Dropping it ends that.
#[derive(Debug)]
pub struct EventStream(broadcast::Receiver<Arc<Event>>);

/// What a follower is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// An event.
    Event(Arc<Event>),
    /// The follower was slow, and so many events passed it by.
    Missed(u64),
}

impl EventStream {
    /// The next event; `None` when the node is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<Followed> {
        match self.0.recv().await {
            Ok(event) => Some(Followed::Event(event)),
            Err(RecvError::Lagged(missed)) => Some(Followed::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// What an event is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    pub(crate) peer: Option<PeerName>,
    pub(crate) session: Option<SessionId>,
    pub(crate) lane: Option<LaneId>,
    pub(crate) uplink: Option<String>,
}

/// Where a node's events are told. Clones tell the same followers.
#[derive(Clone, Debug)]
pub(crate) struct EventLog(Arc<Mutex<Ring>>);

#[derive(Debug)]
struct Ring {
    kept: VecDeque<Arc<Event>>,
    next: u64,
    followers: broadcast::Sender<Arc<Event>>,
    refusals: Refusals,
    strangers: Strangers,
}

impl Default for EventLog {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Ring {
            kept: VecDeque::new(),
            next: 0,
            followers: broadcast::Sender::new(BEHIND),
            refusals: Refusals::default(),
            strangers: Strangers::default(),
        })))
    }
}

impl EventLog {
    /// Tells of something.
    pub(crate) fn tell(&self, about: Subject, kind: EventKind) {
        self.0.lock().tell(about, kind);
    }

    /// Tells of an uplink.
    pub(crate) fn uplink(&self, name: &str, kind: EventKind) {
        self.tell(Subject { uplink: Some(name.to_owned()), ..Subject::default() }, kind);
    }

    /// Tells that a flow to `target` was refused, unless that happens too often.
    pub(crate) fn refused(&self, about: Subject, target: &str, why: &str) {
        let mut ring = self.0.lock();
        let Some(besides) = ring.refusals.next(Instant::now()) else { return };
        let (target, why) = (target.to_owned(), unrepeated(target, why).to_owned());
        ring.tell(about, EventKind::FlowRefused { target, why, besides });
    }

    /// Tells that somebody with an unknown key dialled us from `remote`, unless that was told of
    /// late.
    pub(crate) fn stranger(&self, key: PeerId, remote: SocketAddr) {
        let mut ring = self.0.lock();
        let Some(besides) = ring.strangers.next(Instant::now(), key) else { return };
        ring.tell(Subject::default(), EventKind::StrangerRefused { key, remote, besides });
    }

    /// What is kept, and what follows.
    pub(crate) fn follow(&self) -> Events {
        let ring = self.0.lock();
        Events {
            recent: ring.kept.iter().cloned().collect(),
            live: EventStream(ring.followers.subscribe()),
        }
    }
}

impl Ring {
    fn tell(&mut self, about: Subject, kind: EventKind) {
        let Subject { peer, session, lane, uplink } = about;
        let event = Arc::new(Event {
            seq: self.next,
            at: clock::wall(),
            peer,
            session,
            lane,
            uplink,
            kind,
        });
        self.next += 1;
        if self.kept.len() == KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(event.clone());
        // Fails only where nobody follows.
        let _ = self.followers.send(event);
    }
}

/// Tells of one session and its lanes.
#[derive(Clone, Debug)]
pub(crate) struct SessionLog {
    events: EventLog,
    peer: PeerName,
    session: SessionId,
}

impl SessionLog {
    pub(crate) fn new(events: EventLog, peer: PeerName, session: SessionId) -> Self {
        Self { events, peer, session }
    }

    /// What the peer is called here.
    pub(crate) fn peer(&self) -> &PeerName {
        &self.peer
    }

    /// Tells of the session.
    pub(crate) fn session(&self, kind: EventKind) {
        self.events.tell(self.subject(), kind);
    }

    /// Tells of an uplink, or of a prefix of the peer, by name.
    pub(crate) fn part(&self, name: String, kind: EventKind) {
        self.peer_over(Some(name), kind);
    }

    /// Tells of the peer, as it is seen over an uplink where one has to do with it.
    pub(crate) fn peer_over(&self, uplink: Option<String>, kind: EventKind) {
        self.events.tell(Subject { uplink, ..self.subject() }, kind);
    }

    /// Tells of a lane.
    pub(crate) fn lane(&self, lane: LaneId, uplink: Option<&str>, kind: EventKind) {
        let uplink = uplink.map(str::to_owned);
        self.events.tell(Subject { lane: Some(lane), uplink, ..self.subject() }, kind);
    }

    /// Tells that we refused a flow of the peer's.
    pub(crate) fn refused(&self, target: &str, why: &str) {
        self.events.refused(self.subject(), target, why);
    }

    fn subject(&self) -> Subject {
        Subject { peer: Some(self.peer.clone()), session: Some(self.session), ..Subject::default() }
    }
}

#[cfg(test)]
mod tests;
