//! Opens datagram flows to peers.

use super::connect::{ConnectError, open};
use super::handle::Node;
use crate::datagrams::DatagramFlow;
use crate::info::FlowInfo;
use throughline_proto::types::{Mode, PeerId, Target};

impl Node {
    /// Opens a datagram flow to `target` behind `peer` in [`Mode::Auto`]: a thin flow's datagrams go over two
    /// ISPs at once.
    ///
    /// It waits for a session with the peer, but not for the answer of the far side: datagrams may be sent at once,
    /// as from a socket of UDP. [`DatagramFlow::opened`] waits for the answer; a refusal is also what
    /// [`DatagramFlow::recv`] fails with.
    ///
    /// # Errors
    /// [`ConnectError::InvalidTarget`] where the target is not one of datagrams, [`ConnectError::NoDatagrams`] where
    /// the peer is too old; otherwise as [`connect`](Self::connect), apart from answers.
    pub async fn datagrams(
        &self,
        peer: PeerId,
        target: Target,
    ) -> Result<DatagramFlow, ConnectError> {
        self.datagrams_with(peer, target, Mode::Auto).await
    }

    /// Opens a datagram flow in a chosen mode, which says how it uses lanes: [`Mode::Single`] and [`Mode::Bond`]
    /// one at a time, [`Mode::Redundant`] two, however much is sent.
    ///
    /// # Errors
    /// As [`datagrams`](Self::datagrams).
    pub async fn datagrams_with(
        &self,
        peer: PeerId,
        target: Target,
        mode: Mode,
    ) -> Result<DatagramFlow, ConnectError> {
        if !target.takes_datagrams() {
            let source = "flows to it are of bytes; use `Node::connect`".into();
            return Err(ConnectError::InvalidTarget { target, source });
        }
        let peer = self.context().peers.resolve(peer);
        let session = self.session(peer).await?;
        let id = open(&session, &target, mode)?;
        let info = FlowInfo::new(&session, target, mode);
        Ok(DatagramFlow::new(session, id, info, self.keep_alive()))
    }
}
