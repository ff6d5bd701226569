//! Reads one segment.
//!
//! Each segment is read by a task of its own, which belongs to its lane's [`reader`](super::reader). It
//! ends with the segment's stream; aborting it with the lane is safe, as the peer sends again what the
//! session has not acknowledged.

use bytes::{Buf, Bytes, BytesMut};
use quinn::{ReadError, RecvStream, VarInt};

use super::end::LaneEnd;
use crate::engine::session::SessionHandle;
use throughline_proto::session::{SegmentVerdict, Violation};
use throughline_proto::wire::codec::DecodeError;
use throughline_proto::wire::segment::{MAX_HEADER, SegmentHeader};

/// Chunks taken at once: QUIC hands out about a packet each, and one lock for 32 of them is cheap.
const MAX_CHUNKS: usize = 32;

/// Tells the peer that the segment's flow is finished here.
const FINISHED: VarInt = VarInt::from_u32(0);

/// Reads a segment to its end, its reset, or the end of the lane.
pub(super) async fn read(session: SessionHandle, mut recv: RecvStream) -> Result<(), LaneEnd> {
    let Some((header, rest)) = read_header(&mut recv).await? else { return Ok(()) };
    let accepted = session.with(|core, now| core.session.handle_segment(now, &header))?;
    if accepted == SegmentVerdict::Stop {
        let _ = recv.stop(FINISHED);
        return Ok(());
    }
    let mut offset = header.offset;
    let mut chunks = [const { Bytes::new() }; MAX_CHUNKS];
    let mut count = usize::from(!rest.is_empty());
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
        match recv.read_chunks(&mut chunks).await {
            Ok(Some(read)) => count = read,
            Ok(None) => return Ok(()),
            Err(error) => return ended(error),
        }
    }
}

/// Reads the header; `None` if the segment was reset before it was complete.
async fn read_header(recv: &mut RecvStream) -> Result<Option<(SegmentHeader, Bytes)>, LaneEnd> {
    let mut head = BytesMut::new();
    loop {
        match recv.read_chunk(MAX_HEADER, true).await {
            Ok(Some(chunk)) if head.is_empty() => {
                // The usual case: the first chunk has it all, and the rest of it stays shared.
                let mut bytes = chunk.bytes;
                let mut peek = &bytes[..];
                match SegmentHeader::decode(&mut peek) {
                    Ok(header) => {
                        bytes.advance(bytes.len() - peek.len());
                        return Ok(Some((header, bytes)));
                    }
                    Err(DecodeError::Truncated(_)) => head.extend_from_slice(&bytes),
                    Err(error) => return Err(Violation::Header(error).into()),
                }
            }
            Ok(Some(chunk)) => {
                head.extend_from_slice(&chunk.bytes);
                let mut peek = &head[..];
                match SegmentHeader::decode(&mut peek) {
                    Ok(header) => {
                        let used = head.len() - peek.len();
                        head.advance(used);
                        return Ok(Some((header, head.freeze())));
                    }
                    Err(DecodeError::Truncated(_)) if head.len() <= MAX_HEADER => {}
                    Err(error) => return Err(Violation::Header(error).into()),
                }
            }
            Ok(None) => {
                return Err(Violation::Header(DecodeError::Truncated("segment header")).into());
            }
            Err(error) => return ended(error).map(|()| None),
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
