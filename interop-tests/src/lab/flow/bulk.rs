//! Bulk: a sender that never waits, a receiver that checks every byte against its offset.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::measure::{PERIOD, Record, block};
use crate::support::Outcome;

/// What is written and read at once.
const PIECE: usize = 64 * 1024;

/// Sends until it is told to stop; how many bytes that was.
pub(super) async fn send(mut stream: TcpStream, stop: &AtomicBool) -> Outcome<u64> {
    let (block, mut sent) = (block(), 0u64);
    while !stop.load(Ordering::Relaxed) {
        let at = (sent % PERIOD as u64) as usize;
        sent += stream.write(&block[at..at + PIECE]).await? as u64;
    }
    stream.shutdown().await?;
    // Until the receiver has ended too: a socket that is dropped early would reset.
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(sent)
}

/// Receives to the end; how many bytes that was.
pub(super) async fn receive(mut stream: TcpStream, record: &Record) -> Outcome<u64> {
    let (block, mut got, mut buffer) = (block(), 0u64, vec![0; PIECE]);
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            stream.shutdown().await?;
            return Ok(got);
        }
        let at = (got % PERIOD as u64) as usize;
        if buffer[..count] != block[at..at + count] {
            return Err(format!("wrong bytes between {got} and {}", got + count as u64).into());
        }
        got += count as u64;
        record.push(got).await;
    }
}
