//! The destination: it does what the head of a connection asks for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::content::{fill, first_wrong};
use super::shared::Shared;

/// Bytes that are read or written at a time.
pub(super) const BLOCK: usize = 32 << 10;

/// The answer to bytes that were wrong.
pub(super) const WRONG: u64 = u64::MAX;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The destination sends bytes, and ends.
    Send,
    /// The destination takes bytes, and answers how many were right in a row, or [`WRONG`].
    Take,
    /// The destination sends back what comes.
    Echo,
}

/// The first bytes of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) purpose: Purpose,
    /// Which bytes.
    pub(super) seed: u64,
    /// How many bytes.
    pub(super) len: u64,
}

impl Head {
    const LEN: usize = 17;

    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0] = match self.purpose {
            Purpose::Send => b's',
            Purpose::Take => b't',
            Purpose::Echo => b'e',
        };
        bytes[1..9].copy_from_slice(&self.seed.to_be_bytes());
        bytes[9..].copy_from_slice(&self.len.to_be_bytes());
        bytes
    }

    async fn read(stream: &mut TcpStream) -> io::Result<Self> {
        let purpose = match stream.read_u8().await? {
            b's' => Purpose::Send,
            b't' => Purpose::Take,
            b'e' => Purpose::Echo,
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        Ok(Self { purpose, seed: stream.read_u64().await?, len: stream.read_u64().await? })
    }
}

/// Serves connections for as long as this process runs; returns where.
pub(super) async fn serve(shared: Arc<Shared>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            if let Ok((stream, _)) = listener.accept().await {
                // What goes wrong the client sees, too.
                tokio::spawn(answer(stream, shared.clone()));
            }
        }
    });
    Ok(addr)
}

async fn answer(mut stream: TcpStream, shared: Arc<Shared>) -> io::Result<()> {
    let Head { purpose, seed, len } = Head::read(&mut stream).await?;
    match purpose {
        Purpose::Send => {
            send(&mut stream, seed, len).await?;
            stream.shutdown().await?;
            // The client closes when it has read everything.
            stream.read_u8().await.map(|_| ())
        }
        Purpose::Take => {
            let taken = take(&mut stream, seed, len, &shared).await?;
            stream.write_u64(taken.unwrap_or(WRONG)).await?;
            stream.shutdown().await
        }
        Purpose::Echo => {
            let (mut reader, mut writer) = stream.split();
            tokio::io::copy(&mut reader, &mut writer).await.map(|_| ())
        }
    }
}

/// Sends the first bytes of a stream.
pub(super) async fn send(stream: &mut TcpStream, seed: u64, len: u64) -> io::Result<()> {
    let mut block = vec![0; BLOCK];
    let mut offset = 0;
    while offset < len {
        let part = &mut block[..BLOCK.min((len - offset) as usize)];
        fill(seed, offset, part);
        stream.write_all(part).await?;
        offset += part.len() as u64;
    }
    Ok(())
}

/// Reads the first bytes of a stream; returns how many there were, or nothing if one is wrong.
async fn take(
    stream: &mut TcpStream,
    seed: u64,
    len: u64,
    shared: &Shared,
) -> io::Result<Option<u64>> {
    let mut block = vec![0; BLOCK];
    let mut offset = 0;
    while offset < len {
        let read = stream.read(&mut block).await?;
        if read == 0 {
            break;
        }
        if first_wrong(seed, offset, &block[..read]).is_some() {
            return Ok(None);
        }
        offset += read as u64;
        shared.arrive(seed, offset);
    }
    Ok(Some(offset))
}
