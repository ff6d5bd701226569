//! Reads one segment.
//!
//! Each segment is read by a task of its own, which belongs to its lane's [`reader`](super::reader). It
//! ends with the segment's stream; aborting it with the lane is safe, as the peer sends again what the
//! session has not acknowledged.
//!
//! A thin flow's segment is read as its packets arrive, in any order. Its bytes come on another lane as
//! well, so those behind a lost packet may be just what that lane lost: read in order, each loss would
//! block its lane for a round trip and more, and with a few losses a second on both lanes one of them
//! would always be blocked when the other one loses something.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use quinn::{ReadError, RecvStream, VarInt};

use super::end::LaneEnd;
use super::long_datagrams::{self, Unfinished};
use super::receive_window::{ReceiveWindow, watched};
use crate::engine::session::SessionHandle;
use throughline_proto::session::{SegmentVerdict, Violation};
use throughline_proto::wire::codec::DecodeError;
use throughline_proto::wire::long_datagram;
use throughline_proto::wire::segment::{MAX_HEADER, SegmentHeader};

/// Chunks taken at once: QUIC hands out about a packet each, and one lock for 32 of them is cheap.
const MAX_CHUNKS: usize = 32;

/// A segment that begins with fewer bytes than a full packet holds is a thin flow's: bulk comes in chunks
/// of 64 KiB.
const THIN_BEGINNING: usize = 900;

/// The most bytes of a chunk that is read in any order: a packet has fewer.
const MAX_CHUNK: usize = 64 * 1024;

/// Tells the peer that the segment's flow is finished here.
const FINISHED: VarInt = VarInt::from_u32(0);

/// Reads a stream of the peer, a segment or a long datagram, to its end, its reset, or the end of the lane.
pub(super) async fn read(
    session: SessionHandle,
    mut recv: RecvStream,
    window: Arc<ReceiveWindow>,
    unfinished: Unfinished,
) -> Result<(), LaneEnd> {
    // A whole packet: how much comes with the header tells a bulk flow from a thin one.
    let first = match watched(&window, recv.read_chunk(MAX_CHUNK, true)).await? {
        Ok(Some(chunk)) => chunk.bytes,
        Ok(None) => {
            return Err(Violation::Header(DecodeError::Truncated("segment header")).into());
        }
        Err(error) => return ended(error),
    };
    window.count_read(1, first.len() as u64);
    match first.first() {
        Some(&long_datagram::KIND) => {
            long_datagrams::read(session, recv, first, window, unfinished).await
        }
        _ => read_segment(session, recv, first, window).await,
    }
}

async fn read_segment(
    session: SessionHandle,
    mut recv: RecvStream,
    first: Bytes,
    window: Arc<ReceiveWindow>,
) -> Result<(), LaneEnd> {
    let Some((header, rest, header_len)) = read_header(&mut recv, first, &window).await? else {
        return Ok(());
    };
    let accepted = session.with(|core, now| core.session.handle_segment(now, &header))?;
    if accepted == SegmentVerdict::Stop {
        let _ = recv.stop(FINISHED);
        return Ok(());
    }
    let is_thin = rest.len() < THIN_BEGINNING;
    let mut offset = header.offset;
    let mut count = usize::from(!rest.is_empty());
    // A thin flow's takes one at a time, and there may be ten thousand of these.
    let mut chunks = vec![Bytes::new(); if is_thin { 1 } else { MAX_CHUNKS }];
    chunks[0] = rest;
    loop {
        if count > 0 {
            let taken = &mut chunks[..count];
            let len: u64 = taken.iter().map(|p| p.len() as u64).sum();
            let accepted = session.with(|core, now| {
                core.session.handle_segment_data(now, header.flow, offset, header.resent, taken)
            })?;
            if accepted == SegmentVerdict::Stop {
                let _ = recv.stop(FINISHED);
                return Ok(());
            }
            offset += len;
        }
        let read = match is_thin {
            true => watched(&window, recv.read_chunk(MAX_CHUNK, false)).await?.map(|read| {
                read.map(|chunk| {
                    // QUIC counts from the header on.
                    offset = header.offset.saturating_add(chunk.offset.saturating_sub(header_len));
                    chunks[0] = chunk.bytes;
                    1
                })
            }),
            false => watched(&window, recv.read_chunks(&mut chunks)).await?,
        };
        match read {
            Ok(Some(read)) => {
                count = read;
                let bytes = chunks[..count].iter().map(|chunk| chunk.len() as u64).sum();
                window.count_read(count, bytes);
            }
            Ok(None) => return Ok(()),
            Err(error) => return ended(error),
        }
    }
}

/// Reads the header; returns it, the bytes that came with it, and its length; `None` if the segment was
/// reset before it was complete.
async fn read_header(
    recv: &mut RecvStream,
    first: Bytes,
    window: &ReceiveWindow,
) -> Result<Option<(SegmentHeader, Bytes, u64)>, LaneEnd> {
    // The usual case: the first chunk has it all, and the rest of it stays shared.
    let mut peek = &first[..];
    match SegmentHeader::decode(&mut peek) {
        Ok(header) => {
            let used = first.len() - peek.len();
            return Ok(Some((header, first.slice(used..), used as u64)));
        }
        Err(DecodeError::Truncated(_)) => {}
        Err(error) => return Err(Violation::Header(error).into()),
    }
    let mut head = BytesMut::from(&first[..]);
    loop {
        let chunk = match watched(window, recv.read_chunk(MAX_CHUNK, true)).await? {
            Ok(Some(chunk)) => chunk.bytes,
            Ok(None) => {
                return Err(Violation::Header(DecodeError::Truncated("segment header")).into());
            }
            Err(error) => return ended(error).map(|()| None),
        };
        window.count_read(1, chunk.len() as u64);
        head.extend_from_slice(&chunk);
        let mut peek = &head[..];
        match SegmentHeader::decode(&mut peek) {
            Ok(header) => {
                let used = head.len() - peek.len();
                head.advance(used);
                return Ok(Some((header, head.freeze(), used as u64)));
            }
            Err(DecodeError::Truncated(_)) if head.len() <= MAX_HEADER => {}
            Err(error) => return Err(Violation::Header(error).into()),
        }
    }
}

/// A reset says that the bytes came, or will come, another way.
fn ended(error: ReadError) -> Result<(), LaneEnd> {
    match error {
        ReadError::ConnectionLost(error) => Err(error.into()),
        _ => Ok(()),
    }
}
