//! A small HTTP/1.1 origin (RFC 9112): `GET` gives a known file, `PUT` answers with the SHA-256 of
//! what it was sent.

use std::net::SocketAddr;

use interop_tests::support::Outcome;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// One MiB of the known file.
pub(crate) fn block(index: u64) -> Vec<u8> {
    let mut block = vec![0; 1 << 20];
    SmallRng::seed_from_u64(index).fill_bytes(&mut block);
    block
}

/// Returns the SHA-256 of its first `mebibytes`.
pub(crate) fn digest(mebibytes: u64) -> String {
    let mut hash = Sha256::new();
    (0..mebibytes).for_each(|index| hash.update(block(index)));
    hex(hash)
}

pub(crate) fn hex(hash: Sha256) -> String {
    format!("{:x}", hash.finalize())
}

/// Serves on loopback as long as the runtime lives.
pub(crate) async fn serve(mebibytes: u64) -> Outcome<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Err(error) = answer(tcp, mebibytes).await {
                    println!("    the origin's connection failed: {error}");
                }
            });
        }
    });
    Ok(addr)
}

async fn answer(tcp: TcpStream, mebibytes: u64) -> Outcome {
    let mut tcp = BufReader::with_capacity(64 * 1024, tcp);
    let mut request = String::new();
    tcp.read_line(&mut request).await?;
    let (mut length, mut expects) = (0u64, false);
    loop {
        let mut line = String::new();
        tcp.read_line(&mut line).await?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
        expects |= line == "expect: 100-continue";
    }
    if request.starts_with("GET ") {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            mebibytes << 20
        );
        tcp.get_mut().write_all(head.as_bytes()).await?;
        for index in 0..mebibytes {
            tcp.get_mut().write_all(&block(index)).await?;
        }
    } else {
        if expects {
            tcp.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let mut hash = Sha256::new();
        let mut left = length;
        let mut buffer = vec![0; 64 * 1024];
        while left > 0 {
            let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = tcp.read(&mut buffer[..most]).await?;
            if count == 0 {
                return Err(format!("{left} bytes of a body of {length} did not come").into());
            }
            hash.update(&buffer[..count]);
            left -= count as u64;
        }
        let text = hex(hash);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
            text.len()
        );
        tcp.get_mut().write_all(head.as_bytes()).await?;
    }
    tcp.get_mut().shutdown().await?;
    Ok(())
}
