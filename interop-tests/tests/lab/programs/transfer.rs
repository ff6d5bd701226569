//! A download that lasts until it is told to end: an origin, and a program that writes what it gets to its output.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use interop_tests::lab::host::Host;
use interop_tests::support::Outcome;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinHandle;

/// A server of one download.
pub(crate) struct Origin {
    pub(crate) addr: SocketAddr,
    over: Arc<AtomicBool>,
    sent: JoinHandle<Outcome<String>>,
}

impl Origin {
    /// Serves at an address of a host.
    pub(crate) async fn serve(host: &Host, at: &str) -> Outcome<Self> {
        let (at, over) = (format!("{at}:0"), Arc::new(AtomicBool::new(false)));
        let listener = host.spawn(async move { TcpListener::bind(at).await })?.await??;
        let (addr, ends) = (listener.local_addr()?, over.clone());
        let sent = host.spawn(async move {
            let (stream, _) = listener.accept().await?;
            send(stream, &ends).await
        })?;
        Ok(Self { addr, over, sent })
    }

    /// Ends the download; returns the hash of what was sent.
    pub(crate) async fn finish(self) -> Outcome<String> {
        self.over.store(true, Ordering::Relaxed);
        self.sent.await?
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }
}

async fn send(stream: TcpStream, over: &AtomicBool) -> Outcome<String> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err("the client has gone before its request was complete".into());
        }
    }
    // In chunks, so that an end that comes too early is none.
    stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
    let mut hash = Sha256::new();
    for index in 0_u64.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let block = index.to_be_bytes().repeat(2048);
        hash.update(&block);
        stream.write_all(format!("{:x}\r\n", block.len()).as_bytes()).await?;
        stream.write_all(&block).await?;
        stream.write_all(b"\r\n").await?;
    }
    stream.write_all(b"0\r\n\r\n").await?;
    stream.flush().await?;
    Ok(format!("{:x}", hash.finalize()))
}

/// A program that downloads.
pub(crate) struct Download {
    received: Arc<AtomicU64>,
    hash: JoinHandle<Outcome<String>>,
}

impl Download {
    /// Starts a program on a host.
    pub(crate) fn start(host: &Host, program: &str, arguments: &[&str]) -> Outcome<Self> {
        let mut command = Command::new(program);
        command.args(arguments).env("no_proxy", "*");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let received = Arc::new(AtomicU64::new(0));
        let count = received.clone();
        let hash = host.spawn(async move {
            let mut child = command.kill_on_drop(true).spawn()?;
            let mut stdout = child.stdout.take().ok_or("no standard output")?;
            let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
            loop {
                match stdout.read(&mut buffer).await? {
                    0 => break,
                    read => {
                        hash.update(&buffer[..read]);
                        count.fetch_add(read as u64, Ordering::Relaxed);
                    }
                }
            }
            let output = child.wait_with_output().await?;
            match output.status.success() {
                true => Outcome::Ok(format!("{:x}", hash.finalize())),
                false => Err(format!("{command:?}: {output:?}").into()),
            }
        })?;
        Ok(Self { received, hash })
    }

    /// Returns how many bytes have come.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Waits until the program has ended in order, and returns the hash of what it wrote.
    pub(crate) async fn finish(self) -> Outcome<String> {
        tokio::time::timeout(super::STEP_TIMEOUT, self.hash).await??
    }
}
