//! The datagram flows of one socket of applications, by what tells them apart: a client, or a destination.
//!
//! The first datagram of a key opens a flow, and waits for it with those that follow. What comes back goes to the
//! client. A flow that is over is forgotten, and the next datagram opens another one; where the destination was
//! refused, only after a second, so that a client that goes on sending does not open flow after flow.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::yield_now;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info};

use super::outbound::{DatagramOutbound, Over};
use crate::proxy::connections::Place;
use crate::proxy::freezer::Parking;
use crate::proxy::ingress::dispatcher::Dispatcher;
use crate::proxy::ingress::kind::LiveIngress;
use crate::proxy::names::pool::InUse;
use crate::proxy::parked::{DatagramsOrigin, ParkedTask};
use crate::proxy::refusals::RefusalLog;
use crate::proxy::tasks::Tasks;
use crate::proxy::udp;
use throughline::{Datagram, Target};

/// Datagrams that wait for their flow to be opened, 32 KiB of a flow; the next are dropped.
const MAX_WAITING: usize = 16;
const MAX_WAITING_LEN: usize = 2048;

/// Longer ones that wait so in all flows, 32 MiB; the next are dropped.
const MAX_WAITING_LONG: usize = 512;

/// A datagram that waits, and its place if it is a long one.
type Waiting = (Datagram, Option<Place>);

/// How long what was refused is not tried again.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// What the flows of a socket share.
#[derive(Clone)]
pub(in crate::proxy::ingress) struct Shared {
    pub(in crate::proxy::ingress) socket: Arc<UdpSocket>,
    pub(in crate::proxy::ingress) ingress: LiveIngress,
    pub(in crate::proxy::ingress) dispatcher: Arc<Dispatcher>,
    pub(in crate::proxy::ingress) tasks: Tasks,
    pub(in crate::proxy::ingress) refusals: Arc<RefusalLog>,
    /// Ends the flows.
    pub(in crate::proxy::ingress) stop: CancellationToken,
}

/// How a flow begins.
pub(in crate::proxy::ingress) struct Beginning {
    pub(in crate::proxy::ingress) ingress: Arc<str>,
    pub(in crate::proxy::ingress) target: Target,
    /// Whose datagrams they are, for a process that goes on with them.
    pub(in crate::proxy::ingress) origin: DatagramsOrigin,
    /// Where what comes back goes, and what precedes each datagram.
    pub(in crate::proxy::ingress) client: SocketAddr,
    pub(in crate::proxy::ingress) header: Bytes,
    /// By which socket what comes back goes.
    pub(in crate::proxy::ingress) answers_by: Arc<AnswerSocket>,
    /// What the flow takes while it lives.
    pub(in crate::proxy::ingress) place: Option<Place>,
}

/// A socket by which clients are answered.
pub(in crate::proxy::ingress) struct AnswerSocket {
    pub(in crate::proxy::ingress) socket: Arc<UdpSocket>,
    /// Its descriptor's place, where it is not the one that is read.
    pub(in crate::proxy::ingress) _descriptor: Option<OwnedSemaphorePermit>,
    /// Keeps the name that its address stands for, if it does.
    pub(in crate::proxy::ingress) _name: Option<InUse>,
}

impl Shared {
    /// Creates what the flows of a socket share, and what ends them when it is dropped.
    pub(in crate::proxy::ingress) fn of(
        socket: Arc<UdpSocket>,
        ingress: LiveIngress,
        dispatcher: Arc<Dispatcher>,
        tasks: Tasks,
    ) -> (Self, DropGuard) {
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        (Self { socket, ingress, dispatcher, tasks, refusals: Arc::default(), stop }, guard)
    }

    /// Returns the socket that is read, to answer by it.
    pub(in crate::proxy::ingress) fn answers_by(&self) -> Arc<AnswerSocket> {
        Arc::new(AnswerSocket { socket: Arc::clone(&self.socket), _descriptor: None, _name: None })
    }
}

/// The flows by key. The lock is a leaf.
pub(in crate::proxy::ingress) struct Flows<K> {
    shared: Shared,
    flows: Arc<Mutex<HashMap<K, Arc<Flow>>>>,
}

struct Flow {
    /// Set when the flow is open.
    out: OnceLock<DatagramOutbound>,
    waiting: mpsc::Sender<Waiting>,
}

impl Flow {
    /// Creates one that takes nothing.
    fn closed() -> Self {
        Self { out: OnceLock::new(), waiting: mpsc::channel(1).0 }
    }
}

