//! Flows of datagrams that another process has begun, and who goes on with each.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::net::UdpSocket;

use crate::handover::{HandedDatagrams, HandedOrigin, HandedOut};
use crate::proxy::connections::Connections;
use crate::proxy::ingress::{DatagramOutbound, HandedFlow};
use crate::proxy::parked::{AssociationId, DatagramsOrigin};
use throughline::handover::HandedOverFlows;
use throughline::{DatagramFlow, Target};

/// Flows of datagrams that another process has begun, by who goes on with them.
#[derive(Default)]
pub(in crate::run) struct Datagrams {
    of_ingresses: HashMap<Arc<str>, Vec<HandedFlow>>,
    of_associations: HashMap<AssociationId, Vec<HandedFlow>>,
    of_egress: Vec<(DatagramFlow, Target, UdpSocket)>,
}

impl Datagrams {
    /// Finds the flows in the sessions. Those that are over, or whose peer is not configured any more, are left out.
    pub(in crate::run) fn claim(
        handed: Vec<HandedDatagrams>,
        flows: &mut HandedOverFlows,
        connections: &Connections,
    ) -> Self {
        let mut datagrams = Self::default();
        for HandedDatagrams { out, origin } in handed {
            let (out, target) = match out {
                HandedOut::Flow(key) => match flows.claim_datagrams(key) {
                    Some((flow, target)) => (DatagramOutbound::Flow(flow), Some(target)),
                    None => continue,
                },
                HandedOut::Direct(socket, idle) => {
                    let places = (
                        connections.descriptors.try_acquire(),
                        connections.udp_sockets.try_enter(usize::MAX),
                    );
                    (DatagramOutbound::direct(socket, idle, places), None)
                }
            };
            match origin {
                HandedOrigin::Egress(socket) => {
                    if let (DatagramOutbound::Flow(flow), Some(target)) = (out, target) {
                        datagrams.of_egress.push((flow, target, socket));
                    }
                }
                HandedOrigin::Ingress(origin) => datagrams.add(HandedFlow { out, target, origin }),
            }
        }
        datagrams
    }

    fn add(&mut self, flow: HandedFlow) {
        match &flow.origin {
            DatagramsOrigin::Forward { ingress, .. }
            | DatagramsOrigin::Intercepted { ingress, .. } => {
                self.of_ingresses.entry(Arc::clone(ingress)).or_default().push(flow);
            }
            DatagramsOrigin::Associated { association, .. } => {
                self.of_associations.entry(*association).or_default().push(flow);
            }
            DatagramsOrigin::Egress(_) => {}
        }
    }

    /// Returns those of an ingress, once.
    pub(in crate::run) fn of_ingress(&mut self, name: &str) -> Vec<HandedFlow> {
        self.of_ingresses.remove(name).unwrap_or_default()
    }

    /// Returns those of an association, once.
    pub(super) fn of_association(&mut self, id: AssociationId) -> Vec<HandedFlow> {
        self.of_associations.remove(&id).unwrap_or_default()
    }

    /// Returns those of peers to destinations, with their sockets. The others that nobody has taken end.
    pub(super) fn of_egress(self) -> Vec<(DatagramFlow, Target, UdpSocket)> {
        self.of_egress
    }
}
