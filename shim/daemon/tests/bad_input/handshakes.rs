//! Unknown peers that begin handshakes and never end them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use quinn_proto::{Connection, ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig};
use throughline::{Identity, Node, Target, UplinkConfig};
use throughline_proto::wire::ALPN;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::bystander::{Site, peer};
use crate::hostile::{self, TEST_TIMEOUT};

/// Dials `addr` from one socket, so many clients at once and one more each `interval`. Each answers a
/// Retry, and reads nothing that follows it.
struct Stallers {
    socket: UdpSocket,
    endpoint: Endpoint,
    clients: HashMap<ConnectionHandle, Connection>,
    addr: SocketAddr,
    answered: Arc<AtomicUsize>,
}

impl Stallers {
    fn new(from: IpAddr, addr: SocketAddr, answered: Arc<AtomicUsize>) -> Self {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let endpoint = Endpoint::new(Arc::new(EndpointConfig::default()), None, false, None);
        Self { socket, endpoint, clients: HashMap::new(), addr, answered }
    }

    fn dial(&mut self) {
        let config = hostile::client_config(None, ALPN);
        let dialed = self.endpoint.connect(Instant::now(), config, self.addr, "stalls");
        let (handle, mut client) = dialed.unwrap();
        self.transmit(&mut client);
        self.clients.insert(handle, client);
    }

    fn transmit(&self, client: &mut Connection) {
        let mut buffer = Vec::new();
        while let Some(transmit) = client.poll_transmit(Instant::now(), 1, &mut buffer) {
            let _ = self.socket.send_to(&buffer[..transmit.size], self.addr);
            buffer.clear();
        }
    }

    /// Answers a Retry; of anything else nothing is read.
    fn receive(&mut self) {
        let mut datagram = [0; 2000];
        let Ok((len, from)) = self.socket.recv_from(&mut datagram) else { return };
        // RFC 9000 §17.2.5: a long header of type 3.
        if datagram[0] & 0xf0 != 0xf0 {
            return;
        }
        let bytes = datagram[..len].into();
        let event = self.endpoint.handle(Instant::now(), from, None, None, bytes, &mut Vec::new());
        let Some(DatagramEvent::ConnectionEvent(handle, event)) = event else { return };
        if let Some(mut client) = self.clients.remove(&handle) {
            client.handle_event(event);
            self.transmit(&mut client);
            self.clients.insert(handle, client);
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn run(mut self, at_once: usize, interval: Duration, stop: &AtomicBool) {
        (0..at_once).for_each(|_| self.dial());
        let mut next = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            self.receive();
            if Instant::now() >= next {
                self.dial();
                next += interval;
            }
        }
    }
}

/// Returns how long a node takes from its first dial to an echo; `from` is the address that it dials from.
async fn dial(site: &Site, identity: &Identity, from: [u8; 4]) -> Duration {
    let there = peer(site.node.id(), "site", &[site.addr()]);
    let uplink = UplinkConfig::new("isp").prefix(IpAddr::from(from));
    let node = Node::builder().identity(identity.clone()).peer(there).uplink(uplink);
    let began = Instant::now();
    let node = node.build().await.unwrap();
    let flow = node.connect(site.node.id(), Target::service("echo"));
    let mut flow = timeout(2 * TEST_TIMEOUT, flow).await.expect("no session").unwrap();
    flow.write_all(b"hello").await.unwrap();
    flow.read_exact(&mut [0; 5]).await.unwrap();
    let took = began.elapsed();
    node.shutdown(Duration::ZERO).await;
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_stall_in_the_handshake_keep_no_peer_out() {
    let (near, far) = (Identity::generate(), Identity::generate());
    let site = Site::new(&[near.peer_id(), far.peer_id()]).await;
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let stallers = Stallers::new([127, 0, 77, 1].into(), site.addr(), answered.clone());
    let flood = std::thread::spawn({
        let stop = stop.clone();
        move || stallers.run(300, Duration::from_millis(4), &stop)
    });
    while answered.load(Ordering::Relaxed) < 200 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // From where the flood comes, and from elsewhere.
    let within = dial(&site, &near, [127, 0, 77, 1]).await;
    let beside = dial(&site, &far, [127, 0, 78, 1]).await;
    println!("{within:?} beside the flood, {beside:?} from elsewhere");
    assert!(within < Duration::from_secs(4) && beside < Duration::from_secs(4));
    stop.store(true, Ordering::Relaxed);
    flood.join().unwrap();
    site.assert_undisturbed().await;
}
