//! The ingresses of a daemon: bound first, served later, and replaced one by one at a reload.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::net::TcpStream;
use tracing::{debug, info};

use super::entrance::{Entered, Entrance};
use super::error::StartError;
use crate::config::Ingress;
use crate::handover::{Socket, TakeOver};
use crate::proxy::connections::{Connections, Place};
use crate::proxy::ingress::dispatcher::Dispatcher;
use crate::proxy::ingress::intercept::{Interception, datagrams, original};
use crate::proxy::ingress::{
    HandedFlow, Listen, LiveIngress, Now, go_on_with_association, serve, serve_udp,
};
use crate::proxy::names::pool::InUse;
use crate::proxy::names::{Answerer, Covered};
use crate::proxy::parked::Association;
use crate::proxy::refusals::RefusalLog;
use crate::proxy::relay::{Joint, relay, relay_directly};
use crate::proxy::tasks::Tasks;
use crate::reload::Placement;
use crate::report::InterceptingReport;
use throughline::FlowStream;

/// An ingress whose address is bound.
pub(super) struct Bound {
    ingress: Ingress,
    /// Where it listens.
    pub(super) addr: Listen,
    entrance: Entrance,
}

impl Bound {
    /// Returns what the ingress is called.
    pub(super) fn name(&self) -> &str {
        &self.ingress.name
    }
}

/// An ingress that is served.
#[derive(Clone)]
pub(super) struct Running {
    pub(super) name: String,
    /// Where it listens.
    pub(super) addr: Listen,
    /// The same as it was configured.
    listen: Listen,
    live: LiveIngress,
    /// Its socket, for as long as it listens.
    entered: Entered,
}

impl Running {
    /// Returns what it intercepts, if it does.
    pub(super) fn intercepting(&self) -> Option<InterceptingReport> {
        let now = self.live.now();
        let selector = now.kind.intercepts()?;
        let (protocol, of) = (selector.protocol.to_string(), selector.to_string());
        Some(InterceptingReport { name: self.name.clone(), protocol, of, port: self.addr.port() })
    }

    /// Returns its socket, for a process that goes on with it; none where no descriptor is left, or where it
    /// listens no more.
    pub(super) fn socket(&self) -> Option<(Socket, OwnedFd)> {
        self.entered.socket(&self.name, &self.listen)
    }
}

/// What serves ingresses.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) tasks: Tasks,
    /// What brings connections to ingresses that intercept.
    pub(super) interception: Interception,
    /// What answers the DNS queries of those who are intercepted.
    pub(super) answerer: Answerer,
}

/// Binds the addresses of ingresses, or goes on with the sockets that another process has bound to them.
///
/// # Errors
/// One cannot be bound. None is, then.
pub(super) fn bind(
    ingresses: &[&Ingress],
    mut from: Option<&mut TakeOver>,
) -> Result<Vec<Bound>, StartError> {
    let mut bound = |ingress: &Ingress| {
        let (addr, entrance) = Entrance::open(ingress, from.as_deref_mut())?;
        Ok(Bound { ingress: ingress.clone(), addr, entrance })
    };
    ingresses.iter().map(|ingress| bound(ingress)).collect()
}

/// Returns the ingress of this daemon that keeps a further socket of `protocol` from listening at `addr`.
pub(super) fn in_the_way<'a>(
    running: &'a [Running],
    protocol: &str,
    addr: SocketAddr,
) -> Option<&'a Running> {
    let is_it = |r: &&Running| {
        r.entered.protocol() == protocol && r.addr.ip().is_some_and(|at| overlap(at, addr))
    };
    running.iter().find(is_it)
}

/// Returns whether one of two addresses takes what the other does: they are the same, or one is every address.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    // The socket of `[::]` takes IPv4 as well.
    let covers = |wide: IpAddr, narrow: IpAddr| {
        wide.is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4())
    };
    let (a, b) = (one.ip(), other.ip());
    one.port() == other.port() && (a == b || covers(a, b) || covers(b, a))
}

/// Returns what an ingress is to its next connection.
fn now(ingress: &Ingress) -> Now {
    let Ingress { name, kind, proxy_protocol, clients, .. } = ingress.clone();
    Now { name: name.into(), kind, proxy_protocol, clients }
}

impl Server {
    /// Answers DNS queries from now on, of names that are `covered`, if there is an answerer.
    pub(super) fn answer_queries(&self, covered: Covered) {
        let (names, connections) = (self.dispatcher.names(), self.dispatcher.connections());
        names.cover(covered);
        let Connections { descriptors, freezer, .. } = connections;
        self.answerer.serve(names, descriptors, freezer, &self.tasks);
    }

    /// Serves an ingress, with flows of datagrams that another process has begun.
    pub(super) fn spawn(&self, bound: Bound, handed: Vec<HandedFlow>) -> Running {
        let Bound { ingress, addr, entrance } = bound;
        let live = LiveIngress::new(now(&ingress));
        let (name, listen) = (ingress.name.clone(), ingress.listen.clone());
        let (dispatcher, tasks) = (self.dispatcher.clone(), self.tasks.clone());
        let (task, entered) = (format!("the task of the ingress {name}"), entrance.downgrade());
        entered.own_file(&ingress);
        match entrance {
            Entrance::Connections(listener) => {
                self.tasks.spawn_vital(task, serve(listener, live.clone(), dispatcher, tasks));
            }
            Entrance::Udp(socket) if ingress.kind.intercepts().is_some() => {
                let serving = datagrams::serve_udp(socket, live.clone(), dispatcher, tasks, handed);
                self.tasks.spawn_vital(task, serving);
            }
            Entrance::Udp(socket) => {
                let serving = serve_udp(socket, live.clone(), dispatcher, tasks, handed);
                self.tasks.spawn_vital(task, serving);
            }
        }
        match ingress.kind.intercepts() {
            None => info!(ingress = name, %addr, "listening for applications"),
            Some(of) => {
                info!(ingress = name, port = addr.port(), "intercepts {} of {of}", of.protocol);
            }
        }
        Running { name, addr, listen, live, entered }
    }

