//! A destination that echoes, and what both daemons know of its flows.

use std::net::SocketAddr;
use std::time::Duration;

use throughline_fixture::{DEADLINE, DaemonPair};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A destination that sends each datagram back to who sent it, until it is dropped.
pub(crate) struct Echo {
    pub(crate) addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Echo {
    pub(crate) async fn start() -> Self {
        Self::at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn at(addr: SocketAddr) -> Self {
        let socket = UdpSocket::bind(addr).await.unwrap();
        let addr = socket.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut buffer = vec![0; 65_535];
            loop {
                // ICMP may say that a client is gone.
                if let Ok((len, from)) = socket.recv_from(&mut buffer).await {
                    let _ = socket.send_to(&buffer[..len], from).await;
                }
            }
        });
        Self { addr, task }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client of an address.
pub(crate) async fn client(of: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(of).await.unwrap();
    socket
}

/// Waits for a datagram.
pub(crate) async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65_535];
    let len = timeout(DEADLINE, socket.recv(&mut buffer)).await.expect("no datagram").unwrap();
    buffer[..len].to_vec()
}

/// Sends a datagram until it is answered, as whoever uses UDP does; returns the answer.
pub(crate) async fn ask(socket: &UdpSocket, datagram: &[u8]) -> Vec<u8> {
    let asking = async {
        loop {
            let _ = socket.send(datagram).await;
            let mut buffer = vec![0; 65_535];
            let answer = timeout(Duration::from_millis(500), socket.recv(&mut buffer)).await;
            if let Ok(Ok(len)) = answer {
                return buffer[..len].to_vec();
            }
        }
    };
    timeout(DEADLINE, asking).await.expect("never answered")
}

/// Returns the destinations of the flows that the near daemon has.
pub(crate) async fn targets(pair: &DaemonPair) -> Vec<String> {
    let report = pair.near_report().await;
    let sessions = report.peers.iter().flat_map(|peer| &peer.sessions);
    sessions.flat_map(|session| &session.flows).map(|flow| flow.target.clone()).collect()
}
