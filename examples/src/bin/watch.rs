//! Watches over which ISPs a node reaches its peer, while one of them dies and comes back.
//!
//! `cargo run -p throughline-examples --bin watch`

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use throughline::{Identity, LanePath, LaneState, Node, PeerConfig, UplinkConfig};
use throughline_emulator::{Emulator, Profile, Way};
use throughline_examples::Error;

/// What is known of the lanes, on a line.
fn line(lanes: &[LanePath]) -> String {
    if lanes.is_empty() {
        return "no lane".to_owned();
    }
    let lane =
        |lane: &LanePath| format!("{} {}", lane.uplink.as_deref().unwrap_or("?"), lane.state);
    lanes.iter().map(lane).collect::<Vec<_>>().join(", ")
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let isps = [("isp-a", [127, 0, 73, 1]), ("isp-b", [127, 0, 74, 1])];
    let profile = Profile::new(100_000_000, Duration::from_millis(10));
    let mut internet = Emulator::builder();
    for (name, ip) in isps {
        internet = internet.isp(name, &profile).client(name, ip, [127, 0, ip[2] + 10, 1]);
    }
    let internet = internet.start()?;
    let (home, server) = (Identity::generate(), Identity::generate());
    let there = Node::builder()
        .identity(server)
        .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .peer(PeerConfig::new(home.peer_id(), "home"))
        .build()
        .await?;
    let locator =
        internet.udp_locator(([127, 0, 92, 1], 0).into(), there.local_addrs()[0], None)?;
    let mut here =
        Node::builder().identity(home).peer(PeerConfig::new(there.id(), "server").locator(locator));
    for (name, address) in isps {
        here = here.uplink(UplinkConfig::new(name).prefix(IpAddr::from(address)));
    }
    let here = here.build().await?;

    let mut watch = here.watch_lanes();
    let (mut has_died, mut is_back) = (false, false);
    let is_up = |lanes: &[LanePath], isp| {
        lanes.iter().any(|lane| lane.uplink.as_deref() == Some(isp) && lane.state == LaneState::Up)
    };
    while let Some(lanes) = watch.changed().await {
        println!("{}", line(&lanes));
        let both = is_up(&lanes, "isp-a") && is_up(&lanes, "isp-b");
        if both && !has_died {
            internet.isp("isp-a").blackhole(Way::Both);
            println!("isp-a dies");
            has_died = true;
        } else if has_died && !is_back && !is_up(&lanes, "isp-a") {
            internet.isp("isp-a").heal(Way::Both);
            println!("isp-a is back");
            is_back = true;
        } else if both && is_back {
            here.shutdown(Duration::from_secs(1)).await;
        }
    }
    println!("the node has ended");
    Ok(())
}
