//! Brings the flows that peers open to whoever serves their target.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::incoming::{IncomingFlow, refuse};
use crate::engine::session::{IncomingFlows, SessionHandle};
use crate::stream::KeepAlive;
use throughline_proto::types::{FailureCode, FlowId, OpenFailure, Target};

/// Who serves what. Clones share it.
#[derive(Clone)]
pub(crate) struct Router(Arc<Mutex<Routes>>);

#[derive(Default)]
struct Routes {
    /// Flows that may wait to be accepted by one listener; the next one is refused.
    backlog: usize,
    listeners: HashMap<Served, mpsc::Sender<IncomingFlow>>,
    closed: bool,
    /// The node, which those who are handed a flow keep alive.
    node: Option<Weak<dyn Any + Send + Sync>>,
}

/// What one listener serves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Served {
    /// TCP targets.
    Tcp,
    /// UDP targets.
    Udp,
    /// A service of this name.
    Service(String),
    /// A service of this name, of datagrams.
    DatagramService(String),
}

impl Served {
    /// Returns what serves flows to a target.
    fn of(target: &Target) -> Self {
        match target {
            Target::Tcp { .. } => Self::Tcp,
            Target::Udp { .. } => Self::Udp,
            Target::Service(name) => Self::Service(name.clone()),
            Target::DatagramService(name) => Self::DatagramService(name.clone()),
        }
    }

    /// Returns what is said where nobody serves it.
    fn missing(&self) -> String {
        match self {
            Self::Tcp => "this peer runs no egress".to_owned(),
            Self::Udp => "this peer runs no egress for UDP".to_owned(),
            Self::Service(name) => format!("nobody serves {name} at this peer"),
            Self::DatagramService(name) => {
                format!("nobody serves {name} of datagrams at this peer")
            }
        }
    }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("TCP targets"),
            Self::Udp => f.write_str("UDP targets"),
            Self::Service(name) => write!(f, "service `{name}`"),
            Self::DatagramService(name) => write!(f, "datagram service `{name}`"),
        }
    }
}

impl Router {
    /// Begins with nobody who serves anything.
    pub(super) fn new(backlog: usize) -> Self {
        Self(Arc::new(Mutex::new(Routes { backlog: backlog.max(1), ..Routes::default() })))
    }

    /// Tells whose flows these are, before anything is served.
    pub(super) fn set_node(&self, node: Weak<dyn Any + Send + Sync>) {
        self.0.lock().node = Some(node);
    }

    /// Serves something, if nobody does.
    pub(crate) fn serve(&self, served: Served) -> Option<mpsc::Receiver<IncomingFlow>> {
        let mut routes = self.0.lock();
        if routes.listeners.get(&served).is_some_and(|s| !s.is_closed()) {
            return None;
        }
        let (send, receive) = mpsc::channel(routes.backlog);
        routes.listeners.insert(served, send);
        Some(receive)
    }

    /// Bounds the flows that may wait to be accepted by each listener to come.
    pub(super) fn set_backlog(&self, backlog: usize) {
        self.0.lock().backlog = backlog.max(1);
    }

    /// Nobody is served any more.
    pub(crate) fn close(&self) {
        let mut routes = self.0.lock();
        routes.closed = true;
        routes.listeners.clear();
    }
}

impl Routes {
    /// Returns who serves something, and what keeps the node alive meanwhile.
    fn listener(&self, served: &Served) -> Option<(mpsc::Sender<IncomingFlow>, KeepAlive)> {
        let listener = self.listeners.get(served).filter(|_| !self.closed).cloned();
        Some((listener?, self.node.as_ref()?.upgrade()?))
    }
}

impl IncomingFlows for Router {
    /// Hands a new flow to whoever serves its target, or refuses it.
    fn flow_opened(&self, session: &SessionHandle, id: FlowId) {
        let asked =
            session.with(|core, _| core.session.flow(id).map(|f| (f.target().clone(), f.mode())));
        let Some((target, mode)) = asked else { return };
        let served = Served::of(&target);
        let Some((sender, node)) = self.0.lock().listener(&served) else {
            let failure = OpenFailure::new(FailureCode::NoService, served.missing());
            return refuse(session, id, &target, failure);
        };
        let flow = IncomingFlow::new(session.clone(), node, id, target, mode);
        if let Err(error) = sender.try_send(flow) {
            let (flow, code, detail) = match error {
                mpsc::error::TrySendError::Full(flow) => {
                    (flow, FailureCode::LimitReached, "too many flows wait to be accepted")
                }
                mpsc::error::TrySendError::Closed(flow) => {
                    (flow, FailureCode::NoService, "the service has ended")
                }
            };
            flow.refuse(OpenFailure::new(code, detail));
        }
    }
}
