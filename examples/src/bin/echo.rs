//! Two nodes and a service: the smallest program that embeds Throughline.
//!
//! `cargo run -p throughline-examples --bin echo`

use std::net::SocketAddr;

use throughline::{Identity, Node, PeerConfig, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (home, server) = (Identity::generate(), Identity::generate());
    // The server trusts `home` and is dialed; it has no locator for it.
    let there = Node::builder()
        .identity(server.clone())
        .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .peer(PeerConfig::new(home.peer_id(), "home"))
        .build()
        .await?;
    let mut service = there.serve("echo")?;
    tokio::spawn(async move {
        let mut flow = service.accept().await?.accept();
        let mut line = String::new();
        flow.read_to_string(&mut line).await?;
        flow.write_all(line.to_uppercase().as_bytes()).await?;
        flow.shutdown().await?;
        Ok::<_, Error>(())
    });

    // Without `uplink` calls, every usable address of this host is one.
    let peer = PeerConfig::new(server.peer_id(), "server").locators(there.local_addrs());
    let here = Node::builder().identity(home).peer(peer).build().await?;
    let mut flow = here.connect(server.peer_id(), Target::service("echo")).await?;
    flow.write_all(b"hello").await?;
    flow.shutdown().await?;
    let mut answer = String::new();
    flow.read_to_string(&mut answer).await?;
    println!("{answer}");
    Ok(())
}
