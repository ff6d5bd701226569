//! One daemon with many peers, each with two idle lanes.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use interop_tests::process::free_udp_port;
use interop_tests::support::{Outcome, lanes};
use throughline::{Identity, Node, PeerConfig, UplinkConfig};

use super::process::{again, megabytes, usage};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many peers.
    #[arg(default_value_t = 1000)]
    peers: usize,
    /// For how long the CPU time is counted, in seconds; keep-alives are sent every 15 s.
    #[arg(long, default_value_t = 60)]
    idle: u64,
}

/// The peers dial; the daemon is the only one that listens.
pub(crate) async fn measure(options: &Options) -> Outcome {
    let home = tempfile::tempdir()?;
    let id = Identity::create(home.path().join("hub.key"))?.peer_id();
    let peers: Vec<Identity> = (0..options.peers).map(|_| Identity::generate()).collect();
    let port = free_udp_port()?;
    let mut config =
        format!("identity = 'hub.key'\nlisten = '127.0.0.1:{port}'\nadmin = 'hub.sock'\n");
    for (number, peer) in peers.iter().enumerate() {
        config += &format!("[peers.p{number}]\nkey = '{}'\n", peer.peer_id());
    }
    let file = home.path().join("hub.toml");
    std::fs::write(&file, config)?;
    let hub = again("hub", &["run", "-c", &file.to_string_lossy()])?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = usage(hub.id())?;
    let begun = Instant::now();
    let locator = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut nodes = Vec::new();
    for identity in peers {
        let hub = PeerConfig::new(id, "hub").locator(locator);
        let mut node = Node::builder().identity(identity).peer(hub);
        for uplink in [1, 2] {
            let address = std::net::IpAddr::from([127, 0, uplink, 1]);
            node = node.uplink(UplinkConfig::new(format!("isp-{uplink}")).prefix(address));
        }
        nodes.push(node.build().await?);
    }
    for node in &nodes {
        while lanes(node).len() < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    println!("{} peers with two lanes each after {:.1?}", nodes.len(), begun.elapsed());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let rest = usage(hub.id())?;
    tokio::time::sleep(Duration::from_secs(options.idle)).await;
    let idle = usage(hub.id())?;
    println!(
        "hub: {:.0} MB before, {:.0} MB with them, {:.1} kB a peer; idle: {:.2} % of a core",
        megabytes(before.rss),
        megabytes(idle.rss),
        (idle.rss - before.rss) as f64 / 1e3 / nodes.len() as f64,
        100.0 * (idle.cpu - rest.cpu).as_secs_f64() / options.idle as f64,
    );
    Ok(())
}
