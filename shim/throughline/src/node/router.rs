//! Brings the flows that peers open to whoever serves their target.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::incoming::IncomingFlow;
use crate::engine::session::{IncomingFlows, SessionHandle};
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
}

impl Router {
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

impl IncomingFlows for Router {
    /// Hands a new flow to whoever serves its target, or refuses it.
    fn flow_opened(&self, session: &SessionHandle, id: FlowId) {
        let target = session.with(|core, _| core.session.flow(id).map(|f| f.target().clone()));
        let Some(target) = target else { return };
        let sender = {
            let routes = self.0.lock();
            match &target {
                _ if routes.closed => None,
                Target::Tcp { .. } => routes.egress.clone(),
                Target::Service(name) => routes.services.get(name).cloned(),
            }
        };
        let flow = IncomingFlow::new(session.clone(), id, target);
        let Some(sender) = sender else {
            let detail = match flow.target() {
                Target::Tcp { .. } => "this peer runs no egress".to_owned(),
                Target::Service(name) => format!("nobody serves {name} at this peer"),
            };
            flow.refuse(OpenFailure::new(FailureCode::NoService, detail));
            return;
        };
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
