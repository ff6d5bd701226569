//! Bulk speed on loopback without emulation: raw quinn, a flow between two nodes, and the whole
//! chain through SOCKS5 and two daemons, one after the other in one run, as ratios to raw quinn.
//!
//! Behind each rate stands what it cost: CPU seconds of this process for a gigabyte, clients and
//! servers included. On a busy machine that says more than the rate.
//!
//! `cargo run --release -p interop-tests --bin throughput [SECONDS [ROUNDS]]`

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use throughline::{Identity, Mode, Node, PeerConfig, Target};
use throughline_daemon::config::{Config, IdentitySource};
use throughline_daemon::run;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const CHUNK: usize = 64 * 1024;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let span = Duration::from_secs(args.next().transpose()?.unwrap_or(3));
    let rounds = args.next().transpose()?.unwrap_or(3);
    for round in 1..=rounds {
        println!("round {round}");
        let raw = report("raw quinn", None, raw_quinn(span).await?);
        report("flow between nodes", Some(raw), flow(span).await?);
        report("SOCKS5 download", Some(raw), socks(span, false).await?);
        report("SOCKS5 upload", Some(raw), socks(span, true).await?);
    }
    Ok(())
}

/// What was measured: Gbit/s, and CPU seconds for a gigabyte.
#[derive(Clone, Copy, Default)]
struct Speed {
    rate: f64,
    cost: f64,
}

fn report(name: &str, raw: Option<Speed>, speed: Speed) -> Speed {
    let Speed { rate, cost } = speed;
    let ratio = raw.map_or(String::new(), |raw| format!("{:.2} × raw quinn", rate / raw.rate));
    println!("  {name:20} {rate:6.2} Gbit/s  {cost:5.2} CPU s/GB  {ratio}");
    speed
}

/// A measurement that has begun.
struct Meter {
    begun: Instant,
    cpu: f64,
}

impl Meter {
    fn begin() -> Self {
        Self { begun: Instant::now(), cpu: cpu_seconds() }
    }

    fn end(&self, bytes: u64) -> Speed {
        let rate = bytes as f64 * 8.0 / self.begun.elapsed().as_secs_f64() / 1e9;
        Speed { rate, cost: (cpu_seconds() - self.cpu) / (bytes as f64 / 1e9) }
    }
}

/// Returns the CPU time of this process, user and system (proc(5), fields 14 and 15, in ticks of 10 ms).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|f| f.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

/// One endless stream over a plain quinn connection with quinn's own settings.
async fn raw_quinn(span: Duration) -> Result<Speed> {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".into()])?;
    let der = rustls_pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let server = quinn::ServerConfig::with_single_cert(vec![key.cert.der().clone()], der.into())?;
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = quinn::Endpoint::server(server, here)?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(key.cert.der().clone())?;
    let client = quinn::Endpoint::client(here)?;
    let config = quinn::ClientConfig::with_root_certificates(Arc::new(roots))?;
    let connecting = client.connect_with(config, server.local_addr()?, "localhost")?;
    let sender = tokio::spawn(async move {
        let connection = server.accept().await.ok_or("no connection")?.await?;
        let mut stream = connection.open_uni().await?;
        let chunk = Bytes::from(vec![7; CHUNK]);
        while stream.write_chunk(chunk.clone()).await.is_ok() {}
        Result::Ok(())
    });
    let connection = connecting.await?;
    let mut stream = connection.accept_uni().await?;
    let mut bufs = vec![Bytes::new(); 32];
    let meter = Meter::begin();
    let mut got = 0u64;
    while meter.begun.elapsed() < span {
        let Some(count) = stream.read_chunks(&mut bufs).await? else { break };
        got += bufs[..count].iter().map(|b| b.len() as u64).sum::<u64>();
    }
    let rate = meter.end(got);
    connection.close(0u8.into(), b"");
    sender.await??;
    Ok(rate)
}