impl<K: Hash + Eq + Clone + Send + 'static> Flows<K> {
    pub(in crate::proxy::ingress) fn new(shared: Shared) -> Self {
        Self { shared, flows: Arc::default() }
    }

    /// Returns how many flows of these keys there are.
    pub(in crate::proxy::ingress) fn count(&self, which: impl Fn(&K) -> bool) -> usize {
        self.flows.lock().keys().filter(|key| which(key)).count()
    }

    /// Passes a datagram on. Where its flow is a new one, `begin` says how that begins, or that there is none.
    pub(in crate::proxy::ingress) fn pass(
        &self,
        key: &K,
        datagram: Datagram,
        begin: impl FnOnce() -> Option<Beginning>,
    ) {
        self.pass_many(key, &mut vec![datagram], begin);
    }

    /// Passes datagrams of one flow on, as [`pass`](Self::pass) does each, and leaves the list empty.
    pub(in crate::proxy::ingress) fn pass_many(
        &self,
        key: &K,
        datagrams: &mut Vec<Datagram>,
        begin: impl FnOnce() -> Option<Beginning>,
    ) {
        let known = self.flows.lock().get(key).cloned();
        let flow = match known {
            Some(flow) => flow,
            None => match begin().and_then(|beginning| self.begin(key, beginning)) {
                Some(flow) => flow,
                None => return datagrams.clear(),
            },
        };
        match flow.out.get() {
            Some(out) => out.send_many(datagrams),
            None => datagrams.drain(..).for_each(|datagram| self.have_wait(&flow, datagram)),
        }
    }

    fn have_wait(&self, flow: &Flow, datagram: Datagram) {
        let place = match datagram.payload.len() > MAX_WAITING_LEN {
            true => match self
                .shared
                .dispatcher
                .connections()
                .long_datagrams
                .try_enter(MAX_WAITING_LONG)
            {
                Some(place) => Some(place),
                None => return,
            },
            false => None,
        };
        let _ = flow.waiting.try_send((datagram, place));
    }

    fn begin(&self, key: &K, beginning: Beginning) -> Option<Arc<Flow>> {
        let connections = self.shared.dispatcher.connections();
        let limit = connections.limits().datagram_flows;
        let Some(place) = connections.datagram_flows.try_enter(limit) else {
            log_full(&self.shared.refusals, &beginning.ingress, &beginning.target);
            return None;
        };
        Some(self.spawn(key, beginning, OnceLock::new(), place))
    }

    /// Goes on with a flow that another process has begun.
    pub(in crate::proxy::ingress) fn go_on(
        &self,
        key: &K,
        beginning: Beginning,
        out: DatagramOutbound,
    ) {
        let flows = &self.shared.dispatcher.connections().datagram_flows;
        if let Some(place) = flows.try_enter(usize::MAX) {
            self.spawn(key, beginning, OnceLock::from(out), place);
        }
    }

    fn spawn(
        &self,
        key: &K,
        beginning: Beginning,
        out: OnceLock<DatagramOutbound>,
        place: Place,
    ) -> Arc<Flow> {
        let (waiting, waits) = mpsc::channel(MAX_WAITING);
        let flow = Arc::new(Flow { out, waiting });
        self.flows.lock().insert(key.clone(), flow.clone());
        let (shared, flows, key) = (self.shared.clone(), Arc::clone(&self.flows), key.clone());
        let (served, tasks) = (flow.clone(), shared.tasks.clone());
        tasks.spawn(async move {
            let over = tokio::select! {
                over = serve(&shared, &served, beginning, waits) => over,
                () = shared.stop.cancelled() => None,
                () = shared.tasks.draining() => None,
            };
            drop(served);
            if let Some(Over::Refused(_)) = over {
                // The flow is over at once. What the client sends meanwhile is dropped by one that never opens.
                flows.lock().insert(key.clone(), Arc::new(Flow::closed()));
                tokio::select! {
                    () = sleep(REFUSED_FOR) => {}
                    () = shared.stop.cancelled() => {}
                    () = shared.tasks.draining() => {}
                }
            }
            flows.lock().remove(&key);
            drop(place);
        });
        flow
    }
}

/// Opens a flow and takes what comes back; returns why it is over.
async fn serve(
    shared: &Shared,
    flow: &Flow,
    beginning: Beginning,
    mut waiting: mpsc::Receiver<Waiting>,
) -> Option<Over> {
    let Beginning { ingress, target, origin, client, header, answers_by, place: _place } =
        beginning;
    debug!(%ingress, from = %client, %target, "datagram flow begins");
    let out = match flow.out.get() {
        Some(out) => out,
        None => {
            let opening = shared.dispatcher.open_datagrams(&ingress, target.clone());
            match Box::pin(opening).await {
                Ok(out) => flow.out.get_or_init(|| out),
                Err(error) => {
                    log_refusal(&shared.refusals, &ingress, &target, &error.to_string());
                    return Some(Over::Refused(error.to_string()));
                }
            }
        }
    };
    let place = shared.dispatcher.connections().freezer.enter().await;
    let mut parking = Parking::new(&place);
    let standing =
        || ParkedTask::Datagrams(out.standing(), origin.clone().renamed(shared.ingress.name()));
    let mut answers = Vec::new();
    let over = loop {
        tokio::select! {
            biased;
            // Nothing more of the client comes while it is parked; what comes back still goes to it.
            () = parking.changed(standing) => {}
            Some((datagram, _)) = waiting.recv() => out.send(datagram),
            received = out.recv_many(&mut answers) => {
                let is_full = answers.len() >= udp::AT_ONCE;
                // A client that is gone does not hear them.
                let _ = udp::send_many(&answers_by.socket, Some(client), &header, &mut answers).await;
                if let Err(over) = received {
                    break over;
                }
                if is_full {
                    // A flow that always has something keeps no other task of this thread waiting.
                    yield_now().await;
                }
            }
        }
    };
    match &over {
        Over::Refused(reason) => {
            shared.dispatcher.report_refused(&target, reason);
            log_refusal(&shared.refusals, &ingress, &target, reason);
        }
        Over::Ended(reason) => debug!(%ingress, %target, "datagram flow ended: {reason}"),
    }
    Some(over)
}

fn log_full(refusals: &RefusalLog, ingress: &str, target: &Target) {
    if let Some(suppressed) = refusals.admit() {
        info!(%ingress, %target, suppressed, "datagrams dropped: too many datagram flows are open");
    }
}

fn log_refusal(refusals: &RefusalLog, ingress: &str, target: &Target, error: &str) {
    if let Some(suppressed) = refusals.admit() {
        let error = target.strip_from(error);
        info!(%ingress, %target, suppressed, "datagrams dropped: {error}");
    }
}