    /// Goes on with a connection to one of the `ingresses`, and its flow, that another process has begun.
    pub(super) fn go_on(&self, joint: Joint, flow: FlowStream, ingresses: &[Running]) {
        let connections = self.dispatcher.connections();
        let held = self.held(&joint, ingresses);
        let descriptor = connections.descriptors.try_acquire();
        let relaying = relay(joint, flow, connections.freezer.place());
        self.tasks.spawn(async move {
            let relayed = relaying.await;
            drop((held, descriptor));
            debug!(?relayed, "flow ended");
        });
    }

    /// Goes on with a connection to one of the `ingresses` and that to its destination, which another process has
    /// begun.
    pub(super) fn go_on_directly(&self, joint: Joint, other: TcpStream, ingresses: &[Running]) {
        let connections = self.dispatcher.connections();
        let held = self.held(&joint, ingresses);
        let descriptors = [(); 2].map(|()| connections.descriptors.try_acquire());
        let relaying = relay_directly(joint, other, connections.freezer.place());
        self.tasks.spawn(async move {
            let relayed = relaying.await;
            drop((held, descriptors));
            debug!(?relayed, "direct connection ended");
        });
    }

    /// Goes on with an association with one of the `ingresses`, and its flows, that another process has begun.
    pub(super) fn go_on_with_association(
        &self,
        association: Association,
        handed: Vec<HandedFlow>,
        (ingresses, refusals): (&[Running], Arc<RefusalLog>),
    ) {
        let of = ingresses.iter().find(|of| of.name == *association.ingress);
        // It was removed: its connections go on, and associations do not, as they open flows.
        let Some(of) = of else { return };
        let (live, connections) = (of.live.clone(), self.dispatcher.connections().clone());
        let place = live.served().try_enter(usize::MAX);
        let descriptors = [(); 2].map(|()| connections.descriptors.try_acquire());
        let (dispatcher, tasks) = (Arc::clone(&self.dispatcher), self.tasks.clone());
        let at = connections.freezer.place();
        self.tasks.spawn(async move {
            let with = (dispatcher, tasks, refusals);
            go_on_with_association(association, handed, live, with, at).await;
            drop((place, descriptors));
        });
    }

    /// Returns what a connection holds that another process has begun: its place, whatever the limits say now, and the
    /// name that it was intercepted on its way to.
    fn held(&self, joint: &Joint, ingresses: &[Running]) -> (Option<Place>, Option<InUse>) {
        let of = ingresses.iter().find(|of| Some(of.name.as_str()) == joint.ingress.as_deref());
        let place = of.and_then(|ingress| ingress.live.served().try_enter(usize::MAX));
        let intercepted = joint.tcp.as_tcp().and_then(original);
        let name = intercepted.and_then(|to| self.dispatcher.names().of(to.ip()));
        (place, name.map(|(_, in_use)| in_use))
    }

    /// Serves the ingresses of another configuration: those that are kept go on, and those of `bound` begin.
    /// The others listen no more, and their connections go on.
    pub(super) fn replace(
        &self,
        running: &mut Vec<Running>,
        ingresses: &[Ingress],
        placements: &[Placement],
        bound: Vec<Bound>,
    ) {
        let before = std::mem::take(running);
        let mut bound = bound.into_iter();
        for (ingress, placement) in ingresses.iter().zip(placements) {
            match placement {
                Placement::Kept(index) => {
                    let kept = before[*index].clone();
                    kept.live.set(now(ingress));
                    kept.entered.own_file(ingress);
                    let (name, listen) = (ingress.name.clone(), ingress.listen.clone());
                    running.push(Running { name, listen, ..kept });
                }
                Placement::Bound => {
                    running.extend(bound.next().map(|bound| self.spawn(bound, Vec::new())));
                }
            }
        }
        let is_kept = |index: &usize| placements.contains(&Placement::Kept(*index));
        for (index, gone) in before.iter().enumerate() {
            if !is_kept(&index) {
                gone.live.close();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_overlaps_itself_and_every_address_of_its_port() {
        for (one, other, expected) in [
            ("127.0.0.1:1080", "127.0.0.1:1080", true),
            ("127.0.0.1:1080", "0.0.0.0:1080", true),
            ("127.0.0.1:1080", "[::]:1080", true),
            ("[::1]:1080", "[::]:1080", true),
            ("0.0.0.0:1080", "[::]:1080", true),
            ("127.0.0.1:1080", "0.0.0.0:1081", false),
            ("127.0.0.1:1080", "192.0.2.1:1080", false),
            ("[::1]:1080", "0.0.0.0:1080", false),
        ] {
            let (a, b) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!((overlap(a, b), overlap(b, a)), (expected, expected), "{one} {other}");
        }
    }
}
