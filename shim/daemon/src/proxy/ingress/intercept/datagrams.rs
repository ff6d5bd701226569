//! Intercepted datagrams: each client's to each destination are a flow, and are answered from that destination's address.
//!
//! A socket is bound to a destination's address for as long as there are flows to it, and no longer: there are as many as
//! flows at the most, and each takes a descriptor of those for connections.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tracing::{info, warn};

use super::destination::{FORGOTTEN, canonical};
use super::listener::bind_answers;
use crate::proxy::connections::Place;
use crate::proxy::ingress::datagrams::{
    AnswerSocket, Beginning, Flows, HandedFlow, MAX_OF_ADDRESS, Shared, log_full, read_all,
};
use crate::proxy::ingress::dispatcher::Dispatcher;
use crate::proxy::ingress::kind::LiveIngress;
use crate::proxy::names::is_stand_in;
use crate::proxy::names::pool::InUse;
use crate::proxy::parked::DatagramsOrigin;
use crate::proxy::tasks::Tasks;
use crate::proxy::udp::Received;
use throughline::{Host, Target};

/// Sockets of destinations whose flows are over are forgotten when there are so many, and then when there are twice as
/// many as were left: what each costs does not grow with their number.
const SWEEP_AFTER: usize = 1024;

/// Serves a socket until the ingress is closed or the tasks are draining.
pub async fn serve_udp(
    socket: Arc<UdpSocket>,
    ingress: LiveIngress,
    dispatcher: Arc<Dispatcher>,
    tasks: Tasks,
    handed: Vec<HandedFlow>,
) {
    let (shared, _guard) = Shared::of(socket, ingress, dispatcher, tasks);
    let flows = Flows::new(shared.clone());
    let serving = Serving { flows, answers: Answers::default(), shared };
    handed.into_iter().for_each(|flow| serving.go_on(flow));
    // The kernel says where it was to go of all that is intercepted.
    let of_flow =
        |Received { datagram, from, to }| Some(((canonical(from), canonical(to?)), datagram));
    read_all(&serving.shared, of_flow, |of, datagrams| {
        serving.flows.pass_many(of, datagrams, || serving.begin(of.0, of.1));
    })
    .await;
}

struct Serving {
    shared: Shared,
    /// By client and destination.
    flows: Flows<(SocketAddr, SocketAddr)>,
    answers: Answers,
}

impl Serving {
    /// Returns how the flow of a client to a destination begins, if there is room for it.
    fn begin(&self, from: SocketAddr, to: SocketAddr) -> Option<Beginning> {
        let (ingress, connections) =
            (self.shared.ingress.name(), self.shared.dispatcher.connections());
        let place = self.shared.ingress.served().try_enter(connections.limits().per_ingress);
        let of_address = || self.flows.count(|(client, _)| client.ip() == from.ip());
        let Some(place) = place.filter(|_| of_address() < MAX_OF_ADDRESS) else {
            log_full(&self.shared.refusals, &ingress, from);
            return None;
        };
        let known = self.shared.dispatcher.names().of(to.ip());
        let (name, in_use) = known.unzip();
        if let (None, true) = (&name, is_stand_in(to.ip())) {
            if let Some(suppressed) = self.shared.refusals.admit() {
                info!(%ingress, %from, %to, suppressed, "datagrams dropped: {FORGOTTEN}");
            }
            return None;
        }
        let answers_by = self.answers.of(to, || self.bind(&ingress, to, in_use))?;
        let target = target_of(to, name.as_deref());
        Some(beginning(ingress, (from, to), target, answers_by, Some(place)))
    }

    /// Goes on with a flow that another process has begun.
    fn go_on(&self, HandedFlow { out, target, origin }: HandedFlow) {
        let DatagramsOrigin::Intercepted { client, to, answers, .. } = origin else { return };
        // The name that the address stands for is kept from now on, and where it is not known any more the flow still
        // leads there.
        let (name, in_use) = self.shared.dispatcher.names().of(to.ip()).unzip();
        let descriptor = self.shared.dispatcher.connections().descriptors.try_acquire();
        let inherit =
            || Some(AnswerSocket { socket: answers, _descriptor: descriptor, _name: in_use });
        let Some(answers_by) = self.answers.of(to, inherit) else { return };
        let target = target.unwrap_or_else(|| target_of(to, name.as_deref()));
        let place = self.shared.ingress.served().try_enter(usize::MAX);
        let beginning =
            beginning(self.shared.ingress.name(), (client, to), target, answers_by, place);
        self.flows.go_on(&(client, to), beginning, out);
    }

    /// Returns a socket at a destination's address.
    fn bind(&self, ingress: &str, to: SocketAddr, name: Option<InUse>) -> Option<AnswerSocket> {
        let descriptor = self.shared.dispatcher.connections().descriptors.try_acquire()?;
        match bind_answers(to) {
            Ok(socket) => {
                let (socket, descriptor) = (Arc::new(socket), Some(descriptor));
                Some(AnswerSocket { socket, _descriptor: descriptor, _name: name })
            }
            Err(error) => {
                if let Some(suppressed) = self.shared.refusals.admit() {
                    warn!(
                        ingress, %to, %error, suppressed,
                        "datagrams dropped, as nothing could come back: does a program of this host have that port at \
                         every address?"
                    );
                }
                None
            }
        }
    }
}

/// Returns where datagrams to an address go, which may stand for a name.
fn target_of(to: SocketAddr, name: Option<&str>) -> Target {
    let host = name.map_or(Host::Ip(to.ip()), |name| Host::Name(name.to_owned()));
    Target::Udp { host, port: to.port() }
}

fn beginning(
    ingress: Arc<str>,
    (client, to): (SocketAddr, SocketAddr),
    target: Target,
    answers_by: Arc<AnswerSocket>,
    place: Option<Place>,
) -> Beginning {
    let answers = Arc::clone(&answers_by.socket);
    let origin =
        DatagramsOrigin::Intercepted { ingress: Arc::clone(&ingress), client, to, answers };
    Beginning { ingress, target, origin, client, header: Bytes::new(), answers_by, place }
}

/// The sockets that are bound to destinations. The lock is a leaf.
#[derive(Default)]
struct Answers(Mutex<Sockets>);

#[derive(Default)]
struct Sockets {
    by_destination: HashMap<SocketAddr, Weak<AnswerSocket>>,
    /// How many were left at the last sweep.
    left: usize,
}

impl Answers {
    /// Returns the socket of a destination, which `bind` binds where there is none.
    fn of(
        &self,
        to: SocketAddr,
        bind: impl FnOnce() -> Option<AnswerSocket>,
    ) -> Option<Arc<AnswerSocket>> {
        let Sockets { by_destination, left } = &mut *self.0.lock();
        if let Some(socket) = by_destination.get(&to).and_then(Weak::upgrade) {
            return Some(socket);
        }
        if by_destination.len() >= SWEEP_AFTER.max(2 * *left) {
            by_destination.retain(|_, socket| socket.strong_count() > 0);
            *left = by_destination.len();
        }
        let socket = Arc::new(bind()?);
        by_destination.insert(to, Arc::downgrade(&socket));
        Some(socket)
    }
}
