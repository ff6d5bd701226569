//! An HTTP/1.1 origin (RFC 9112) whose transfers last until the failures are over: `/stream` is
//! sent and `/upload` is taken in chunks, `/small/N` is answered on a connection that stays open.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use interop_tests::support::Outcome;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use crate::failure::{Count, Over};
use crate::origin;

/// A running origin.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) addr: SocketAddr,
    /// Connections taken.
    pub(crate) connections: Count,
    /// Bytes of uploads.
    pub(crate) moved: Count,
    over: Over,
    hash: Arc<Mutex<Option<String>>>,
}

impl Live {
    /// Serves as long as the runtime lives.
    pub(crate) async fn serve(over: &Over) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let (connections, moved) = (Count::default(), Count::default());
        let live = Self { addr, connections, moved, over: over.clone(), hash: Arc::default() };
        let shared = live.clone();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                shared.connections.add(1);
                let live = shared.clone();
                tokio::spawn(async move {
                    if let Err(error) = live.connection(BufReader::new(tcp)).await {
                        println!("    the origin's connection failed: {error}");
                    }
                });
            }
        });
        Ok(live)
    }

    /// Returns the SHA-256 of the last transfer that came to its end.
    pub(crate) fn hash(&self) -> Option<String> {
        self.hash.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Runs a program that writes a download to its output, and compares that with what was sent.
    pub(crate) async fn downloaded_by(&self, mut command: Command, received: &Count) -> Outcome {
        let mut child = command.spawn()?;
        let mut stdout = child.stdout.take().ok_or("no standard output")?;
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
        loop {
            match stdout.read(&mut buffer).await? {
                0 => break,
                count => {
                    hash.update(&buffer[..count]);
                    received.add(count as u64);
                }
            }
        }
        let output = child.wait_with_output().await?;
        assert!(output.status.success(), "{command:?} failed: {output:?}");
        assert!(self.hash() == Some(origin::hex(hash)), "{command:?} has wrong bytes");
        Ok(())
    }

    async fn connection(&self, mut tcp: BufReader<TcpStream>) -> Outcome {
        loop {
            let mut request = String::new();
            if tcp.read_line(&mut request).await? == 0 {
                return Ok(());
            }
            let mut header = String::new();
            while header.trim_end() != "" || header.is_empty() {
                header.clear();
                tcp.read_line(&mut header).await?;
                if header.eq_ignore_ascii_case("expect: 100-continue\r\n") {
                    tcp.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                }
            }
            let target = request.split(' ').nth(1).ok_or("no target")?;
            match target.strip_prefix("/small/") {
                Some(_) if self.over.yet() => answer(&mut tcp, "410 Gone", "").await?,
                Some(number) => answer(&mut tcp, "200 OK", &format!("answer {number} ")).await?,
                None if target == "/stream" => self.stream(&mut tcp).await?,
                None => self.upload(&mut tcp).await?,
            }
        }
    }

    async fn stream(&self, tcp: &mut BufReader<TcpStream>) -> Outcome {
        tcp.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
        let mut hash = Sha256::new();
        for index in 0.. {
            if self.over.yet() {
                break;
            }
            let block = origin::block(index);
            hash.update(&block);
            tcp.write_all(format!("{:x}\r\n", block.len()).as_bytes()).await?;
            tcp.write_all(&block).await?;
            tcp.write_all(b"\r\n").await?;
        }
        self.keep(hash);
        tcp.write_all(b"0\r\n\r\n").await?;
        Ok(())
    }

    async fn upload(&self, tcp: &mut BufReader<TcpStream>) -> Outcome {
        let (mut hash, mut line, mut chunk) = (Sha256::new(), String::new(), Vec::new());
        loop {
            line.clear();
            tcp.read_line(&mut line).await?;
            let length = usize::from_str_radix(line.trim_end(), 16)?;
            // And the end of its line; after the last one, that of the (empty) trailer.
            chunk.resize(length + 2, 0);
            tcp.read_exact(&mut chunk).await?;
            if length == 0 {
                break;
            }
            hash.update(&chunk[..length]);
            self.moved.add(length as u64);
        }
        let text = self.keep(hash);
        answer(tcp, "200 OK", &text).await
    }

    fn keep(&self, hash: Sha256) -> String {
        let text = origin::hex(hash);
        *self.hash.lock().unwrap_or_else(|e| e.into_inner()) = Some(text.clone());
        text
    }
}

async fn answer(tcp: &mut BufReader<TcpStream>, status: &str, body: &str) -> Outcome {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
    Ok(tcp.write_all(text.as_bytes()).await?)
}
