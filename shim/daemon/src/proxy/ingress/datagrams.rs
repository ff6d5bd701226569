//! The UDP forward: each client's datagrams are a flow to one fixed target.

mod flows;
mod outbound;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::task::yield_now;
use tokio::time::sleep;
use tracing::{info, warn};

pub(super) use self::flows::{AnswerSocket, Beginning, Flows, Shared};
pub use self::outbound::DatagramOutbound;
use super::dispatcher::Dispatcher;
use super::kind::{IngressKind, LiveIngress};
use crate::proxy::connections::Place;
use crate::proxy::parked::DatagramsOrigin;
use crate::proxy::refusals::RefusalLog;
use crate::proxy::tasks::Tasks;
use crate::proxy::udp::{self, Received};
use throughline::{Datagram, Target};
use throughline_proto::throttle::LogThrottle;

/// Flows of one client address: those of a busy resolver, whose queries have a port each for ten seconds.
pub(super) const MAX_OF_ADDRESS: usize = 4096;

/// Pause after a failed read, which would make the loop spin.
const RETRY_DELAY: Duration = Duration::from_millis(10);

/// Serves a socket until the ingress is closed or the tasks are draining: each new client as the ingress is
/// configured when its first datagram comes. It begins with flows that another process has begun.
pub async fn serve_udp(
    socket: Arc<UdpSocket>,
    ingress: LiveIngress,
    dispatcher: Arc<Dispatcher>,
    tasks: Tasks,
    handed: Vec<HandedFlow>,
) {
    let (shared, _guard) = Shared::of(socket, ingress, dispatcher, tasks);
    let flows = Flows::new(shared.clone());
    handed.into_iter().for_each(|flow| go_on(&shared, &flows, flow));
    let of_flow = |Received { datagram, from, .. }| Some((from, datagram));
    read_all(&shared, of_flow, |from, datagrams| {
        flows.pass_many(from, datagrams, || begin(&shared, &flows, *from));
    })
    .await;
}

/// Reads a socket until the ingress is closed or the tasks are draining. `of_flow` says whose each datagram is, and `pass`
/// is given those that came in a row for one flow.
pub(super) async fn read_all<K: PartialEq>(
    shared: &Shared,
    of_flow: impl Fn(Received) -> Option<(K, Datagram)>,
    pass: impl Fn(&K, &mut Vec<Datagram>),
) {
    let (mut logged, mut received) = (LogThrottle::default(), Vec::new());
    loop {
        // While everything stands still datagrams wait in the kernel, for whichever process goes on.
        let freezer = &shared.dispatcher.connections().freezer;
        freezer.thawed().await;
        let read = tokio::select! {
            // What is read after the flows were written down would be lost.
            biased;
            () = freezer.frozen() => continue,
            () = shared.tasks.draining() => return,
            () = shared.ingress.closed() => return,
            read = udp::receive_many_from(&shared.socket, &mut received) => read,
        };
        let are_more = received.len() >= udp::AT_ONCE;
        pass_runs(received.drain(..).filter_map(&of_flow), &pass);
        if are_more {
            // What was woken to carry them may be next on this very thread.
            yield_now().await;
        }
        if let Err(error) = read {
            if logged.admit(Instant::now(), error.kind()).is_some() {
                warn!(ingress = %shared.ingress.name(), %error, "cannot read datagrams; trying again");
            }
            sleep(RETRY_DELAY).await;
        }
    }
}

/// Passes datagrams on, those that follow each other in one flow at once.
fn pass_runs<K: PartialEq>(
    datagrams: impl Iterator<Item = (K, Datagram)>,
    pass: impl Fn(&K, &mut Vec<Datagram>),
) {
    let (mut of, mut run) = (None, Vec::new());
    for (key, datagram) in datagrams {
        if let Some(before) = of.as_ref().filter(|before| **before != key) {
            pass(before, &mut run);
        }
        of = Some(key);
        run.push(datagram);
    }
    if let Some(last) = of {
        pass(&last, &mut run);
    }
}

