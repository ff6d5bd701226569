//! Applications: a download, an upload and an echo through the SOCKS5 ingress, checked byte for
//! byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use throughline_fixture::DEADLINE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The size of an echo, in bytes.
const ECHO_SIZE: usize = 64;
/// The interval between echoes.
const ECHO_INTERVAL: Duration = Duration::from_millis(20);

/// A SOCKS5 CONNECT to an address; the connection, or the reply's code.
pub(crate) async fn connect(ingress: SocketAddr, to: SocketAddr) -> Result<TcpStream, u8> {
    let SocketAddr::V4(to) = to else { panic!("IPv4 only") };
    let mut tcp = TcpStream::connect(ingress).await.unwrap();
    let mut request = vec![5, 1, 0, 5, 1, 0, 1];
    request.extend_from_slice(&to.ip().octets());
    request.extend_from_slice(&to.port().to_be_bytes());
    tcp.write_all(&request).await.unwrap();
    let mut reply = [0; 12];
    timeout(DEADLINE, tcp.read_exact(&mut reply)).await.expect("no reply").unwrap();
    tcp.set_nodelay(true).unwrap();
    if reply[3] == 0 { Ok(tcp) } else { Err(reply[3]) }
}

fn byte(offset: u64) -> u8 {
    (offset.wrapping_mul(31) ^ (offset >> 11)) as u8
}

/// Three flows, running until [`Flows::end`].
pub(crate) struct Flows {
    /// When each echo came back, and how long it took.
    echoes: Arc<Mutex<Vec<(Instant, Duration)>>>,
    pub(crate) down: Arc<AtomicU64>,
    pub(crate) up: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Flows {
    pub(crate) async fn start(ingress: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (down, up) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let echoes = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();

        let (from, to) = pipe(ingress).await;
        tasks.push(tokio::spawn(send(from, stop.clone())));
        tasks.push(tokio::spawn(receive(to, down.clone())));
        let (to, from) = pipe(ingress).await;
        tasks.push(tokio::spawn(send(from, stop.clone())));
        tasks.push(tokio::spawn(receive(to, up.clone())));
        let (server, client) = pipe(ingress).await;
        tasks.push(tokio::spawn(send_back(server)));
        tasks.push(tokio::spawn(ask(client, stop.clone(), echoes.clone())));
        Self { echoes, down, up, stop, tasks }
    }

    /// Returns the longest round trip of the echoes that came since.
    pub(crate) fn worst_echo(&self, since: Instant) -> Duration {
        let echoes = self.echoes.lock();
        let of = echoes.iter().filter(|(at, _)| *at >= since).map(|(_, took)| *took);
        of.max().expect("no echo at all")
    }

    /// Ends the flows wherever they are.
    pub(crate) fn abandon(self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }

    /// Ends the flows; panics if one broke or a byte was wrong.
    pub(crate) async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            timeout(DEADLINE, task).await.expect("a flow hangs").unwrap();
        }
    }
}

/// Both ends of a flow: the destination's and the application's.
async fn pipe(ingress: SocketAddr) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = connect(ingress, listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
    server.set_nodelay(true).unwrap();
    (server, app)
}

async fn send(mut tcp: TcpStream, stop: Arc<AtomicBool>) {
    let mut offset = 0;
    while !stop.load(Ordering::Relaxed) {
        let chunk: Vec<u8> = (offset..offset + 16_384).map(byte).collect();
        tcp.write_all(&chunk).await.unwrap();
        offset += chunk.len() as u64;
    }
    tcp.shutdown().await.unwrap();
    assert_eq!(tcp.read(&mut [0]).await.unwrap(), 0);
}

async fn receive(mut tcp: TcpStream, count: Arc<AtomicU64>) {
    let mut chunk = vec![0; 65_536];
    loop {
        let len = tcp.read(&mut chunk).await.unwrap();
        if len == 0 {
            break;
        }
        let offset = count.fetch_add(len as u64, Ordering::Relaxed);
        let wrong = chunk[..len].iter().zip(offset..).position(|(b, at)| *b != byte(at));
        assert_eq!(wrong, None, "a wrong byte near {offset}");
    }
    tcp.shutdown().await.unwrap();
}

async fn send_back(mut tcp: TcpStream) {
    let mut echo = [0; ECHO_SIZE];
    while tcp.read_exact(&mut echo).await.is_ok() {
        tcp.write_all(&echo).await.unwrap();
    }
    let _ = tcp.shutdown().await;
}

async fn ask(
    mut tcp: TcpStream,
    stop: Arc<AtomicBool>,
    echoes: Arc<Mutex<Vec<(Instant, Duration)>>>,
) {
    for number in 0u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let asked = Instant::now();
        let mut echo = [0; ECHO_SIZE];
        echo[..8].copy_from_slice(&number.to_be_bytes());
        tcp.write_all(&echo).await.unwrap();
        let mut answer = [0; ECHO_SIZE];
        timeout(DEADLINE, tcp.read_exact(&mut answer)).await.expect("no echo").unwrap();
        assert_eq!(answer, echo);
        echoes.lock().push((Instant::now(), asked.elapsed()));
        tokio::time::sleep_until((asked + ECHO_INTERVAL).into()).await;
    }
    tcp.shutdown().await.unwrap();
}
