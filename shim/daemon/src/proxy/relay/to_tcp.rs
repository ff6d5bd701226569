//! From the flow to the application's connection.

use std::io::{self, IoSlice};
use std::net::Shutdown;

use bytes::{Buf, Bytes};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::yield_now;

use super::Broken;
use super::half::Source;

/// Pieces per write: at 1200 bytes a piece still 75 kB, well below what `writev` takes (1024).
const PIECES: usize = 64;

/// So many writes in a row and the other direction gets its turn.
const WRITES_PER_TURN: u32 = 8;

/// Moves bytes until the end of the peer's direction (`Ok`), a reset of the flow, or a failure.
pub(super) async fn pump(
    tcp: &TcpStream,
    reader: &mut impl Source,
    moved: &mut u64,
) -> Result<(), Broken> {
    let mut pieces = [const { Bytes::new() }; PIECES];
    let mut writes = 0;
    loop {
        let count = reader.read_chunks(&mut pieces).await.map_err(|_| Broken::Flow)?;
        if count == 0 {
            // Fails only where the application is gone already; its own end tells that.
            let _ = SockRef::from(tcp).shutdown(Shutdown::Write);
            return Ok(());
        }
        write_all(tcp, &mut pieces[..count], moved).await.map_err(Broken::Tcp)?;
        writes += 1;
        if writes % WRITES_PER_TURN == 0 {
            yield_now().await;
        }
    }
}

/// Writes every piece, and lets go of each as soon as the kernel has it.
async fn write_all(tcp: &TcpStream, mut pieces: &mut [Bytes], moved: &mut u64) -> io::Result<()> {
    while let Some(first) = pieces.first() {
        if first.is_empty() {
            pieces = &mut pieces[1..];
            continue;
        }
        let mut slices = [IoSlice::new(&[]); PIECES];
        for (slice, piece) in slices.iter_mut().zip(pieces.iter()) {
            *slice = IoSlice::new(piece);
        }
        match tcp.try_write_vectored(&slices[..pieces.len()]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                *moved += written as u64;
                pieces = advance(pieces, written);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => tcp.writable().await?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The pieces without their first `written` bytes.
fn advance(pieces: &mut [Bytes], mut written: usize) -> &mut [Bytes] {
    let mut done = 0;
    for piece in pieces.iter_mut() {
        if written < piece.len() {
            piece.advance(written);
            break;
        }
        written -= piece.len();
        *piece = Bytes::new();
        done += 1;
    }
    &mut pieces[done..]
}