/// Returns how the flow of a new client begins, if there is room for it.
fn begin(shared: &Shared, flows: &Flows<SocketAddr>, from: SocketAddr) -> Option<Beginning> {
    let target = target_of(&shared.ingress)?;
    if !shared.ingress.now().clients.admit(Some(from.ip())) {
        log_foreign(&shared.refusals, &shared.ingress.name(), from);
        return None;
    }
    let limit = shared.dispatcher.connections().limits().per_ingress;
    let place = shared.ingress.served().try_enter(limit);
    let Some(place) = place.filter(|_| of_address(flows, from.ip()) < MAX_OF_ADDRESS) else {
        log_full(&shared.refusals, &shared.ingress.name(), from);
        return None;
    };
    Some(beginning(shared, target, from, Some(place)))
}

/// Goes on with a flow that another process has begun.
fn go_on(
    shared: &Shared,
    flows: &Flows<SocketAddr>,
    HandedFlow { out, target, origin }: HandedFlow,
) {
    // The ingress may be of another kind now.
    let DatagramsOrigin::Forward { client, .. } = origin else { return };
    let Some(target) = target.or_else(|| target_of(&shared.ingress)) else { return };
    let place = shared.ingress.served().try_enter(usize::MAX);
    flows.go_on(&client, beginning(shared, target, client, place), out);
}

/// Returns where the next client's datagrams go.
fn target_of(ingress: &LiveIngress) -> Option<Target> {
    match ingress.now().kind {
        IngressKind::Forward(target) => Some(target),
        _ => None,
    }
}

fn beginning(
    shared: &Shared,
    target: Target,
    client: SocketAddr,
    place: Option<Place>,
) -> Beginning {
    let ingress = shared.ingress.name();
    let origin = DatagramsOrigin::Forward { ingress: Arc::clone(&ingress), client };
    let (header, answers_by) = (Bytes::new(), shared.answers_by());
    Beginning { ingress, target, origin, client, header, answers_by, place }
}

/// A flow of datagrams that another process has begun.
pub struct HandedFlow {
    /// Where it leads.
    pub out: DatagramOutbound,
    /// Its destination, where that is not known by whose datagrams it carries.
    pub target: Option<Target>,
    /// Whose datagrams it carries.
    pub origin: DatagramsOrigin,
}

fn of_address(flows: &Flows<SocketAddr>, ip: IpAddr) -> usize {
    flows.count(|client| client.ip() == ip)
}

fn log_foreign(refusals: &RefusalLog, ingress: &str, from: SocketAddr) {
    if let Some(suppressed) = refusals.admit() {
        info!(%ingress, %from, suppressed, "datagrams dropped: their address is in none of the networks of `allow-from`");
    }
}

pub(super) fn log_full(refusals: &RefusalLog, ingress: &str, from: SocketAddr) {
    if let Some(suppressed) = refusals.admit() {
        info!(%ingress, %from, suppressed, "datagrams dropped: too many flows are open");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn datagrams_that_follow_each_other_in_a_flow_are_passed_on_at_once_and_none_overtakes() {
        let passed = RefCell::new(Vec::new());
        let datagrams = [(1, "a"), (1, "b"), (2, "c"), (1, "d"), (1, "e")];
        pass_runs(datagrams.into_iter().map(|(key, text)| (key, text.into())), |key, run| {
            let run = run.drain(..).flat_map(|datagram| datagram.payload).collect::<Vec<_>>();
            passed.borrow_mut().push((*key, run));
        });
        let of = |key, text: &str| (key, text.as_bytes().to_vec());
        assert_eq!(passed.into_inner(), [of(1, "ab"), of(2, "c"), of(1, "de")]);
        pass_runs(std::iter::empty::<(u8, Datagram)>(), |_, _| panic!("there are none"));
    }
}
