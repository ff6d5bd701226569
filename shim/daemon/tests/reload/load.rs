//! Load through the daemons, every byte of it checked: bulk both ways, flows that are idle, and an echo whose
//! round trips are measured.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use throughline_fixture::{Outcome, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than any wait that ends well, an ISP's failure included.
const FLOW_TIMEOUT: Duration = Duration::from_secs(20);

/// Pause between two echoes.
const ECHO_INTERVAL: Duration = Duration::from_millis(5);

/// The byte at an offset of a bulk flow.
fn byte_at(offset: u64) -> u8 {
    (offset.wrapping_mul(31) ^ (offset / 253)) as u8
}

/// A bulk flow that goes on until it is told to stop.
struct Bulk {
    received: Arc<AtomicU64>,
    sending: JoinHandle<Outcome<u64>>,
    receiving: JoinHandle<Outcome<u64>>,
}

/// A flow that is idle between two questions of whether it is still there.
pub(crate) struct Idle(TcpStream);

/// Load that runs until it is stopped.
pub(crate) struct Load {
    stop: watch::Sender<bool>,
    bulk: Vec<Bulk>,
    pub(crate) idle: Vec<Idle>,
    echo: JoinHandle<Outcome<RoundTrips>>,
}

/// What an echo's round trips were: when each began, and how long it took.
pub(crate) type RoundTrips = Vec<(Instant, Duration)>;

impl Load {
    /// Starts so many bulk flows each way and idle ones through `bulk` (to `listener`) and `echo`.
    pub(crate) async fn start(
        bulk: SocketAddr,
        listener: &TcpListener,
        echo: SocketAddr,
        (bulk_flows, idle_flows): (usize, usize),
    ) -> Outcome<Self> {
        let stop = watch::Sender::new(false);
        let mut flows = Vec::new();
        for _ in 0..bulk_flows {
            let client = TcpStream::connect(bulk).await?;
            let (server, _) = timeout(FLOW_TIMEOUT, listener.accept()).await??;
            for (from, to) in [split(client, server)].into_iter().flatten() {
                flows.push(Bulk::start(from, to, stop.subscribe()));
            }
        }
        let mut idle = Vec::new();
        for _ in 0..idle_flows {
            let mut flow = Idle(TcpStream::connect(echo).await?);
            flow.answers().await?;
            idle.push(flow);
        }
        let echo = tokio::spawn(measure(TcpStream::connect(echo).await?, stop.subscribe()));
        Ok(Self { stop, bulk: flows, idle, echo })
    }

    /// Waits until every bulk flow has moved on.
    pub(crate) async fn moves(&self) -> Outcome {
        for flow in &self.bulk {
            let before = flow.received.load(Ordering::Relaxed);
            if !until(async || flow.received.load(Ordering::Relaxed) > before + 10_000).await {
                return Err(format!("a bulk flow stands still at {before}").into());
            }
        }
        Ok(())
    }

    /// Stops the load, and checks that every byte came, once, in order, and that the idle flows answer.
    pub(crate) async fn stop(mut self) -> Outcome<RoundTrips> {
        for flow in &mut self.idle {
            flow.answers().await?;
        }
        self.stop.send_replace(true);
        for flow in self.bulk {
            let sent = timeout(FLOW_TIMEOUT, flow.sending).await???;
            let received = timeout(FLOW_TIMEOUT, flow.receiving).await???;
            if sent != received || received == 0 {
                return Err(format!("{sent} bytes were sent and {received} came").into());
            }
        }
        timeout(FLOW_TIMEOUT, self.echo).await??
    }
}

impl Idle {
    /// Asks the flow whether it is still there.
    pub(crate) async fn answers(&mut self) -> Outcome {
        let exchange = async {
            self.0.write_all(b"?").await?;
            self.0.read_exact(&mut [0; 1]).await
        };
        timeout(FLOW_TIMEOUT, exchange).await.map_err(|_| "an idle flow does not answer")??;
        Ok(())
    }

    /// Waits for the flow's end; returns whether it was a reset.
    pub(crate) async fn ends_with_reset(mut self) -> Outcome<bool> {
        let ended = timeout(FLOW_TIMEOUT, self.0.read(&mut [0; 1])).await;
        let ended = ended.map_err(|_| "the flow does not end")?;
        Ok(ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset))
    }

    pub(crate) async fn open(echo: SocketAddr) -> Outcome<Self> {
        let mut flow = Self(TcpStream::connect(echo).await?);
        flow.answers().await?;
        Ok(flow)
    }
}

type Half = (OwnedReadHalf, OwnedWriteHalf);

/// Returns the writing and the reading end of each direction of a flow.
fn split(client: TcpStream, server: TcpStream) -> [(OwnedWriteHalf, OwnedReadHalf); 2] {
    let ((client_in, client_out), (server_in, server_out)): (Half, Half) =
        (client.into_split(), server.into_split());
    [(client_out, server_in), (server_out, client_in)]
}

impl Bulk {
    fn start(to: OwnedWriteHalf, from: OwnedReadHalf, stop: watch::Receiver<bool>) -> Self {
        let received = Arc::new(AtomicU64::new(0));
        let sending = tokio::spawn(send(to, stop));
        let receiving = tokio::spawn(receive(from, received.clone()));
        Self { received, sending, receiving }
    }
}

/// Sends until it is told to stop; returns how many bytes.
async fn send(mut to: OwnedWriteHalf, stop: watch::Receiver<bool>) -> Outcome<u64> {
    let mut sent = 0;
    while !*stop.borrow() {
        let block: Vec<u8> = (sent..sent + 16_384).map(byte_at).collect();
        to.write_all(&block).await.map_err(|error| format!("at {sent}: {error}"))?;
        sent += block.len() as u64;
    }
    to.shutdown().await?;
    Ok(sent)
}

/// Receives to the end and checks every byte; returns how many came.
async fn receive(mut from: OwnedReadHalf, count: Arc<AtomicU64>) -> Outcome<u64> {
    let (mut at, mut block) = (0, vec![0; 16_384]);
    loop {
        let read = from.read(&mut block).await;
        let read = read.map_err(|error| format!("after {at} bytes: {error}"))?;
        if read == 0 {
            return Ok(at);
        }
        let wrong = block[..read].iter().zip(at..).find(|(byte, at)| **byte != byte_at(*at));
        if let Some((_, at)) = wrong {
            return Err(format!("the byte at {at} is wrong").into());
        }
        at += read as u64;
        count.store(at, Ordering::Relaxed);
    }
}

async fn measure(mut tcp: TcpStream, stop: watch::Receiver<bool>) -> Outcome<RoundTrips> {
    tcp.set_nodelay(true)?;
    let mut round_trips = Vec::new();
    for number in 0_u64.. {
        if *stop.borrow() {
            break;
        }
        let (begun, mut answer) = (Instant::now(), [0; 8]);
        let exchange = async {
            tcp.write_all(&number.to_be_bytes()).await?;
            tcp.read_exact(&mut answer).await
        };
        timeout(FLOW_TIMEOUT, exchange).await.map_err(|_| "the echo does not answer")??;
        if answer != number.to_be_bytes() {
            return Err("the echo answers something else".into());
        }
        round_trips.push((begun, begun.elapsed()));
        tokio::time::sleep(ECHO_INTERVAL).await;
    }
    Ok(round_trips)
}
