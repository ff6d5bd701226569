//! Moves bytes from the flow to the application's connection.

use std::io::{self, IoSlice};
use std::net::Shutdown;

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::yield_now;

use super::failure::RelayFailure;
use super::half::Source;

/// Chunks per write: 75 kB even at 1200 bytes a chunk, and well below the limit of `writev` (1024).
const CHUNKS_PER_WRITE: usize = 64;

/// Consecutive writes after which the task yields to the other direction.
const WRITES_PER_YIELD: u32 = 8;

/// Moves bytes until the end of the peer's direction (`Ok`), a reset of the flow, or a failure.
pub(super) async fn pump(
    tcp: &TcpStream,
    reader: &mut impl Source,
    moved: &mut u64,
) -> Result<(), RelayFailure> {
    let mut chunks = [const { Bytes::new() }; CHUNKS_PER_WRITE];
    let mut writes = 0;
    loop {
        let count = reader.read_chunks(&mut chunks).await.map_err(|_| RelayFailure::Flow)?;
        if count == 0 {
            // This fails only if the application is gone, which the other direction reports.
            let _ = SockRef::from(tcp).shutdown(Shutdown::Write);
            return Ok(());
        }
        write_all(tcp, &mut chunks[..count], moved).await.map_err(RelayFailure::Tcp)?;
        writes += 1;
        if writes % WRITES_PER_YIELD == 0 {
            yield_now().await;
        }
    }
}

/// Writes every chunk, and frees each as soon as the kernel has it.
async fn write_all(tcp: &TcpStream, mut chunks: &mut [Bytes], moved: &mut u64) -> io::Result<()> {
    while let Some(first) = chunks.first() {
        if first.is_empty() {
            chunks = &mut chunks[1..];
            continue;
        }
        let mut slices = [IoSlice::new(&[]); CHUNKS_PER_WRITE];
        for (slice, chunk) in slices.iter_mut().zip(chunks.iter()) {
            *slice = IoSlice::new(chunk);
        }
        match tcp.try_write_vectored(&slices[..chunks.len()]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                *moved += written as u64;
                chunks = advance(chunks, written);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tcp.writable().await?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
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
