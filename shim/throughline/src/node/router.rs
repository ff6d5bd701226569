//! Brings the flows that peers open to whoever serves their target.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::incoming::{IncomingFlow, refuse};
use crate::engine::session::{IncomingFlows, SessionHandle};
use crate::stream::KeepAlive;
use throughline_proto::types::{FailureCode, FlowId, OpenFailure, Target};

/// Flows that may wait to be accepted by one listener, as many as a session may have by default; the
/// next one is refused.
const BACKLOG: usize = 1024;

/// Who serves what. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Router(Arc<Mutex<Routes>>);

#[derive(Default)]
struct Routes {
    services: HashMap<String, mpsc::Sender<IncomingFlow>>,
    egress: Option<mpsc::Sender<IncomingFlow>>,
    closed: bool,
    /// The node, which those who are handed a flow keep alive.
    node: Option<Weak<dyn Any + Send + Sync>>,
}

impl Router {
    /// Tells whose flows these are, before anything is served.
    pub(super) fn set_node(&self, node: Weak<dyn Any + Send + Sync>) {
        self.0.lock().node = Some(node);
    }

    /// Serves the service `name`, if nobody does.
    pub(crate) fn serve(&self, name: &str) -> Option<mpsc::Receiver<IncomingFlow>> {
        let mut routes = self.0.lock();
        if routes.services.get(name).is_some_and(|s| !s.is_closed()) {
            return None;
        }
        let (send, receive) = mpsc::channel(BACKLOG);
        routes.services.insert(name.to_owned(), send);
        Some(receive)
    }

    /// Serves TCP targets, if nobody does.
    pub(crate) fn serve_tcp(&self) -> Option<mpsc::Receiver<IncomingFlow>> {
        let mut routes = self.0.lock();
        if routes.egress.as_ref().is_some_and(|s| !s.is_closed()) {
            return None;
        }
        let (send, receive) = mpsc::channel(BACKLOG);
        routes.egress = Some(send);
        Some(receive)
    }

    /// Nobody is served any more.
    pub(crate) fn close(&self) {
        let mut routes = self.0.lock();
        routes.closed = true;
        routes.services.clear();
        routes.egress = None;
    }
}

impl Routes {
    /// Returns who serves the target, and what keeps the node alive meanwhile.
    fn listener(&self, target: &Target) -> Option<(mpsc::Sender<IncomingFlow>, KeepAlive)> {
        let listener = match target {
            _ if self.closed => None,
            Target::Tcp { .. } => self.egress.clone(),
            Target::Service(name) => self.services.get(name).cloned(),
        };
        Some((listener?, self.node.as_ref()?.upgrade()?))
    }
}

impl IncomingFlows for Router {
    /// Hands a new flow to whoever serves its target, or refuses it.
    fn flow_opened(&self, session: &SessionHandle, id: FlowId) {
        let asked =
            session.with(|core, _| core.session.flow(id).map(|f| (f.target().clone(), f.mode())));
        let Some((target, mode)) = asked else { return };
        let Some((sender, node)) = self.0.lock().listener(&target) else {
            let detail = match &target {
                Target::Tcp { .. } => "this peer runs no egress".to_owned(),
                Target::Service(name) => format!("nobody serves {name} at this peer"),
            };
            return refuse(session, id, &target, OpenFailure::new(FailureCode::NoService, detail));
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
