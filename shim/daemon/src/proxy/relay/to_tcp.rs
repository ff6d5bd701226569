//! Moves bytes from the flow to the application's connection.

use std::io::{self, IoSlice};

use bytes::{Buf, Bytes};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};

use super::failure::{RESET_FLUSH_TIMEOUT, RelayFailure};
use super::half::Source;
use super::progress::Down;
use crate::proxy::stream::Stream;

/// Chunks per write: 75 kB even at 1200 bytes a chunk, and well below the limit of `writev` (1024).
const CHUNKS_PER_WRITE: usize = 64;

/// Chunks of a write at first and after a lone one. Room for more is had only while many come: the relay
/// of an idle flow is small.
const CHUNKS_AT_FIRST: usize = 4;

/// Consecutive writes after which the task yields to the other direction.
const WRITES_PER_YIELD: u32 = 8;

/// Moves bytes until the end of the peer's direction (`Ok`), a reset of the flow, or a failure. Cancel-safe:
/// what was taken from the flow and the connection has not is in `down`.
pub(super) async fn pump(
    tcp: &Stream,
    reader: &mut impl Source,
    down: &mut Down,
) -> Result<(), RelayFailure> {
    if down.ended {
        return Ok(());
    }
    let Down { unwritten: chunks, ended, moved } = down;
    let mut flush = Flush::default();
    let mut writes = 0;
    write_all(tcp, reader, chunks, &mut flush, moved).await?;
    if chunks.is_empty() {
        chunks.resize(CHUNKS_AT_FIRST, Bytes::new());
    }
    loop {
        let count = reader.read_chunks(chunks).await.map_err(|_| RelayFailure::Flow)?;
        if count == 0 {
            *ended = true;
            // This fails only if the application is gone, which the other direction reports.
            let _ = tcp.shutdown_write();
            return Ok(());
        }
        write_all(tcp, reader, &mut chunks[..count], &mut flush, moved).await?;
        match count {
            1 if chunks.len() > CHUNKS_AT_FIRST => *chunks = vec![Bytes::new(); CHUNKS_AT_FIRST],
            count if count == chunks.len() => chunks.resize(CHUNKS_PER_WRITE, Bytes::new()),
            _ => {}
        }
        writes += 1;
        if writes % WRITES_PER_YIELD == 0 {
            yield_now().await;
        }
    }
}

/// Writes every chunk, and frees each as soon as the kernel has it.
async fn write_all(
    tcp: &Stream,
    reader: &mut impl Source,
    mut chunks: &mut [Bytes],
    flush: &mut Flush,
    moved: &mut u64,
) -> Result<(), RelayFailure> {
    while let Some(first) = chunks.first() {
        if first.is_empty() {
            chunks = &mut chunks[1..];
            continue;
        }
        match try_write(tcp, chunks) {
            Ok(0) => return Err(RelayFailure::Tcp(io::ErrorKind::WriteZero.into())),
            Ok(written) => {
                *moved += written as u64;
                chunks = advance(chunks, written);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Boxed, as it is rare: the relay of an idle flow is small.
                Box::pin(flush.writable(tcp, reader)).await?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(RelayFailure::Tcp(error)),
        }
    }
    Ok(())
}

/// Writes as much as the kernel takes. No part of the relay's future: its list is large.
fn try_write(tcp: &Stream, chunks: &[Bytes]) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); CHUNKS_PER_WRITE];
    for (slice, chunk) in slices.iter_mut().zip(chunks) {
        *slice = IoSlice::new(chunk);
    }
    tcp.try_write_vectored(&slices[..chunks.len()])
}

/// The time that is left for an application that does not read, once the flow is reset.
#[derive(Default)]
struct Flush {
    until: Option<Instant>,
}

impl Flush {
    /// Waits until the connection takes more; fails where the flow was reset and the time is over. An
    /// application that closed its window would keep its connection for ever.
    async fn writable(
        &mut self,
        tcp: &Stream,
        reader: &mut impl Source,
    ) -> Result<(), RelayFailure> {
        if self.until.is_none() {
            tokio::select! {
                biased;
                ready = tcp.writable() => return ready.map_err(RelayFailure::Tcp),
                _ = reader.broken() => self.until = Some(Instant::now() + RESET_FLUSH_TIMEOUT),
            }
        }
        let until = self.until.unwrap_or_else(Instant::now);
        match timeout_at(until, tcp.writable()).await {
            Ok(ready) => ready.map_err(RelayFailure::Tcp),
            Err(_) => Err(RelayFailure::Flow),
        }
    }
}

/// Returns the chunks without their first `written` bytes.
fn advance(chunks: &mut [Bytes], mut written: usize) -> &mut [Bytes] {
    let mut done = 0;
    for chunk in chunks.iter_mut() {
        if written < chunk.len() {
            chunk.advance(written);
            break;
        }
        written -= chunk.len();
        *chunk = Bytes::new();
        done += 1;
    }
    &mut chunks[done..]
}