/// Measures a flow between two nodes, its bytes passed as `Bytes`.
async fn flow(span: Duration) -> Result<Speed> {
    let (a, b) = (Identity::generate(), Identity::generate());
    let far = Node::builder()
        .identity(b.clone())
        .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .peer(PeerConfig::new(a.peer_id(), "near"))
        .build()
        .await?;
    let near = Node::builder()
        .identity(a)
        .peer(PeerConfig::new(b.peer_id(), "far").locators(far.local_addrs()))
        .build()
        .await?;
    let mut listener = far.serve("bulk")?;
    let sender = tokio::spawn(async move {
        let (_reader, mut writer) = listener.accept().await?.accept().into_split();
        let chunk = Bytes::from(vec![7; CHUNK]);
        while writer.write_chunk(&mut chunk.clone()).await.is_ok() {}
        Result::Ok(())
    });
    let flow = near.connect_with(b.peer_id(), Target::service("bulk"), Mode::Single).await?;
    let (mut reader, writer) = flow.into_split();
    let mut bufs = vec![Bytes::new(); 64];
    let meter = Meter::begin();
    let mut got = 0u64;
    while meter.begun.elapsed() < span {
        let count = reader.read_chunks(&mut bufs).await?;
        got += bufs[..count].iter().map(|b| b.len() as u64).sum::<u64>();
    }
    let rate = meter.end(got);
    drop((reader, writer));
    sender.await??;
    near.shutdown(Duration::ZERO).await;
    far.shutdown(Duration::ZERO).await;
    Ok(rate)
}

/// TCP client → SOCKS5 → daemon → lanes → daemon → TCP server, all on loopback.
async fn socks(span: Duration, upload: bool) -> Result<Speed> {
    let (a, b) = (Identity::generate(), Identity::generate());
    let far = format!(
        "identity = \"x\"\nlisten = [\"127.0.0.1:0\"]\nadmin = \"/tmp/throughput-far.sock\"\n\
         [peers.near]\nkey = \"{}\"\nallow = [\"127.0.0.1:*\"]\n",
        a.peer_id()
    );
    let mut far = Config::parse("far.toml", &far)?;
    far.identity = IdentitySource::Given(b.clone());
    let far = run::start(far).await?;
    let near = format!(
        "identity = \"x\"\nadmin = \"/tmp/throughput-near.sock\"\n[peers.far]\nkey = \"{}\"\n\
         locators = [\"{}\"]\n[ingress.socks]\nkind = \"socks5\"\nlisten = \"127.0.0.1:0\"\n\
         via = [\"far\"]\n",
        b.peer_id(),
        far.node().local_addrs()[0]
    );
    let mut near = Config::parse("near.toml", &near)?;
    near.identity = IdentitySource::Given(a);
    let near = run::start(near).await?;
    let socks = near.ingress_addr("socks").ok_or("no ingress")?;

    let server = TcpListener::bind("127.0.0.1:0").await?;
    let target = server.local_addr()?;
    let far_end = tokio::spawn(async move {
        let (stream, _) = server.accept().await?;
        move_bytes(stream, span, !upload).await
    });
    let mut client = TcpStream::connect(socks).await?;
    client.write_all(&[5, 1, 0]).await?;
    client.read_exact(&mut [0; 2]).await?;
    let mut request = vec![5, 1, 0, 1, 127, 0, 0, 1];
    request.extend(target.port().to_be_bytes());
    client.write_all(&request).await?;
    let mut reply = [0; 10];
    client.read_exact(&mut reply).await?;
    if reply[1] != 0 {
        return Err(format!("SOCKS5 reply {}", reply[1]).into());
    }
    let near_end = move_bytes(client, span, upload).await?;
    let far_end = far_end.await??;
    let rate = if upload { far_end } else { near_end };
    near.shutdown(Duration::ZERO).await;
    far.shutdown(Duration::ZERO).await;
    Ok(rate)
}

/// Sends until the other end goes, or receives for `span`; the receiver gives its rate.
async fn move_bytes(mut stream: TcpStream, span: Duration, send: bool) -> Result<Speed> {
    if send {
        let chunk = vec![7; 4 * CHUNK];
        while stream.write_all(&chunk).await.is_ok() {}
        return Ok(Speed::default());
    }
    let mut buf = vec![0; 4 * CHUNK];
    let meter = Meter::begin();
    let mut got = 0;
    while meter.begun.elapsed() < span {
        got += stream.read(&mut buf).await? as u64;
    }
    Ok(meter.end(got))
}
