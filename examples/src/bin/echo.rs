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
    let peer = |id: &Identity, name: &str, locators: Vec<SocketAddr>| PeerConfig {
        id: id.peer_id(),
        name: name.to_owned(),
        locators: locators.into_iter().map(Into::into).collect(),
    };

    // The server trusts `home` and is dialled; it has no locator for it.
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let trusts_home = Node::builder().identity(server.clone()).peer(peer(&home, "home", vec![]));
    let there = trusts_home.listen(listen).build().await?;
    let mut service = there.listen("echo")?;
    tokio::spawn(async move {
        let mut flow = service.accept().await?.accept();
        let mut line = String::new();
        flow.read_to_string(&mut line).await?;
        flow.write_all(line.to_uppercase().as_bytes()).await?;
        flow.shutdown().await?;
        Ok::<_, Error>(())
    });

    // Without `uplink` calls, every usable address of this host is one.
    let locators = there.local_addrs();
    let here = Node::builder().identity(home).peer(peer(&server, "server", locators));
    let here = here.build().await?;
    let mut flow = here.connect(server.peer_id(), Target::service("echo")).await?;
    flow.write_all(b"hello").await?;
    flow.shutdown().await?;
    let mut answer = String::new();
    flow.read_to_string(&mut answer).await?;
    println!("{answer}");
    Ok(())
}
