//! The HTTP ingress of a daemon, and the one of all protocols: their way through a peer, and clients that say
//! every byte themselves.

mod framing;
mod http1;
mod http2;
mod protocols;
mod unix;

use std::net::SocketAddr;

use throughline_fixture::{DEADLINE, DaemonPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const INGRESSES: &str = "[ingress.web]
     kind = 'http'
     listen = '127.0.0.1:0'
     via = 'far'
     [ingress.any]
     kind = 'proxy'
     listen = '127.0.0.1:0'
     via = 'far'\n";

/// An ingress with a password.
const GUARDED: &str = "[ingress.guarded]
     kind = 'http'
     listen = '127.0.0.1:0'
     username = 'user'
     password = 'secret'
     via = 'far'\n";

/// Starts two daemons, of which the near one has both ingresses and `tables`.
async fn pair(tables: &str) -> DaemonPair {
    let tables = format!("{INGRESSES}{tables}");
    DaemonPair::builder().near_config(&tables).start().await.unwrap()
}

/// Reads up to the empty line that ends a head.
async fn read_head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = timeout(DEADLINE, tcp.read_u8()).await.expect("no head");
        head.push(read.unwrap_or_else(|error| panic!("{error} after {head:?}")));
    }
    String::from_utf8(head).unwrap()
}

/// Says `says`, ends that direction, and returns all that comes back.
async fn exchange(ingress: SocketAddr, says: &[u8]) -> Vec<u8> {
    let mut tcp = TcpStream::connect(ingress).await.unwrap();
    tcp.write_all(says).await.unwrap();
    tcp.shutdown().await.unwrap();
    let mut reply = Vec::new();
    timeout(DEADLINE, tcp.read_to_end(&mut reply)).await.expect("no reply").unwrap();
    reply
}
