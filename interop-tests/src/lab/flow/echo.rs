//! Echo: what somebody who types would notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::measure::Record;
use crate::support::Outcome;

/// How often a message is sent.
const MESSAGE_INTERVAL: Duration = Duration::from_millis(20);
/// A message's bytes.
const LENGTH: usize = 64;
/// Messages that may be under way: ten minutes of silence.
const UNANSWERED: usize = 30_000;

/// Sends everything back; how many messages that was.
pub(super) async fn answer(mut stream: TcpStream) -> Outcome<u64> {
    let (mut bytes, mut buffer) = (0, [0; 4096]);
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            stream.shutdown().await?;
            return Ok(bytes / LENGTH as u64);
        }
        stream.write_all(&buffer[..count]).await?;
        bytes += count as u64;
    }
}

/// Sends messages until it is told to stop, and checks what comes back; how many that was.
pub(super) async fn ask(stream: TcpStream, record: &Record, stop: Arc<AtomicBool>) -> Outcome<u64> {
    let (mut reader, mut writer) = stream.into_split();
    let (send_times, mut times) = mpsc::channel::<Instant>(UNANSWERED);
    let sender = tokio::spawn(async move {
        let mut tick = tokio::time::interval(MESSAGE_INTERVAL);
        let mut number = 0u64;
        while !stop.load(Ordering::Relaxed) {
            tick.tick().await;
            let mut message = [0; LENGTH];
            message[..8].copy_from_slice(&number.to_be_bytes());
            let _ = send_times.send(Instant::now()).await;
            writer.write_all(&message).await?;
            number += 1;
        }
        writer.shutdown().await?;
        Outcome::Ok(writer)
    });
    let (mut number, mut message) = (0u64, [0; LENGTH]);
    while let Some(sent) = times.recv().await {
        reader.read_exact(&mut message).await?;
        if message[..8] != number.to_be_bytes() || message[8..] != [0; LENGTH - 8] {
            return Err(format!("wrong echo of message {number}").into());
        }
        record.push(sent.elapsed().as_micros() as u64).await;
        number += 1;
    }
    sender.await??;
    if reader.read(&mut message).await? != 0 {
        return Err("bytes after the last echo".into());
    }
    Ok(number)
}
