//! What happened: the last thousand events of a node, and whoever follows them.
//!
//! An event is a change that a person cares about: a lane is up, is suspected, has migrated; an
//! uplink is drained. Emitting one logs it, keeps it in a ring of [`Events::MAX_RECENT`] and sends it to the
//! followers. It costs a short lock and never waits, neither for a follower nor for a byte: nothing
//! is emitted per packet or per chunk of a flow. The lock is a leaf: it is taken with any other
//! held, and takes none.
//!
//! A follower that is slower than events come loses the oldest ones and learns how many. What
//! others can cause at will (flows that are refused, unknown keys) is throttled, so that it does
//! not push everything else out of the ring; the rest is counted.

#[macro_use]
mod define;
mod detector;
mod field;
mod kind;
mod quota;
mod session_log;
mod unit;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::broadcast::{self, error::RecvError};
use tracing::field::display;

pub use self::detector::{OneWayDetectedBy, SuspectedBy};
pub use self::field::FieldValue;
pub use self::kind::EventKind;
use self::quota::{Quota, Verdict};
pub(crate) use self::session_log::SessionLog;
use crate::clock;
use throughline_proto::throttle::{Distinct, LogThrottle};
use throughline_proto::types::{LaneId, PeerId, PeerName, SessionId, Target};

/// How far a follower may fall behind: a quarter of what is kept.
const MAX_BEHIND: usize = 256;

/// Unknown keys reported in a minute, each once. A key is made in microseconds, so that a flood
/// shows a new one with every dial: at this rate it needs an hour to push everything else out of
/// the ring.
const MAX_UNKNOWN_PEERS_PER_MINUTE: usize = 16;

/// Something that happened, to what, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// Its number, from 0 on; none is left out.
    pub seq: u64,
    /// When it happened, by the wall clock.
    pub at: SystemTime,
    /// The peer concerned, by its name in the configuration.
    pub peer: Option<PeerName>,
    /// The session concerned.
    pub session: Option<SessionId>,
    /// The lane concerned.
    pub lane: Option<LaneId>,
    /// The uplink at our end, where it is known.
    pub uplink: Option<String>,
    /// What happened.
    pub kind: EventKind,
}

/// The past and the future of a node, from [`Node::events`](crate::Node::events).
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), throughline::BuildError> {
/// use throughline::{EventKind, Followed, Node};
///
/// let node = Node::builder().build().await?;
/// let mut events = node.events();
/// for event in &events.recent {
///     println!("{} {}", event.kind.name(), event.kind);
/// }
/// tokio::spawn(async move {
///     while let Some(followed) = events.live.next().await {
///         match followed {
///             Followed::Event(event) => match &event.kind {
///                 EventKind::LaneDown { reason, .. } => println!("a lane is down: {reason}"),
///                 other => println!("{other}"),
///             },
///             Followed::Missed(count) => println!("{count} events were missed"),
///         }
///     }
/// });
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Events {
    /// The last events, oldest first, at most [`MAX_RECENT`](Self::MAX_RECENT).
    pub recent: Vec<Arc<Event>>,
    /// Whatever follows them, without a gap.
    pub live: EventStream,
}

impl Events {
    /// Past events that a node keeps.
    pub const MAX_RECENT: usize = 1000;
}

/// Follows the events of a node. Dropping it ends that, and nothing else; it does not keep the node
/// alive.
#[derive(Debug)]
pub struct EventStream(broadcast::Receiver<Arc<Event>>);

/// What a follower of events receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// An event.
    Event(Arc<Event>),
    /// The follower was slow, and so many events passed it by.
    Missed(u64),
}

impl EventStream {
    /// Waits for the next event; `None` when the node is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<Followed> {
        match self.0.recv().await {
            Ok(event) => Some(Followed::Event(event)),
            Err(RecvError::Lagged(missed)) => Some(Followed::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// What an event concerns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    pub(crate) peer: Option<PeerName>,
    pub(crate) session: Option<SessionId>,
    pub(crate) lane: Option<LaneId>,
    pub(crate) uplink: Option<String>,
}

/// Where a node's events are emitted. Clones have the same followers.
#[derive(Clone, Debug)]
pub(crate) struct EventLog(Arc<Mutex<Ring>>);

#[derive(Debug)]
struct Ring {
    recent: VecDeque<Arc<Event>>,
    next_seq: u64,
    followers: broadcast::Sender<Arc<Event>>,
    /// What each peer may still cause; `None` is this host itself. There are as many as configured.
    quotas: HashMap<Option<PeerName>, Quota>,
    unknown_peers: LogThrottle<PeerId>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Ring {
            recent: VecDeque::new(),
            next_seq: 0,
            followers: broadcast::Sender::new(MAX_BEHIND),
            quotas: HashMap::new(),
            unknown_peers: LogThrottle::new(MAX_UNKNOWN_PEERS_PER_MINUTE, Duration::from_secs(60)),
        })))
    }
}

