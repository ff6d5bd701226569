//! Idle flows between nodes that are linked into programs. These flows have no socket, so that as many as a session
//! takes can live where a process may have fewer descriptors than that.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use interop_tests::support::Outcome;
use throughline::{Identity, Limits, Node, PeerConfig, PeerId, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::flows::{Options, SETTLE, echo_each};
use super::process::{again, megabytes, quantile, usage};

/// What the far end serves.
const SERVICE: &str = "echo";

/// The bytes that flows of a node may hold: each is promised 16 KiB.
const MEMORY_OF_FLOW: u64 = 16 << 10;

/// Opens so many flows from a node in this process to one in another, lets them be idle, and uses each once more.
pub(crate) async fn measure(options: &Options) -> Outcome {
    let (count, idle) = (options.flows, Duration::from_secs(options.idle));
    let identity = Identity::generate();
    let process = again("far", &["linked", &identity.peer_id().to_string(), &count.to_string()])?;
    let line = process.says("far end: ")?;
    let mut said = line.split_whitespace().skip(2);
    let mut next = || said.next().ok_or("the far end did not say where it is");
    let (key, addr): (PeerId, SocketAddr) = (next()?.parse()?, next()?.parse()?);
    let near = Node::builder().limits(room_for(count)).identity(identity);
    let near = near.peer(PeerConfig::new(key, "far").locator(addr)).build().await?;
    let both = || Outcome::Ok([usage(std::process::id())?, usage(process.id())?]);
    tokio::time::sleep(SETTLE).await;
    let before = both()?;
    let begun = Instant::now();
    let open = || {
        let near = near.clone();
        async move { Ok(near.connect(key, Target::service(SERVICE)).await?) }
    };
    let (flows, _) = echo_each((0..count).map(|_| None).collect(), open).await?;
    println!("{} flows opened in {:.1?}", flows.len(), begun.elapsed());
    tokio::time::sleep(SETTLE).await;
    let rest = both()?;
    tokio::time::sleep(idle).await;
    let after = both()?;
    let (flows, trips) = echo_each(flows.into_iter().map(Some).collect(), open).await?;
    let (p50, p99) = (quantile(&trips, 0.5), quantile(&trips, 0.99));
    println!("all answer: {} round trips, p50 {p50:.1?}, p99 {p99:.1?}", trips.len());
    let sessions: usize = near.status().peers.iter().map(|peer| peer.sessions.len()).sum();
    println!("over {sessions} session(s); the near node has {} live flows", near.live_flows());
    for (name, at) in ["near", "far"].into_iter().zip(0..) {
        let grown = rest[at].rss.saturating_sub(before[at].rss) as f64 / 1e3 / flows.len() as f64;
        let cpu = 100.0 * (after[at].cpu - rest[at].cpu).as_secs_f64() / idle.as_secs_f64();
        let (then, now) = (megabytes(before[at].rss), megabytes(rest[at].rss));
        println!(
            "{name}, with its program: {then:.0} MB before, {now:.0} MB with the flows, {grown:.1} kB a flow; idle: \
             {cpu:.2} % of a core"
        );
    }
    Ok(())
}

/// Returns the bounds of a node that takes so many flows of a peer.
pub(super) fn room_for(flows: usize) -> Limits {
    let least = Limits::default();
    let memory = least.memory.max(flows as u64 * MEMORY_OF_FLOW);
    let flows = least.flows_per_session.max(flows);
    least.flows_per_session(flows).memory(memory)
}

/// Is the far end of so many flows of `peer`, until the process is ended.
pub(crate) async fn serve(peer: PeerId, flows: usize) -> Outcome {
    let node = Node::builder().limits(room_for(flows)).bind(SocketAddr::from(([127, 0, 0, 1], 0)));
    let node = node.peer(PeerConfig::new(peer, "near")).build().await?;
    let mut service = node.serve(SERVICE)?;
    let addr = *node.local_addrs().first().ok_or("it listens nowhere")?;
    eprintln!("far end: {} {addr}", node.id());
    loop {
        let mut flow = service.accept().await?.accept();
        tokio::spawn(async move {
            while let Ok(byte) = flow.read_u8().await {
                if flow.write_u8(byte).await.is_err() {
                    return;
                }
            }
        });
    }
}
