//! A node that is about to be handed over to another process.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::handle::Node;
use super::record::NodeRecord;

/// How long the messages that close the lanes get to leave this host: they are sent at once by tasks
/// that are already running.
const CLOSE_DEPARTURE: Duration = Duration::from_millis(20);

/// A node whose sessions send nothing; [`Node::freeze`] makes one. Dropping it lets them go on.
pub struct FrozenNode {
    node: Node,
    has_left: bool,
}

impl Node {
    /// Freezes the node: its sessions send nothing more and it dials nothing, until what is returned is
    /// dropped. Lanes stay, and their peers notice nothing but that nothing comes.
    ///
    /// Flows must not be used meanwhile: what is written or read now is not in the
    /// [records](FrozenNode::write_records).
    #[doc(hidden)]
    #[must_use]
    pub fn freeze(&self) -> FrozenNode {
        self.sessions().freeze();
        FrozenNode { node: self.clone(), has_left: false }
    }

    /// Returns the sockets that lanes are accepted on, each with the address as it was configured.
    ///
    /// # Errors
    /// The system's: no descriptor is left.
    #[doc(hidden)]
    pub fn listening_sockets(&self) -> io::Result<Vec<(SocketAddr, UdpSocket)>> {
        self.listeners().sockets()
    }
}

impl FrozenNode {
    /// Passes the state of the node to `write` record by record, so that little of it needs memory twice.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn write_records(&self, mut write: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let context = self.node.context();
        let record = NodeRecord {
            id: context.identity().peer_id(),
            instance: context.instance(),
            drained: context.drains.names(),
        };
        write(&record.encode())?;
        self.node.sessions().write_records(write)
    }

    /// Leaves what peers send to the accepting endpoints to the other process, which reads their sockets
    /// from now on.
    pub fn stop_receiving(&self) {
        self.node.listeners().set_given(true);
    }

    /// Closes the lanes: another process has the sessions. The node is of no more use, and says nothing more
    /// to anybody; the process had better end.
    pub async fn leave(mut self) {
        self.has_left = true;
        self.node.set_ended();
        self.node.sessions().leave();
        tokio::time::sleep(CLOSE_DEPARTURE).await;
    }
}

impl Drop for FrozenNode {
    fn drop(&mut self) {
        if !self.has_left {
            self.node.listeners().set_given(false);
            self.node.sessions().thaw();
        }
    }
}
