//! The qlog of lanes, for whoever asks: what quinn logs of each packet and of its recovery.
//!
//! ```text
//!             quinn, with a connection's lock held              whoever asks
//!  lane ──▶ writer ──▶ trace ──▶ queue (bounded, by connection) ──▶ QlogReader
//!                        │ nobody knows yet whose lane it is: held
//! ```
//!
//! quinn is given a writer when a connection is made, never later, and never takes it away. So a lane that is
//! there when somebody asks is replaced by one that has a writer, and when nobody reads any more by one that has
//! none: `dial::outdated` says how with [outdated](Qlogs::outdates) lanes.
//! Where nobody asks a connection has no writer, and nothing is done for it.
//!
//! A writer never waits and never fails: quinn would log each error. What does not fit into the queue is dropped,
//! and the reader told how much. An acceptor learns only with `Hello` who has dialed: until then the trace is held
//! in memory, and nobody sees those of connections that become no lane.

mod part;
mod queue;
mod trace;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::RwLock;

pub use self::part::{QlogLane, QlogPart};
pub(crate) use self::queue::Queue;
pub(crate) use self::trace::Trace;
use throughline_proto::types::{LaneId, PeerId, SessionId};

/// Whose qlog is read on a node. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Qlogs(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// The lock is taken with a trace's held, and before a queue's.
    requests: RwLock<Vec<Request>>,
    /// Whether there are any: all that a connection costs while there are none.
    any: AtomicBool,
    /// Whether there ever were: all that a look at the lanes costs until then.
    ever: AtomicBool,
    connections: AtomicU64,
}

/// The qlog of some lanes, which somebody reads.
struct Request {
    peer: PeerId,
    /// Only of lanes over this uplink.
    uplink: Option<String>,
    queue: Arc<Queue>,
}

impl Request {
    fn is_of(&self, peer: PeerId, uplink: Option<&str>) -> bool {
        self.peer == peer && self.uplink.as_deref().is_none_or(|wanted| uplink == Some(wanted))
    }
}

impl Qlogs {
    /// Begins to log the lanes of a peer; `None` where somebody reads that already.
    pub(crate) fn begin(&self, peer: PeerId, uplink: Option<String>) -> Option<Arc<Queue>> {
        let mut requests = self.0.requests.write();
        if requests.iter().any(|request| request.peer == peer) {
            return None;
        }
        let queue = Arc::<Queue>::default();
        requests.push(Request { peer, uplink, queue: queue.clone() });
        self.0.ever.store(true, Ordering::Release);
        self.0.any.store(true, Ordering::Release);
        Some(queue)
    }

    /// Ends what [`begin`](Self::begin) began.
    pub(crate) fn end(&self, queue: &Arc<Queue>) {
        queue.close();
        let mut requests = self.0.requests.write();
        requests.retain(|request| !Arc::ptr_eq(&request.queue, queue));
        self.0.any.store(!requests.is_empty(), Ordering::Release);
    }

    /// Returns the trace of a connection that is about to be dialed.
    pub(crate) fn of_dial(
        &self,
        peer: PeerId,
        lane: (SessionId, LaneId),
        uplink: &str,
        (local, remote): (SocketAddr, SocketAddr),
    ) -> Trace {
        let Some(queue) = self.queue_of(peer, Some(uplink)) else { return Trace::none() };
        let (connection, uplink) = (self.next_connection(), Some(uplink.to_owned()));
        let began = now();
        let about =
            QlogLane { connection, lane, uplink, local, remote, dialed: true, began, is_up: false };
        queue.open(about);
        Trace::read(connection, began, queue)
    }

    /// Returns the trace of a connection that is about to be accepted.
    pub(crate) fn of_accepted(&self) -> Trace {
        if !self.is_any() {
            return Trace::none();
        }
        Trace::held(self.next_connection(), now())
    }

    /// Says that a connection has become a lane: from now on whoever asked reads it.
    pub(crate) fn attached(
        &self,
        trace: &Trace,
        peer: PeerId,
        lane: (SessionId, LaneId),
        uplink: Option<&str>,
        ends: (SocketAddr, SocketAddr),
    ) {
        trace.attach(lane, uplink, ends, || self.queue_of(peer, uplink));
    }

    /// Returns whether a lane is to be replaced: its qlog is wanted and quinn does not write it, or quinn writes it and
    /// nobody wants any.
    pub(crate) fn outdates(&self, trace: &Trace, peer: PeerId, uplink: Option<&str>) -> bool {
        if !self.0.ever.load(Ordering::Acquire) {
            return false;
        }
        match self.queue_of(peer, uplink) {
            Some(queue) => !trace.is_read_by(&queue),
            // While anybody asks the next connection that is accepted has a writer, too.
            None => trace.is_some() && !self.is_any(),
        }
    }

    fn queue_of(&self, peer: PeerId, uplink: Option<&str>) -> Option<Arc<Queue>> {
        if !self.is_any() {
            return None;
        }
        let requests = self.0.requests.read();
        requests.iter().find(|r| r.is_of(peer, uplink)).map(|r| r.queue.clone())
    }

    fn next_connection(&self) -> u64 {
        self.0.connections.fetch_add(1, Ordering::Relaxed)
    }

    fn is_any(&self) -> bool {
        self.0.any.load(Ordering::Acquire)
    }
}

fn now() -> SystemTime {
    #[expect(
        clippy::disallowed_methods,
        reason = "a log bears the time of the wall clock, for people"
    )]
    SystemTime::now()
}

#[cfg(test)]
mod tests;
