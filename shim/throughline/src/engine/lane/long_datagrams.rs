//! Datagrams that are longer than a packet, each on a stream of its own, both ways.
//!
//! A stream is written, and its acknowledgement awaited, by a small task that belongs to its lane, which resets it when
//! nobody waits for the datagram any more. At the other end the task that reads the stream puts the datagram together.
//!
//! **Bounds.** How many are sent at a time the session says. What has come of those that are not complete is at most
//! [`MAX_UNFINISHED`] on a lane, and for [`RECEIVE_DEADLINE`] each: a peer that begins many and ends none keeps no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use quinn::{Connection, ReadError, RecvStream, SendStream, VarInt};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::end::LaneEnd;
use super::receive_window::{ReceiveWindow, watched};
use crate::engine::session::SessionHandle;
use throughline_proto::datagram::{LONG_DEADLINE, MAX_LONG_BYTES};
use throughline_proto::session::{LongDatagram, SegmentVerdict, Violation};
use throughline_proto::types::{FlowId, LaneId};
use throughline_proto::wire::codec::DecodeError;
use throughline_proto::wire::long_datagram::{LongDatagramHeader, MAX_DATAGRAM, MAX_HEADER};

/// The error code of a stream that was reset because its datagram came too late.
const TOO_LATE: VarInt = VarInt::from_u32(2);

/// Tells the peer that a datagram is not wanted: its flow is over, or there is no room for it.
const UNWANTED: VarInt = VarInt::from_u32(0);

/// How long one may take to come, from its first byte on: what the sender gives it, and a path's delay besides.
const RECEIVE_DEADLINE: Duration = Duration::from_secs(5);

/// The bytes that a lane keeps of those that are not complete: what an honest sender has under way, on this path and on
/// the one before it, and one more.
const MAX_UNFINISHED: usize = 2 * MAX_LONG_BYTES;

/// Chunks read at a time: about a packet each.
const MAX_CHUNK: usize = 64 * 1024;

/// The long datagrams that a lane sends.
pub(super) struct Sending {
    session: SessionHandle,
    id: LaneId,
    connection: Connection,
    tasks: JoinSet<()>,
}

impl Sending {
    pub(super) fn new(session: SessionHandle, id: LaneId, connection: Connection) -> Self {
        Self { session, id, connection, tasks: JoinSet::new() }
    }

    /// Writes a datagram, as far as QUIC takes it now; a task does the rest.
    pub(super) fn send(&mut self, long: LongDatagram, priority: i32) {
        while self.tasks.try_join_next().is_some() {}
        let (session, id, connection) = (self.session.clone(), self.id, self.connection.clone());
        let mut task = Box::pin(async move {
            let of = (long.flow, long.seq);
            let has_arrived = send(&connection, long.data, priority).await;
            session.with(|core, now| {
                core.session.handle_long_datagram_ended(now, id, of, has_arrived);
            });
        });
        // Before anything else is written. No wake-up is lost: a spawned task is always polled once.
        if task.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Pending {
            self.tasks.spawn(task);
        }
    }
}

/// Writes one, and waits for its acknowledgement; returns whether it came in time.
async fn send(connection: &Connection, mut data: [Bytes; 2], priority: i32) -> bool {
    let deadline = Instant::now() + LONG_DEADLINE;
    let Ok(Ok(stream)) = timeout_at(deadline, connection.open_uni()).await else { return false };
    let mut stream = ResetOnDrop(stream);
    let _ = stream.0.set_priority(priority);
    timeout_at(deadline, transfer(&mut stream.0, &mut data)).await.unwrap_or(false)
}

/// A stream that is reset when it is dropped, also with its lane, unless all of it has arrived. QUIC's own ends then, as
/// if what was written were the whole datagram.
struct ResetOnDrop(SendStream);

impl Drop for ResetOnDrop {
    fn drop(&mut self) {
        let _ = self.0.reset(TOO_LATE);
    }
}

async fn transfer(stream: &mut SendStream, data: &mut [Bytes]) -> bool {
    let is_written = stream.write_all_chunks(data).await.is_ok() && stream.finish().is_ok();
    // Acknowledged, and not stopped.
    is_written && matches!(stream.stopped().await, Ok(None))
}

/// Bytes of long datagrams that are not complete, of all on a lane.
pub(super) type Unfinished = Arc<AtomicUsize>;

/// What has come of one, counted among all.
struct Arriving {
    bytes: BytesMut,
    all: Unfinished,
}

