//! A flow as the application holds it: a reliable byte stream, like a TCP connection.

use std::any::Any;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::engine::session::SessionHandle;
use crate::engine::session::waiters::wait;
use crate::info::FlowInfo;
use throughline_proto::session::{FlowError, Read};
use throughline_proto::types::{FlowId, PeerId, SessionId};

/// A flow: a reliable byte stream to an application behind the peer.
///
/// Reads and writes are tokio's; `shutdown` ends our direction (half-close), and `read` returns 0 at
/// the end of the peer's. An error means that the flow is over: it was reset, or its session ended.
///
/// # Dropping it
/// - After both directions have ended: nothing happens; what was written is still delivered.
/// - Before: the flow is reset, and the peer's application sees a connection reset, after the bytes
///   that were written before. Wait for [`acknowledged`](Self::acknowledged) and the peer's end to
///   be sure of an orderly one.
///
/// ```
/// # use throughline::{Identity, Node, PeerConfig, Target};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// # let (here, there) = (Identity::generate(), Identity::generate());
/// # let server = Node::builder()
/// #     .identity(there)
/// #     .bind(([127, 0, 0, 1], 0).into())
/// #     .peer(PeerConfig::new(here.peer_id(), "client"));
/// # let server = server.build().await?;
/// # let mut service = server.serve("upload")?;
/// # tokio::spawn(async move {
/// #     let mut flow = service.accept().await?.accept();
/// #     flow.read_to_end(&mut Vec::new()).await?;
/// #     flow.shutdown().await?;
/// #     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
/// # });
/// # let peer = PeerConfig::new(server.id(), "server").locators(server.local_addrs());
/// # let node = Node::builder().identity(here).peer(peer).build().await?;
/// let mut flow = node.connect(server.id(), Target::service("upload")).await?;
/// flow.write_all(b"what must not be lost").await?;
/// flow.acknowledged().await?; // the peer's shim has it
/// flow.shutdown().await?;
/// assert_eq!(flow.read(&mut [0; 64]).await?, 0); // the peer has ended its direction, too
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a flow that is dropped is reset"]
pub struct FlowStream {
    reader: FlowReader,
    writer: FlowWriter,
}

/// The receiving half of a [`FlowStream`].
///
/// # Dropping it
/// What still arrives is thrown away, and the sending half goes on. Once both halves are dropped
/// and the peer's direction had not ended, the flow is reset.
pub struct FlowReader(Arc<Flow>);

/// The sending half of a [`FlowStream`].
///
/// # Dropping it
/// After [`finish`](FlowWriter::finish) what was written is still delivered, and the receiving half
/// goes on. Before, the flow is reset: a peer must not take a sender that vanished for one that
/// was done.
pub struct FlowWriter(Arc<Flow>);

struct Flow {
    session: SessionHandle,
    id: FlowId,
    info: FlowInfo,
    _node: KeepAlive,
}

/// Keeps a node alive while something of it is in use.
pub(crate) type KeepAlive = Arc<dyn Any + Send + Sync>;

/// Bytes of one `write` that are copied at once; a longer write is taken in parts. As much as the
/// first window of a flow.
const MAX_COPY: usize = 256 * 1024;

impl FlowStream {
    pub(crate) fn new(session: SessionHandle, id: FlowId, info: FlowInfo, node: KeepAlive) -> Self {
        let flow = Arc::new(Flow { session, id, info, _node: node });
        Self { reader: FlowReader(flow.clone()), writer: FlowWriter(flow) }
    }

    /// Returns the key of the peer at the other end.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.reader.0.session.peer_key()
    }

    /// Returns who is at the other end, where the flow leads, and since when.
    #[must_use]
    pub fn info(&self) -> &FlowInfo {
        &self.reader.0.info
    }

    /// Returns the session and the number of the flow, by which it is known to whoever takes it over.
    #[doc(hidden)]
    #[must_use]
    pub fn key(&self) -> (SessionId, FlowId) {
        (self.reader.0.session.id(), self.reader.0.id)
    }

    /// Splits the flow into halves that can live in different tasks.
    #[must_use = "halves that are dropped reset the flow"]
    pub fn into_split(self) -> (FlowReader, FlowWriter) {
        (self.reader, self.writer)
    }

    /// Waits until the peer's shim has every byte that was written so far; see
    /// [`FlowWriter::acknowledged`]. Cancel-safe.
    ///
    /// # Errors
    /// As [`FlowWriter::write_chunk`]: the flow failed, and the peer may not have all.
    pub async fn acknowledged(&mut self) -> io::Result<()> {
        self.writer.acknowledged().await
    }
}

