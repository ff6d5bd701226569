//! A datagram flow as the application holds it: like a connected socket of UDP.

use std::future::poll_fn;
use std::task::Poll;

use bytes::Bytes;

use crate::engine::session::SessionHandle;
use crate::engine::session::waiters::wait;
use crate::info::FlowInfo;
use crate::stream::KeepAlive;
pub use throughline_proto::session::DatagramError;
use throughline_proto::session::FlowError;
pub use throughline_proto::types::{Datagram, Ecn, TrafficClass};
use throughline_proto::types::{FailureCode, FlowId, PeerId, SessionId};
use throughline_proto::wire::long_datagram::MAX_DATAGRAM;

/// A flow of datagrams to an application behind the peer: like a connected socket of UDP, whose packets take several
/// ISPs.
///
/// Datagrams may be lost, late and in another order; none is delivered twice. A thin flow (below 100 kbit/s) in
/// [`Mode::Auto`](crate::Mode::Auto), and any in [`Mode::Redundant`](crate::Mode::Redundant), goes over two ISPs at
/// once, so that the death of one loses nothing. Others go over one, and are lost for the tens of milliseconds until
/// its silence is noticed.
///
/// # When it ends
/// When it is dropped at either end; when nothing is sent or received for five minutes (ten seconds for port 53);
/// when the destination answers that it takes no datagrams; with its session. What was sent is sent on after a drop,
/// for at most a second.
///
/// ```
/// # use throughline::{Identity, Node, PeerConfig, Target};
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let (here, there) = (Identity::generate(), Identity::generate());
/// # let server = Node::builder()
/// #     .identity(there)
/// #     .bind(([127, 0, 0, 1], 0).into())
/// #     .peer(PeerConfig::new(here.peer_id(), "client"));
/// # let server = server.build().await?;
/// # let peer = PeerConfig::new(server.id(), "server").locators(server.local_addrs());
/// # let node = Node::builder().identity(here).peer(peer).build().await?;
/// let mut service = server.serve_datagrams("echo")?;
/// tokio::spawn(async move {
///     let flow = service.accept().await?.accept();
///     while let Ok(datagram) = flow.recv().await {
///         flow.send(datagram)?;
///     }
///     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
/// });
/// let flow = node.datagrams(server.id(), Target::datagram_service("echo")).await?;
/// flow.send("hello")?;
/// assert_eq!(flow.recv().await?, "hello");
/// # Ok(())
/// # }
/// ```
#[must_use = "a flow that is dropped is over"]
pub struct DatagramFlow {
    session: SessionHandle,
    id: FlowId,
    info: FlowInfo,
    _node: KeepAlive,
}

impl DatagramFlow {
    pub(crate) fn new(session: SessionHandle, id: FlowId, info: FlowInfo, node: KeepAlive) -> Self {
        Self { session, id, info, _node: node }
    }

