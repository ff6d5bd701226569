//! UDP at a rate that does not depend on what arrives.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use crate::lab::Lab;
use crate::lab::flow::Kind;
use crate::measure::Record;
use crate::support::Outcome;

/// Of a datagram, and of what comes before it on the wire (IPv4 and UDP).
const PAYLOAD: usize = 1400;
const HEADERS: usize = 28;
/// How often what is due is sent: less than a queue of the lab is long.
const INTERVAL: Duration = Duration::from_millis(2);

/// A stream that runs until it is dropped.
pub(super) struct Stream {
    /// Bytes that have arrived, headers included.
    pub(super) record: Record,
    tasks: [JoinHandle<Outcome>; 2],
}

impl Stream {
    /// Starts one over the client's first ISP, in the direction of a bulk flow.
    pub(super) async fn start(lab: &Lab, direction: Kind, rate: u64) -> Outcome<Self> {
        let (client, server) = (&lab.client, &lab.server);
        let (from, to) =
            if direction == Kind::Upload { (client, server) } else { (server, client) };
        let target = to.uplinks[0].prefixes[0].host;
        let bind = async move { UdpSocket::bind(SocketAddr::from((target, 0))).await };
        let receiver = to.host.spawn(bind)?.await??;
        let port = receiver.local_addr()?.port();
        let record = Record::default();
        let received = to.host.spawn(receive(receiver, record.clone()))?;
        let source = from.uplinks[0].prefixes[0].host;
        let sent = from.host.spawn(async move {
            let socket = UdpSocket::bind(SocketAddr::from((source, 0))).await?;
            socket.connect(SocketAddr::from((target, port))).await?;
            send(&socket, rate).await
        })?;
        Ok(Self { record, tasks: [received, sent] })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn send(socket: &UdpSocket, rate: u64) -> Outcome {
    let (begun, payload) = (Instant::now(), [0; PAYLOAD]);
    let mut tick = tokio::time::interval(INTERVAL);
    let mut sent = 0;
    loop {
        tick.tick().await;
        let due = (begun.elapsed().as_secs_f64() * rate as f64 / 8.0) as usize;
        while sent < due {
            // What the kernel does not take is lost, as in the network.
            let _ = socket.send(&payload).await;
            sent += PAYLOAD + HEADERS;
        }
    }
}

async fn receive(socket: UdpSocket, record: Record) -> Outcome {
    let (mut buffer, mut got) = (vec![0; 2048], 0);
    loop {
        got += (socket.recv(&mut buffer).await? + HEADERS) as u64;
        record.push(got).await;
    }
}
