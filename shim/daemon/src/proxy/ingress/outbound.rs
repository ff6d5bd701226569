//! The way out of an ingress: a flow through a peer, or a connection of this host's own.

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;
use tracing::debug;

use crate::proxy::relay::{close_with_reset, relay};
use throughline::{FlowStream, Target};

/// The buffer per direction of a direct connection, in bytes.
const DIRECT_BUFFER: usize = 64 * 1024;

/// An open way out.
pub enum Outbound {
    /// A flow through a peer.
    Flow(FlowStream),
    /// A connection of this host's own.
    Direct(TcpStream),
}

impl Outbound {
    /// Relays an application's connection until both directions have ended.
    pub async fn relay(self, mut tcp: TcpStream, ingress: &str, target: &Target) {
        match self {
            Self::Flow(flow) => {
                let relayed = relay(tcp, flow).await;
                debug!(ingress, %target, ?relayed, "flow ended");
            }
            Self::Direct(mut other) => {
                // This fails only on a dead connection, which the copy reports.
                let _ = tcp.set_nodelay(true);
                let result = copy_bidirectional_with_sizes(
                    &mut tcp,
                    &mut other,
                    DIRECT_BUFFER,
                    DIRECT_BUFFER,
                )
                .await;
                if result.is_err() {
                    close_with_reset(tcp);
                    close_with_reset(other);
                }
                debug!(ingress, %target, ?result, "direct connection ended");
            }
        }
    }
}
