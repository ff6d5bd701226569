//! Small programs that embed Throughline; each is under `src/bin`. `echo` shows how two nodes come to know each
//! other; the others begin with [`pair`].

use std::net::SocketAddr;

use throughline::{Identity, Node, PeerConfig};

/// Whatever ends an example.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Makes two nodes, `home` and `server`: the first dials the second, over every address that this host has.
pub async fn pair() -> Result<(Node, Node), Error> {
    let (home, server) = (Identity::generate(), Identity::generate());
    let there = Node::builder()
        .identity(server)
        .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .peer(PeerConfig::new(home.peer_id(), "home"))
        .build()
        .await?;
    let peer = PeerConfig::new(there.id(), "server").locators(there.local_addrs());
    let here = Node::builder().identity(home).peer(peer).build().await?;
    Ok((here, there))
}

// The program in the guide is one that compiles and does what it says.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guides/library.md")]
struct Guide;
