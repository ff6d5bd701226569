//! Two daemons and a destination, each a process.

use std::net::SocketAddr;
use std::path::PathBuf;

use interop_tests::process::{Process, free_udp_port};
use interop_tests::support::Outcome;
use tempfile::TempDir;
use throughline::Identity;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::process::{Usage, again, usage};

/// What the ingress is called.
const INGRESS: &str = "ingress";

/// The destination asked for bytes: it sends until the connection ends.
pub(crate) const SEND: u8 = b's';
/// The destination asked to take bytes: it reads until the connection ends.
pub(crate) const TAKE: u8 = b't';
/// The destination asked to answer each byte with the same.
pub(crate) const ECHO: u8 = b'e';

/// Two daemons with a session between them, and an ingress at the near one.
pub(crate) struct Pair {
    near: Process,
    far: Process,
    home: TempDir,
}

impl Pair {
    /// Starts both; what enters at the ingress goes to `target`. `uplinks` lanes are kept.
    pub(crate) fn start(target: SocketAddr, uplinks: u8, limits: &str) -> Outcome<Self> {
        let table = format!(
            "[ingress.{INGRESS}]\nkind = 'forward'\nlisten = '127.0.0.1:0'\nto = '{target}'\n\
             via = 'far'\n"
        );
        Self::start_with(uplinks, limits, &table)
    }

    /// Starts both, with these ingresses at the near one.
    pub(crate) fn start_with(uplinks: u8, limits: &str, ingresses: &str) -> Outcome<Self> {
        let home = tempfile::tempdir()?;
        let path = |name: &str| home.path().join(name);
        let near_key = Identity::create(path("near.key"))?.peer_id();
        let far_key = Identity::create(path("far.key"))?.peer_id();
        let port = free_udp_port()?;
        let far = format!(
            "identity = 'far.key'\nlisten = '0.0.0.0:{port}'\nadmin = 'far.sock'\n{limits}\n\
             [peers.near]\nkey = '{near_key}'\nallow = ['127.0.0.1:*', '127.0.54.1:53']\n"
        );
        // The first is one that the interface lists, so that packets may be as large as it carries.
        let uplink = |n| format!("[uplinks.isp-{n}]\nprefixes = '127.0.0.{n}/32'\n");
        let uplinks: String = (1..=uplinks).map(uplink).collect();
        let near = format!(
            "identity = 'near.key'\nadmin = 'near.sock'\n{limits}\n{uplinks}\
             [peers.far]\nkey = '{far_key}'\nlocators = '127.0.0.1:{port}'\n\
             {ingresses}"
        );
        std::fs::write(path("far.toml"), far)?;
        std::fs::write(path("near.toml"), near)?;
        let run = |name: &str| {
            let file = path(&format!("{name}.toml"));
            again(name, &["run", "-c", &file.to_string_lossy()])
        };
        let (far, near) = (run("far")?, run("near")?);
        near.says("session up")?;
        Ok(Self { near, far, home })
    }

    /// Returns where applications connect.
    pub(crate) fn ingress(&self) -> Outcome<SocketAddr> {
        self.ingress_named(INGRESS)
    }

    /// Returns the address of an ingress.
    pub(crate) fn ingress_named(&self, name: &str) -> Outcome<SocketAddr> {
        self.near.ingress(name)
    }

    /// Returns the address that the near daemon says after this.
    pub(crate) fn near_addr(&self, said: &str) -> Outcome<SocketAddr> {
        let line = self.near.says(said)?;
        let addr = line.split("addr=").nth(1).and_then(|rest| rest.split_whitespace().next());
        Ok(addr.ok_or("no address")?.parse()?)
    }

    /// Returns the admin socket of the near daemon.
    pub(crate) fn near_socket(&self) -> PathBuf {
        self.home.path().join("near.sock")
    }

    /// Returns how many descriptors the near and the far daemon have open.
    pub(crate) fn descriptors(&self) -> Outcome<[usize; 2]> {
        Ok([self.near.descriptors()?, self.far.descriptors()?])
    }

    /// Returns what the near and the far daemon use.
    pub(crate) fn usage(&self) -> Outcome<[Usage; 2]> {
        Ok([usage(self.near.id())?, usage(self.far.id())?])
    }
}

/// A destination in a process of its own.
pub(crate) struct Origin {
    _process: Process,
    pub(crate) addr: SocketAddr,
}

impl Origin {
    pub(crate) fn start() -> Outcome<Self> {
        let process = again("origin", &["origin"])?;
        let line = process.says("origin at ")?;
        let addr = line.trim_start_matches("origin at ").trim().parse()?;
        Ok(Self { _process: process, addr })
    }
}

/// Connections that may wait to be accepted: more than are ever made at once. One for which there is no room is tried
/// again after a second, and would be counted as a slow open.
const BACKLOG: u32 = 4096;

/// Listens on loopback.
pub(super) fn listen() -> Outcome<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    Ok(socket.listen(BACKLOG)?)
}

/// Is the destination, until the process is ended.
pub(crate) async fn serve_origin() -> Outcome {
    let listener = listen()?;
    eprintln!("origin at {}", listener.local_addr()?);
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    }
}

/// Does what the first byte asks for; returns how many bytes it took.
pub(crate) async fn answer(mut stream: TcpStream) -> Outcome<u64> {
    let mut first = [0];
    stream.read_exact(&mut first).await?;
    match first[0] {
        ECHO => {
            let mut byte = first;
            loop {
                stream.write_all(&byte).await?;
                stream.read_exact(&mut byte).await?;
            }
        }
        SEND => {
            let block = vec![7; 256 << 10];
            loop {
                stream.write_all(&block).await?;
            }
        }
        _ => Ok(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?),
    }
}
