//! Two nodes, two emulated ISPs between them, and a transfer that survives the death of either.
//!
//! `cargo run --release -p throughline-examples --bin survive`

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use throughline::{Identity, Node, PeerConfig, Target, UplinkConfig};
use throughline_emulator::{Emulator, Profile, Way};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Error = Box<dyn std::error::Error + Send + Sync>;

const SIZE: usize = 60_000_000; // two and a half seconds at 200 Mbit/s

/// The byte at an offset: what is lost, doubled or out of order shows.
fn byte(offset: usize) -> u8 {
    (offset ^ offset >> 8 ^ offset >> 16) as u8
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    // Two ISPs of 200 Mbit/s and a round trip of 20 ms. The host has an address of each.
    let isps = [("isp-a", [127, 0, 71, 1]), ("isp-b", [127, 0, 72, 1])];
    let profile = Profile::new(200_000_000, Duration::from_millis(10));
    let mut internet = Emulator::builder();
    for (name, ip) in isps {
        internet = internet.isp(name, &profile).client(name, ip, [127, 0, ip[2] + 10, 1]);
    }
    let internet = internet.start()?;

    let (home, server) = (Identity::generate(), Identity::generate());
    let there = Node::builder()
        .identity(server.clone())
        .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .peer(PeerConfig::new(home.peer_id(), "home"))
        .build()
        .await?;
    let locator =
        internet.udp_locator(([127, 0, 91, 1], 0).into(), there.local_addrs()[0], None)?;
    let server = PeerConfig::new(server.peer_id(), "server").locator(locator);
    let mut here = Node::builder().identity(home).peer(server);
    for (name, address) in isps {
        here = here.uplink(UplinkConfig::new(name).prefix(IpAddr::from(address)));
    }
    let here = here.build().await?;
    let mut service = there.serve("sink")?;
    let sink = tokio::spawn(async move {
        let mut flow = service.accept().await?.accept();
        let (mut buffer, mut total, mut wrong) = (vec![0; 64 << 10], 0, 0);
        let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
        while let count @ 1.. = flow.read(&mut buffer).await? {
            longest = longest.max(last.elapsed());
            last = Instant::now();
            wrong += (0..count).filter(|at| buffer[*at] != byte(total + at)).count();
            total += count;
        }
        flow.shutdown().await?;
        Ok::<_, Error>((total, wrong, longest))
    });

    let isps = isps.map(|(name, _)| internet.isp(name));
    tokio::spawn(async move {
        for isp in isps {
            tokio::time::sleep(Duration::from_millis(700)).await;
            isp.blackhole(Way::Both);
            println!("{} is dead, without a word", isp.name());
            tokio::time::sleep(Duration::from_millis(500)).await;
            isp.heal(Way::Both);
        }
    });
    let mut flow = here.connect(there.id(), Target::service("sink")).await?;
    flow.write_all(&(0..SIZE).map(byte).collect::<Vec<u8>>()).await?;
    flow.shutdown().await?;
    let (total, wrong, longest) = sink.await??;
    println!("{total} bytes arrived, {wrong} of them wrong; the longest wait was {longest:?}");
    if (total, wrong) == (SIZE, 0) { Ok(()) } else { Err("the flow did not survive".into()) }
}
