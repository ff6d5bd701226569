//! A site under attack: a node that accepts, and a correct peer whose flow must not be disturbed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use throughline::{ConnectError, FlowStream, Identity, Limits, Node, PeerConfig, PeerId, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use crate::log;

/// Bounds the round trip of the bystander's echoes. Generous: a dozen tests share two cores.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(1);

/// An acceptor that trusts a correct peer and `guests`, and an echo between those two.
pub(crate) struct Site {
    /// The node under attack; it serves `echo`.
    pub(crate) node: Node,
    bystander: Node,
    stop: Arc<AtomicBool>,
    echo: JoinHandle<(u64, Duration)>,
}

/// Returns the configuration of a peer.
pub(crate) fn peer(id: PeerId, name: &str, locators: &[SocketAddr]) -> PeerConfig {
    PeerConfig::new(id, name).locators(locators.iter().copied())
}

/// Serves `echo` until the node ends.
pub(crate) fn serve_echo(node: &Node) {
    let mut listener = node.serve("echo").unwrap();
    tokio::spawn(async move {
        while let Ok(flow) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = tokio::io::split(flow.accept());
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
                let _ = writer.shutdown().await;
            });
        }
    });
}

impl Site {
    pub(crate) async fn new(guests: &[PeerId]) -> Self {
        Self::with_limits(guests, Limits::default()).await
    }

    pub(crate) async fn with_limits(guests: &[PeerId], limits: Limits) -> Self {
        log::capture();
        let identity = Identity::generate();
        let mut builder = Node::builder()
            .bind("127.0.0.1:0".parse().unwrap())
            .limits(limits)
            .peer(peer(identity.peer_id(), "bystander", &[]));
        for guest in guests {
            // A name of its own in each test, so that each finds its own lines in the log.
            let name = format!("guest-{}", guest.short());
            builder = builder.peer(peer(*guest, &name, &[]));
        }
        let node = builder.build().await.unwrap();
        serve_echo(&node);
        let locators = node.local_addrs();
        let there = peer(node.id(), "site", &locators);
        let bystander = Node::builder().identity(identity).peer(there).build().await.unwrap();
        let mut flow = bystander.connect(node.id(), Target::service("echo")).await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&stop);
        let echo = tokio::spawn(async move {
            let (mut count, mut worst) = (0u64, Duration::ZERO);
            while !ends.load(Ordering::Relaxed) {
                let sent = Instant::now();
                flow.write_all(&count.to_be_bytes()).await.unwrap();
                let mut back = [0; 8];
                flow.read_exact(&mut back).await.unwrap();
                assert_eq!(back, count.to_be_bytes(), "the bystander's flow has wrong bytes");
                worst = worst.max(sent.elapsed());
                count += 1;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            flow.shutdown().await.unwrap();
            assert_eq!(flow.read(&mut [0]).await.unwrap(), 0);
            (count, worst)
        });
        Self { node, bystander, stop, echo }
    }

    /// Returns the address at which the node is dialed.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.node.local_addrs()[0]
    }

    /// Has the bystander open a flow to `target`.
    pub(crate) async fn bystander_connects(
        &self,
        target: Target,
    ) -> Result<FlowStream, ConnectError> {
        self.bystander.connect(self.node.id(), target).await
    }

    /// Asserts that the bystander is undisturbed: its flow continued, and a new one can be opened.
    pub(crate) async fn assert_undisturbed(self) {
        let mut fresh =
            self.bystander.connect(self.node.id(), Target::service("echo")).await.unwrap();
        fresh.write_all(b"hello").await.unwrap();
        fresh.shutdown().await.unwrap();
        let mut back = String::new();
        fresh.read_to_string(&mut back).await.unwrap();
        assert_eq!(back, "hello");
        self.stop.store(true, Ordering::Relaxed);
        let (count, worst) = self.echo.await.unwrap();
        assert!(count > 0 && worst < MAX_ROUND_TRIP, "{count} echoes, the slowest {worst:?}");
        self.bystander.shutdown(Duration::ZERO).await;
        self.node.shutdown(Duration::ZERO).await;
    }
}
