//! The way out of an ingress: a flow through a peer, or a connection of this host's own.

use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tracing::debug;

use crate::proxy::freezer::{Freezer, SettingUp};
use crate::proxy::relay::{Joint, Progress, close_with_reset, relay, relay_directly};
use crate::proxy::stream::Stream;
use throughline::{FlowStream, Target};

/// An open way out.
pub enum Outbound {
    /// A flow through a peer.
    Flow(FlowStream),
    /// A connection of this host's own, and its descriptor's place.
    Direct(TcpStream, OwnedSemaphorePermit),
}

/// A connection that has come in and has no way out yet.
pub struct Arrival {
    /// The ingress it came in by.
    pub ingress: Arc<str>,
    /// What has its relay stand still for a hand-over.
    pub freezer: Freezer,
    /// Has a hand-over wait for it.
    pub set_up: SettingUp,
}

impl Outbound {
    /// Relays an application's connection until both directions have ended.
    pub async fn relay(self, tcp: Stream, arrival: Arrival, target: &Target) {
        self.relay_after(Bytes::new(), tcp, arrival, target).await;
    }

    /// Relays an application's connection, of which `early` has been read already, until both directions
    /// have ended.
    pub async fn relay_after(
        self,
        early: Bytes,
        tcp: Stream,
        Arrival { ingress, freezer, set_up }: Arrival,
        target: &Target,
    ) {
        let Some(place) = freezer.unless_given(freezer.enter()).await else {
            return close_with_reset(tcp);
        };
        drop(set_up);
        let came_by = Some(Arc::clone(&ingress));
        let joint = Joint { tcp, ingress: came_by, progress: Progress::after(early) };
        match self {
            Self::Flow(flow) => {
                let relayed = relay(joint, flow, place).await;
                debug!(%ingress, %target, ?relayed, "flow ended");
            }
            Self::Direct(other, _descriptor) => {
                // Boxed, as it is larger than the other, and there is room for the largest.
                let relayed = Box::pin(relay_directly(joint, other, place)).await;
                debug!(%ingress, %target, ?relayed, "direct connection ended");
            }
        }
    }
}