impl Arriving {
    /// Adds a chunk, copied: it is a slice of a buffer of up to 64 KiB; returns whether there is room for it.
    fn add(&mut self, chunk: &[u8]) -> bool {
        let before = self.all.fetch_add(chunk.len(), Ordering::Relaxed);
        // Before the check: what is dropped gives it back.
        self.bytes.extend_from_slice(chunk);
        before + chunk.len() <= MAX_UNFINISHED
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

/// What became of a stream.
enum Ended {
    /// All of it has come.
    Whole,
    /// The peer has reset it.
    Reset,
    /// It is too late, or there is no room for it.
    GivenUp,
}

/// Reads a datagram to its end, or as far as it comes in time.
pub(super) async fn read(
    session: SessionHandle,
    mut recv: RecvStream,
    first: Bytes,
    window: Arc<ReceiveWindow>,
    unfinished: Unfinished,
) -> Result<(), LaneEnd> {
    let deadline = Instant::now() + RECEIVE_DEADLINE;
    let mut arriving = Arriving { bytes: BytesMut::new(), all: unfinished };
    let mut flow = None;
    let reading = read_all(&session, &mut recv, first, &window, &mut arriving, &mut flow);
    let ended = match timeout_at(deadline, reading).await {
        Ok(ended) => ended?,
        Err(_) => Ended::GivenUp,
    };
    match (ended, flow) {
        (Ended::Whole, Some((header, len))) => {
            // The session copies what it keeps.
            let payload = Bytes::copy_from_slice(&arriving.bytes[len..]);
            let datagram = LongDatagramHeader::with_payload(header, payload);
            session.with(|core, now| core.session.handle_datagram(now, datagram))?;
        }
        (Ended::Whole | Ended::Reset, _) => {}
        (Ended::GivenUp, header) => {
            let _ = recv.stop(UNWANTED);
            if let Some((header, _)) = header {
                drop_of(&session, header.flow);
            }
        }
    }
    Ok(())
}

fn drop_of(session: &SessionHandle, flow: FlowId) {
    session.with(|core, _| core.session.handle_long_datagram_dropped(flow));
}

/// The header, once it is complete, and its length.
type Head = Option<(LongDatagramHeader, usize)>;

async fn read_all(
    session: &SessionHandle,
    recv: &mut RecvStream,
    first: Bytes,
    window: &ReceiveWindow,
    arriving: &mut Arriving,
    head: &mut Head,
) -> Result<Ended, LaneEnd> {
    let mut chunk = first;
    loop {
        if !arriving.add(&chunk) {
            return Ok(Ended::GivenUp);
        }
        if head.is_none() {
            *head = decode(&arriving.bytes)?;
            if let Some((header, _)) = head {
                let of = |core: &mut crate::engine::session::Core, now| {
                    core.session.handle_long_datagram(now, header)
                };
                if session.with(of)? == SegmentVerdict::Stop {
                    let _ = recv.stop(UNWANTED);
                    return Ok(Ended::Reset);
                }
            }
        }
        let payload = head.as_ref().map_or(0, |(_, len)| arriving.bytes.len() - len);
        if payload > MAX_DATAGRAM {
            let (len, most) = (payload as u64, MAX_DATAGRAM as u64);
            return Err(LaneEnd::Datagram(DecodeError::TooLarge("datagram", len, most)));
        }
        chunk = match watched(window, recv.read_chunk(MAX_CHUNK, true)).await? {
            Ok(Some(chunk)) => {
                window.count_read(1, chunk.bytes.len() as u64);
                chunk.bytes
            }
            Ok(None) if head.is_none() => {
                let error = DecodeError::Truncated("datagram header");
                return Err(Violation::Header(error).into());
            }
            Ok(None) => return Ok(Ended::Whole),
            Err(ReadError::ConnectionLost(error)) => return Err(error.into()),
            Err(_) => return Ok(Ended::Reset),
        };
    }
}

/// Decodes the header from what has come; `None`: more of it is to come.
fn decode(bytes: &[u8]) -> Result<Head, LaneEnd> {
    let mut rest = bytes;
    match LongDatagramHeader::decode(&mut rest) {
        Ok(header) => Ok(Some((header, bytes.len() - rest.remaining()))),
        Err(DecodeError::Truncated(_)) if bytes.len() <= MAX_HEADER => Ok(None),
        Err(error) => Err(Violation::Header(error).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_complete_has_a_bound_and_is_given_back() {
        let all = Unfinished::default();
        let arriving = || Arriving { bytes: BytesMut::new(), all: all.clone() };
        let mut kept: Vec<Arriving> = (0..32).map(|_| arriving()).collect();
        assert!(kept.iter_mut().all(|arriving| arriving.add(&[0; 64 * 1024])));
        let mut one_more = arriving();
        assert!(!one_more.add(&[0]));
        drop(one_more);
        kept.pop();
        assert!(arriving().add(&[0; 64 * 1024]));
        drop(kept);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