impl FlowReader {
    /// Waits for bytes and moves up to `chunks.len()` runs of them into `chunks`, without a
    /// copy. Returns how many; 0 is the end of the peer's direction. Cancel-safe.
    ///
    /// # Errors
    /// `ConnectionReset` when the flow was reset, `ConnectionAborted` when its session is over.
    pub async fn read_chunks(&mut self, chunks: &mut [Bytes]) -> io::Result<usize> {
        let flow = &self.0;
        poll_fn(|cx| {
            flow.session.with(|core, now| match core.session.read(now, flow.id, chunks) {
                Ok(Read::Data(count)) => Poll::Ready(Ok(count)),
                Ok(Read::End) => Poll::Ready(Ok(0)),
                Ok(Read::Pending) => {
                    wait(&mut core.waiters(flow.id).read, cx);
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Err(to_io(error))),
            })
        })
        .await
    }

    /// Completes when the flow was reset, or its session is over, for a proxy that waits for something
    /// else than the flow. What was received before can still be read. Cancel-safe.
    pub async fn broken(&mut self) -> io::Error {
        let flow = &self.0;
        poll_fn(|cx| {
            flow.session.with(|core, _| match core.session.check_broken(flow.id) {
                Err(error) => Poll::Ready(to_io(error)),
                Ok(()) => {
                    wait(&mut core.waiters(flow.id).read, cx);
                    Poll::Pending
                }
            })
        })
        .await
    }

    /// Resets the whole flow at once; the peer's application sees a connection reset.
    pub fn reset(self) {
        self.0.reset();
    }

    fn poll_one(&self, cx: &Context<'_>, max: usize) -> Poll<io::Result<Bytes>> {
        let flow = &self.0;
        flow.session.with(|core, now| match core.session.read_at_most(now, flow.id, max) {
            Ok(Some(chunk)) => Poll::Ready(Ok(chunk)),
            Ok(None) => {
                wait(&mut core.waiters(flow.id).read, cx);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(to_io(error))),
        })
    }
}

impl FlowWriter {
    /// Waits until the flow accepts more, then takes as much of the front of `chunk` as it
    /// accepts (at least one byte), without a copy; what is left stays in `chunk`. Cancel-safe.
    ///
    /// # Errors
    /// `ConnectionReset` when the flow was reset, `ConnectionAborted` when its session is over,
    /// `BrokenPipe` after [`finish`](Self::finish).
    pub async fn write_chunk(&mut self, chunk: &mut Bytes) -> io::Result<usize> {
        poll_fn(|cx| self.poll_chunk(cx, chunk)).await
    }

    /// Waits until [`write_chunk`](Self::write_chunk) would accept something; returns how much.
    /// Lets a proxy read from its socket only what it can pass on. Cancel-safe.
    ///
    /// # Errors
    /// As [`write_chunk`](Self::write_chunk).
    pub async fn capacity(&mut self) -> io::Result<usize> {
        let flow = &self.0;
        poll_fn(|cx| {
            flow.session.with(|core, _| match core.session.capacity(flow.id) {
                Ok(0) => {
                    wait(&mut core.waiters(flow.id).write, cx);
                    Poll::Pending
                }
                Ok(room) => Poll::Ready(Ok(usize::try_from(room).unwrap_or(usize::MAX))),
                Err(error) => Poll::Ready(Err(to_io(error))),
            })
        })
        .await
    }

    /// Waits until the peer's shim has every byte that was written so far. Not that the peer's
    /// application has read them; only its own answer can say that. Cancel-safe.
    ///
    /// # Errors
    /// As [`write_chunk`](Self::write_chunk): the flow failed, and the peer may not have all.
    pub async fn acknowledged(&mut self) -> io::Result<()> {
        let flow = &self.0;
        let written = flow.session.with(|core, _| core.session.written(flow.id));
        poll_fn(|cx| {
            flow.session.with(|core, _| match core.session.is_acknowledged(flow.id, written) {
                Ok(true) => Poll::Ready(Ok(())),
                Ok(false) => {
                    wait(&mut core.waiters(flow.id).acknowledged, cx);
                    Poll::Pending
                }
                Err(error) => Poll::Ready(Err(to_io(error))),
            })
        })
        .await
    }