impl EventLog {
    /// Logs the event, keeps it, and sends it to the followers, unless its peer causes too many.
    pub(crate) fn emit(&self, about: Subject, kind: EventKind) {
        let verdict = match &about.peer {
            Some(_) => self.0.lock().quota(&about).judge(Instant::now(), kind.level()),
            None => Verdict::Emit,
        };
        match verdict {
            Verdict::Emit => self.emit_admitted(about, kind),
            Verdict::Suppress => {}
            Verdict::Notice(count) => {
                let about = Subject { peer: about.peer, ..Subject::default() };
                self.emit_admitted(about, EventKind::EventsSuppressed { count });
            }
        }
    }

    fn emit_admitted(&self, about: Subject, kind: EventKind) {
        about.log(&kind);
        self.0.lock().push(about, kind);
    }

    /// Returns whether a line about this peer that is no event may be logged; it has so many a minute.
    pub(crate) fn admits_line(&self, peer: &PeerName) -> bool {
        let about = Subject { peer: Some(peer.clone()), ..Subject::default() };
        self.0.lock().quota(&about).admits_line(Instant::now())
    }

    /// Emits an event of an uplink.
    pub(crate) fn emit_uplink(&self, name: &str, kind: EventKind) {
        self.emit(Subject { uplink: Some(name.to_owned()), ..Subject::default() }, kind);
    }

    /// Emits that a flow to `target` was refused, unless that happens too often.
    pub(crate) fn emit_flow_refused(&self, about: Subject, target: &Target, reason: &str) {
        let admitted = self.0.lock().quota(&about).refused_flows.admit(Instant::now(), Distinct);
        let Some(suppressed) = admitted else { return };
        let (target, reason) = (target.to_string(), target.strip_from(reason).to_owned());
        self.emit_admitted(about, EventKind::FlowRefused { target, reason, suppressed });
    }

    /// Emits that a host with an unknown key dialed us from `remote`, unless that was reported of
    /// late.
    pub(crate) fn emit_unknown_peer(&self, key: PeerId, remote: SocketAddr) {
        let admitted = self.0.lock().unknown_peers.admit(Instant::now(), key);
        let Some(suppressed) = admitted else { return };
        self.emit(Subject::default(), EventKind::UnknownPeerRejected { key, remote, suppressed });
    }

    /// Returns the events that are kept, and a stream of those that follow.
    pub(crate) fn follow(&self) -> Events {
        let ring = self.0.lock();
        Events {
            recent: ring.recent.iter().cloned().collect(),
            live: EventStream(ring.followers.subscribe()),
        }
    }
}

impl Ring {
    fn quota(&mut self, about: &Subject) -> &mut Quota {
        self.quotas.entry(about.peer.clone()).or_default()
    }

    fn push(&mut self, about: Subject, kind: EventKind) {
        let Subject { peer, session, lane, uplink } = about;
        let (seq, at) = (self.next_seq, clock::wall());
        let event = Arc::new(Event { seq, at, peer, session, lane, uplink, kind });
        self.next_seq += 1;
        if self.recent.len() == Events::MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(event.clone());
        // Fails only where nobody follows.
        let _ = self.followers.send(event);
    }
}

impl Subject {
    /// Logs an event. Its text has the values of its fields; names and ids are fields of the line.
    fn log(&self, kind: &EventKind) {
        let Self { peer, session, lane, uplink } = self;
        let (peer, session) = (peer.as_ref().map(display), session.as_ref().map(display));
        let (lane, uplink, event) = (lane.as_ref().map(display), uplink.as_deref(), kind.name());
        macro_rules! log_at {
            ($($level:ident),*) => {
                match kind.level() {
                    $(tracing::Level::$level => {
                        tracing::event!(tracing::Level::$level, event, peer, session, lane, uplink, "{kind}");
                    })*
                }
            };
        }
        log_at!(ERROR, WARN, INFO, DEBUG, TRACE);
    }
}

#[cfg(test)]
mod tests;