    /// Returns the key of the peer at the other end.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.session.peer_key()
    }

    /// Returns who is at the other end, where the flow leads, and since when.
    #[must_use]
    pub fn info(&self) -> &FlowInfo {
        &self.info
    }

    /// Returns the session and the number of the flow, by which it is known to whoever takes it over.
    #[doc(hidden)]
    #[must_use]
    pub fn key(&self) -> (SessionId, FlowId) {
        (self.session.id(), self.id)
    }

    /// Returns the longest datagram that may be sent, in bytes: as of UDP over IPv4, 65,507. One that is longer than
    /// [`packet_len`](Self::packet_len) costs more.
    #[must_use]
    pub fn max_len(&self) -> usize {
        MAX_DATAGRAM
    }

    /// Returns the longest datagram that is sent in a single packet at present, in bytes, of whatever class: what all paths to the peer
    /// take, of which the flow may use any. It grows as their packet sizes are found out, and changes with the paths.
    ///
    /// A longer one is a stream of its own, on which lost packets are repeated, for two seconds at most. So its loss is
    /// less likely than that of one packet, and it comes later where there was one.
    #[must_use]
    pub fn packet_len(&self) -> usize {
        self.session.with(|core, _| core.session.max_in_packet(self.id))
    }

    /// Sends a datagram, such as bytes, or bytes with a [traffic class](Datagram), which is the peer's to heed. It never
    /// waits: where datagrams come faster than the path takes them up to 1 MiB waits for
    /// at most a second, and the oldest are dropped. Of those that are longer than a packet as many are under way at a
    /// time as the path takes, at most 256 KiB of a flow.
    ///
    /// # Errors
    /// [`DatagramError::TooLong`], after which the flow goes on; the others say why it is over.
    pub fn send(&self, datagram: impl Into<Datagram>) -> Result<(), DatagramError> {
        let datagram = datagram.into();
        self.session.with(|core, now| core.session.send_datagram(now, self.id, datagram))
    }

    /// Sends datagrams, each as by [`send`](Self::send), and leaves the list empty: many at once cost less than one after
    /// the other.
    ///
    /// # Errors
    /// Why the flow is over. Those that are too long are left out, and counted.
    pub fn send_many<D: Into<Datagram>>(
        &self,
        datagrams: &mut Vec<D>,
    ) -> Result<(), DatagramError> {
        self.session.with(|core, now| {
            for datagram in datagrams.drain(..) {
                match core.session.send_datagram(now, self.id, datagram) {
                    Ok(()) | Err(DatagramError::TooLong { .. }) => {}
                    Err(over) => return Err(over),
                }
            }
            Ok(())
        })
    }

    /// Waits for datagrams, adds them to the list, at most `limit` of them, and returns how many: those that are there,
    /// and one at least. Otherwise as [`recv`](Self::recv). Cancel-safe.
    ///
    /// # Errors
    /// Why the flow is over, after the last datagram.
    pub async fn recv_many(
        &self,
        datagrams: &mut Vec<Datagram>,
        limit: usize,
    ) -> Result<usize, DatagramError> {
        let before = datagrams.len();
        poll_fn(|cx| {
            self.session.with(|core, _| {
                while datagrams.len() - before < limit {
                    match core.session.receive_datagram(self.id) {
                        Ok(Some(datagram)) => datagrams.push(datagram),
                        Ok(None) if datagrams.len() == before => {
                            wait(&mut core.waiters(self.id).read, cx);
                            return Poll::Pending;
                        }
                        Err(error) if datagrams.len() == before => return Poll::Ready(Err(error)),
                        Ok(None) | Err(_) => break,
                    }
                }
                Poll::Ready(Ok(datagrams.len() - before))
            })
        })
        .await
    }

    /// Waits for a datagram. One task at a time may wait. Up to 256 KiB are kept for whoever comes late, and of more
    /// the newest. Cancel-safe.
    ///
    /// # Errors
    /// Why the flow is over, after the last datagram.
    pub async fn recv(&self) -> Result<Bytes, DatagramError> {
        self.recv_datagram().await.map(|datagram| datagram.payload)
    }

    /// Waits for a datagram, as [`recv`](Self::recv) does, and returns it with its traffic class: the one with which it
    /// was sent, unless the peer speaks version 2 of the protocol, which has none. Cancel-safe.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub async fn recv_datagram(&self) -> Result<Datagram, DatagramError> {
        poll_fn(|cx| {
            self.session.with(|core, _| match core.session.receive_datagram(self.id) {
                Ok(Some(datagram)) => Poll::Ready(Ok(datagram)),
                Ok(None) => {
                    wait(&mut core.waiters(self.id).read, cx);
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Err(error)),
            })
        })
        .await
    }

    /// Waits for the far side's answer to the opening of the flow. Cancel-safe.
    ///
    /// # Errors
    /// [`DatagramError::Refused`] with the far side's reason; the others say why the flow is over.
    pub async fn opened(&self) -> Result<(), DatagramError> {
        poll_fn(|cx| {
            self.session.with(|core, _| match core.session.outcome(self.id) {
                Some(Ok(())) => Poll::Ready(Ok(())),
                Some(Err(FlowError::Failed(failure))) => {
                    Poll::Ready(Err(DatagramError::Refused(failure)))
                }
                Some(Err(FlowError::Closed(reason))) => {
                    Poll::Ready(Err(DatagramError::Closed(reason)))
                }
                Some(Err(_)) => Poll::Ready(Err(DatagramError::Ended)),
                None => {
                    wait(&mut core.waiters(self.id).answer, cx);
                    Poll::Pending
                }
            })
        })
        .await
    }

    /// Ends the flow because its destination cannot be reached (any more): the peer's end fails with
    /// [`DatagramError::Unreachable`]. For whoever passes its datagrams on.
    pub fn fail(self, code: FailureCode) {
        self.session.with(|core, now| core.session.fail_datagrams(now, self.id, code));
    }
}

impl Drop for DatagramFlow {
    fn drop(&mut self) {
        self.session.with(|core, now| core.session.release_datagrams(now, self.id));
    }
}

impl std::fmt::Debug for DatagramFlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DatagramFlow").field(&self.id).finish()
    }
}
