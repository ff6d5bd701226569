//! Two nodes in one process, with two emulated ISPs between them.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use throughline::{Identity, Limits, Node, PeerConfig, UplinkConfig};
use throughline_emulator::{Emulator, IspHandle, Profile};

/// What the two ISPs are like.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Bit/s each way.
    pub rate: u64,
    /// Round trip without queueing.
    pub rtt: Duration,
    /// Locators of the right node: 1, or 2 for lanes that are disjoint at both ends.
    pub locators: usize,
    /// The second uplink is metered: cold until needed.
    pub standby: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Self { rate: 200_000_000, rtt: Duration::from_millis(20), locators: 2, standby: false }
    }
}

/// Two nodes; the left one has two uplinks and dials.
pub struct Pair {
    /// The node that dials.
    pub left: Node,
    /// The node that is dialled.
    pub right: Node,
    /// The internet between them.
    pub internet: Emulator,
}

/// An ISP's name, the left node's address in it, how the right one sees that, and a locator.
type Site = (&'static str, [u8; 4], [u8; 4], [u8; 4]);

const SITES: [Site; 2] = [
    ("isp-a", [127, 0, 11, 1], [127, 0, 21, 1], [127, 0, 31, 1]),
    ("isp-b", [127, 0, 12, 1], [127, 0, 22, 1], [127, 0, 32, 1]),
];

impl Pair {
    /// Starts both and waits until the lanes are up.
    ///
    /// # Errors
    /// When a socket cannot be had, or the lanes do not come up within 5 s.
    pub async fn start(shape: Shape) -> Result<Self, Box<dyn Error + Send + Sync>> {
        let profile = Profile::new(shape.rate, shape.rtt / 2);
        let mut builder = Emulator::builder();
        for (name, client, seen_as, _) in SITES {
            builder = builder.isp(name, &profile).client(
                name,
                IpAddr::from(client),
                IpAddr::from(seen_as),
            );
        }
        let internet = builder.start()?;
        let (a, b) = (Identity::generate(), Identity::generate());
        let right = Node::builder()
            .identity(b.clone())
            .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .peer(PeerConfig::new(a.peer_id(), "left"))
            .build()
            .await?;
        let server = right.local_addrs()[0];
        let mut locators = Vec::new();
        for (_, _, _, locator) in SITES.iter().take(shape.locators) {
            let listen = SocketAddr::from((*locator, 0));
            locators.push(internet.udp_locator(listen, server, None)?);
        }
        let mut left = Node::builder().identity(a).limits(Limits::default());
        for (index, (name, client, _, _)) in SITES.into_iter().enumerate() {
            let uplink = UplinkConfig::new(name).prefix(IpAddr::from(client));
            left = left.uplink(uplink.metered(shape.standby && index == 1));
        }
        let left =
            left.peer(PeerConfig::new(b.peer_id(), "right").locators(locators)).build().await?;
        let pair = Self { left, right, internet };
        let lanes = if shape.standby { 1 } else { 2 };
        pair.lanes_up(lanes, Duration::from_secs(5)).await?;
        Ok(pair)
    }

    /// Waits until `count` lanes are up at both ends.
    ///
    /// # Errors
    /// When they are not within `patience`; says what is there.
    pub async fn lanes_up(
        &self,
        count: usize,
        patience: Duration,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let up = |node: &Node| {
            let status = node.status();
            let sessions = status.peers.iter().flat_map(|p| &p.sessions);
            let lanes = sessions.flat_map(|s| &s.lanes);
            lanes.filter(|l| l.state == throughline::LaneState::Up).count()
        };
        let until = tokio::time::Instant::now() + patience;
        while tokio::time::Instant::now() < until {
            if up(&self.left) >= count && up(&self.right) >= count {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(format!("{count} lanes were wanted; {:#?}", self.left.status()).into())
    }

    /// An ISP: 0 is `isp-a`, 1 is `isp-b`.
    pub fn isp(&self, index: usize) -> IspHandle {
        self.internet.isp(SITES[index].0)
    }

    /// Ends both nodes.
    pub async fn stop(self) {
        self.left.shutdown(Duration::ZERO).await;
        self.right.shutdown(Duration::ZERO).await;
    }
}
