//! The datagram flows that peers open to UDP targets: a connected socket each, so that a flow's source port stays the
//! same, only its destination is heard, and ICMP's errors are its own.

use std::io;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::dial::connect_udp;
use super::live::LiveFlow;
use super::{Connected, Egress};
use crate::proxy::connections::Place;
use crate::proxy::freezer::{self, Parking};
use crate::proxy::parked::{DatagramsOrigin, DatagramsOut, ParkedTask};
use crate::proxy::tasks::Tasks;
use crate::proxy::udp;
use throughline::{
    DatagramFlow, DatagramListener, FailureCode, IncomingDatagrams, OpenFailure, PeerId, PeerName,
    Target,
};

/// A socket, and its places among those of its peer and of all.
type Ported = (UdpSocket, (Place, Place));

impl Egress {
    /// Serves the datagram flows of `listener` until the tasks are draining or the node ends.
    pub async fn serve_datagrams(self: Arc<Self>, mut listener: DatagramListener, tasks: Tasks) {
        loop {
            let incoming = tokio::select! {
                incoming = listener.accept() => incoming,
                () = tasks.draining() => return,
            };
            // The only failure is the end of the node.
            let Ok(incoming) = incoming else { return };
            let (egress, draining) = (Arc::clone(&self), tasks.clone());
            tasks.spawn_in_order(async move {
                tokio::select! {
                    () = egress.serve_datagram_flow(incoming) => {}
                    () = draining.draining() => {}
                }
            });
            // As for flows of bytes: a peer that opens a thousand keeps nobody waiting for all of them.
            yield_now().await;
        }
    }

    async fn serve_datagram_flow(&self, incoming: IncomingDatagrams) {
        let (id, peer) = (incoming.peer(), incoming.peer_name().clone());
        let target = incoming.target().clone();
        match Box::pin(self.connect_datagrams(id, &peer, &target)).await {
            Ok(Connected { socket: (socket, _places), stop, _descriptor, _registered }) => {
                // While the flows are written down for another process this one is still to be answered there.
                let place = self.connections.freezer.enter().await;
                debug!(%peer, %target, "datagram flow opened");
                let over = relay(incoming.accept(), Arc::new(socket), place, stop).await;
                debug!(%peer, %target, "datagram flow ended: {over}");
            }
            Err(failure) => {
                self.log_refusal(id, &peer, &target, &failure);
                incoming.refuse(failure);
            }
        }
    }

    /// Goes on with a flow that another process has begun, whether or not it is permitted any more; returns what relays
    /// it.
    pub fn go_on_with_datagrams(
        &self,
        (flow, peer, target): (DatagramFlow, PeerName, Target),
        socket: UdpSocket,
    ) -> impl Future<Output = ()> + use<> {
        let (key, stop) = (flow.peer(), CancellationToken::new());
        let of = self.peers.now().state(key).unwrap_or_default();
        let places = (
            of.udp_sockets.try_enter(usize::MAX),
            self.connections.udp_sockets.try_enter(usize::MAX),
            self.connections.descriptors.try_acquire(),
        );
        let registered = socket.peer_addr().ok().map(|address| {
            let (peer, target, stop) = (peer.clone(), target.clone(), stop.clone());
            self.live.register(LiveFlow { key, of, peer, target, address: address.ip(), stop })
        });
        let relaying = relay(flow, Arc::new(socket), self.connections.freezer.place(), stop);
        async move {
            let over = relaying.await;
            drop((places, registered));
            debug!(%peer, %target, "datagram flow ended: {over}");
        }
    }

    async fn connect_datagrams(
        &self,
        key: PeerId,
        name: &PeerName,
        target: &Target,
    ) -> Result<Connected<Ported>, OpenFailure> {
        let flow = self.admit(key, target)?;
        let (of_peer, of_all) = udp::socket_limits();
        let places = (
            flow.state.udp_sockets.try_enter(of_peer),
            self.connections.udp_sockets.try_enter(of_all),
        );
        let (Some(of_peer), Some(of_all)) = places else {
            let detail = "the egress has no port left for another UDP socket of this peer";
            return Err(OpenFailure::new(FailureCode::LimitReached, detail));
        };
        let lookups = &flow.state.lookups;
        let socket = connect_udp(flow.host, flow.port, lookups, |ip| flow.allows(ip)).await?;
        let address = socket.peer_addr();
        self.register(name, flow, (socket, (of_peer, of_all)), address)
    }
}

/// Passes datagrams on, both ways, until the flow is over; returns why.
async fn relay(
    flow: DatagramFlow,
    socket: Arc<UdpSocket>,
    place: freezer::Place,
    stop: CancellationToken,
) -> String {
    let mut parking = Parking::new(&place);
    let standing = || {
        let origin = DatagramsOrigin::Egress(Arc::clone(&socket));
        ParkedTask::Datagrams(DatagramsOut::Flow(flow.key()), origin)
    };
    let (mut outgoing, mut incoming) = (Vec::new(), Vec::new());
    loop {
        // What the destination sends then waits in the socket, for whichever process goes on.
        let is_parked = parking.is_parked();
        let mut is_full = false;
        let error = tokio::select! {
            () = parking.changed(standing) => None,
            from_peer = flow.recv_many(&mut outgoing, udp::AT_ONCE) => match from_peer {
                Ok(count) => {
                    is_full = count >= udp::AT_ONCE;
                    udp::send_many(&socket, None, &[], &mut outgoing).await.err()
                }
                Err(over) => return over.to_string(),
            },
            received = udp::receive_many(&socket, &mut incoming), if !is_parked => {
                is_full = incoming.len() >= udp::AT_ONCE;
                if let Err(over) = flow.send_many(&mut incoming) {
                    return over.to_string();
                }
                received.err()
            }
            () = stop.cancelled() => {
                flow.fail(FailureCode::NotAllowed);
                return "not allowed any more".to_owned();
            }
        };
        if is_full {
            // A flow that always has something keeps no other task of this thread waiting.
            yield_now().await;
        }
        if let Some(error) = error.filter(udp::is_final) {
            flow.fail(match error.kind() {
                io::ErrorKind::ConnectionRefused => FailureCode::Refused,
                _ => FailureCode::NetworkUnreachable,
            });
            return error.to_string();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::acl::Acl;
    use super::*;
    use crate::proxy::connections::Connections;

    const PEER: PeerId = PeerId::from_bytes([7; 32]);

    async fn outcome(entry: &str, target: &str) -> Result<(), FailureCode> {
        let acl = Acl::new(vec![entry.parse().unwrap()]);
        let egress = Egress::new([(vec![PEER], acl)], Connections::default());
        let target = target.parse().unwrap();
        let connected = egress.connect_datagrams(PEER, &"p".into(), &target).await;
        connected.map(drop).map_err(|failure| failure.code)
    }

    #[tokio::test]
    async fn the_egress_sends_datagrams_only_where_an_entry_allows_it() {
        assert_eq!(outcome("127.0.0.1:53", "127.0.0.1:53/udp").await, Ok(()));
        assert_eq!(outcome("localhost:*", "localhost:53/udp").await, Ok(()));
        for (entry, target) in [
            ("127.0.0.1:54", "127.0.0.1:53/udp"),
            ("*:*", "127.0.0.1:53/udp"),
            ("*:*", "224.0.0.251:5353/udp"),
            ("*:*", "255.255.255.255:67/udp"),
        ] {
            assert_eq!(outcome(entry, target).await, Err(FailureCode::NotAllowed), "{target}");
        }
    }
}
