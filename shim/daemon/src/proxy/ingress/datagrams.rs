//! The UDP forward: each client's datagrams are a flow to one fixed target.

mod flows;
mod outbound;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::time::sleep;
use tracing::{info, warn};

pub(super) use self::flows::{AnswerSocket, Beginning, Flows, Shared};
pub use self::outbound::DatagramOutbound;
use super::dispatcher::Dispatcher;
use super::kind::{IngressKind, LiveIngress, Now};
use crate::proxy::refusals::RefusalLog;
use crate::proxy::tasks::Tasks;
use crate::proxy::udp;
use throughline_proto::throttle::LogThrottle;

/// Flows of one client address: those of a busy resolver, whose queries have a port each for ten seconds.
pub(super) const MAX_OF_ADDRESS: usize = 4096;

/// Pause after a failed read, which would make the loop spin.
const RETRY_DELAY: Duration = Duration::from_millis(10);

/// Serves a socket until the ingress is closed or the tasks are draining: each new client as the ingress is
/// configured when its first datagram comes.
pub async fn serve_udp(
    socket: Arc<UdpSocket>,
    ingress: LiveIngress,
    dispatcher: Arc<Dispatcher>,
    tasks: Tasks,
) {
    let (shared, _guard) = Shared::of(socket, dispatcher, tasks);
    let flows = Flows::new(shared.clone());
    read_all(&shared, &ingress, udp::receive_from, |(datagram, from)| {
        flows.pass(&from, datagram, || begin(&shared, &flows, &ingress, from));
    })
    .await;
}

/// Reads a socket until the ingress is closed or the tasks are draining, and gives each datagram to `take`.
pub(super) async fn read_all<T>(
    shared: &Shared,
    ingress: &LiveIngress,
    receive: impl AsyncFn(&UdpSocket) -> io::Result<T>,
    take: impl Fn(T),
) {
    let mut logged = LogThrottle::default();
    loop {
        // While everything stands still datagrams wait in the kernel, for whichever process goes on.
        let freezer = &shared.dispatcher.connections().freezer;
        freezer.thawed().await;
        let received = tokio::select! {
            received = receive(&shared.socket) => received,
            () = freezer.frozen() => continue,
            () = shared.tasks.draining() => return,
            () = ingress.closed() => return,
        };
        match received {
            Ok(received) => take(received),
            Err(error) => {
                if logged.admit(Instant::now(), error.kind()).is_some() {
                    warn!(ingress = %ingress.now().name, %error, "cannot read datagrams; trying again");
                }
                sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// Returns how the flow of a new client begins, if there is room for it.
fn begin(
    shared: &Shared,
    flows: &Flows<SocketAddr>,
    ingress: &LiveIngress,
    from: SocketAddr,
) -> Option<Beginning> {
    let Now { name, kind, .. } = ingress.now();
    let IngressKind::Forward(target) = kind else { return None };
    let limit = shared.dispatcher.connections().limits().per_ingress;
    let place = ingress.served().try_enter(limit);
    let Some(place) = place.filter(|_| of_address(flows, from.ip()) < MAX_OF_ADDRESS) else {
        log_full(&shared.refusals, &name, from);
        return None;
    };
    let header = Bytes::new();
    let (answers_by, place) = (shared.answers_by(), Some(place));
    Some(Beginning { ingress: name, target, client: from, header, answers_by, place })
}

fn of_address(flows: &Flows<SocketAddr>, ip: IpAddr) -> usize {
    flows.count(|client| client.ip() == ip)
}

pub(super) fn log_full(refusals: &RefusalLog, ingress: &str, from: SocketAddr) {
    if let Some(suppressed) = refusals.admit() {
        info!(%ingress, %from, suppressed, "datagrams dropped: too many flows are open");
    }
}