    /// Ends our direction; what was written is still delivered.
    ///
    /// # Errors
    /// As [`write_chunk`](Self::write_chunk).
    pub fn finish(&mut self) -> io::Result<()> {
        let flow = &self.0;
        flow.session.with(|core, now| core.session.finish(now, flow.id)).map_err(to_io)
    }

    /// Resets the whole flow; what was written before is delivered first.
    pub fn reset(self) {
        self.0.reset();
    }

    /// Completes when both directions have ended (`Ok`) or the flow was reset (an error), for a
    /// proxy that must close its socket although it has nothing to write. Cancel-safe.
    ///
    /// # Errors
    /// As [`write_chunk`](Self::write_chunk).
    pub async fn closed(&mut self) -> io::Result<()> {
        let flow = &self.0;
        poll_fn(|cx| {
            flow.session.with(|core, _| {
                if let Err(error) = core.session.check_broken(flow.id) {
                    return Poll::Ready(Err(to_io(error)));
                }
                if core.session.is_ended(flow.id) {
                    return Poll::Ready(Ok(()));
                }
                wait(&mut core.waiters(flow.id).closed, cx);
                Poll::Pending
            })
        })
        .await
    }

    fn poll_chunk(&self, cx: &Context<'_>, chunk: &mut Bytes) -> Poll<io::Result<usize>> {
        if chunk.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let flow = &self.0;
        flow.session.with(|core, now| match core.session.write(now, flow.id, chunk) {
            Ok(0) => {
                wait(&mut core.waiters(flow.id).write, cx);
                Poll::Pending
            }
            Ok(taken) => Poll::Ready(Ok(taken)),
            Err(error) => Poll::Ready(Err(to_io(error))),
        })
    }
}

impl Flow {
    fn reset(&self) {
        self.session.with(|core, now| {
            core.session.reset(now, self.id, throughline_proto::session::CANCELLED);
        });
    }
}

impl Drop for FlowReader {
    fn drop(&mut self) {
        let flow = &self.0;
        flow.session.with(|core, now| core.session.drop_reader(now, flow.id));
    }
}

impl Drop for FlowWriter {
    fn drop(&mut self) {
        let flow = &self.0;
        flow.session.with(|core, now| core.session.drop_writer(now, flow.id));
    }
}

impl std::fmt::Debug for FlowReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FlowReader").field(&self.0.id).finish()
    }
}

impl std::fmt::Debug for FlowWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("FlowWriter").field(&self.0.id).finish()
    }
}

fn to_io(error: FlowError) -> io::Error {
    let kind = match &error {
        FlowError::ResetByPeer(_) | FlowError::ResetHere => io::ErrorKind::ConnectionReset,
        FlowError::Failed(_) => io::ErrorKind::ConnectionRefused,
        FlowError::Finished => io::ErrorKind::BrokenPipe,
        FlowError::Closed(_) => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, error)
}

impl AsyncRead for FlowReader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let chunk = ready!(self.poll_one(cx, buf.remaining()))?;
        buf.put_slice(&chunk);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FlowWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        // Ask for room first: a copy that is not taken would be made again.
        let flow = &self.0;
        let room = flow.session.with(|core, _| match core.session.capacity(flow.id) {
            Ok(0) => {
                wait(&mut core.waiters(flow.id).write, cx);
                Poll::Pending
            }
            Ok(room) => Poll::Ready(Ok(usize::try_from(room).unwrap_or(usize::MAX))),
            Err(error) => Poll::Ready(Err(to_io(error))),
        });
        let part = ready!(room)?.min(buf.len()).min(MAX_COPY);
        self.poll_chunk(cx, &mut Bytes::copy_from_slice(&buf[..part]))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.finish())
    }
}

impl AsyncRead for FlowStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reader).poll_read(cx, buf)
    }
}

impl AsyncWrite for FlowStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.writer).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}
