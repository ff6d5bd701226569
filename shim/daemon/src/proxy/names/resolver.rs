//! The system's resolver, for what the answerer leaves to it: queries and answers are passed on as they are.
//!
//! The servers are those of resolv.conf(5), whoever a program asked. Our sockets are marked while anything is
//! intercepted, so that a query does not come back.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::message::is_answer;
use crate::proxy::{own_sockets, udp};

/// Where the servers are named.
const FILE: &str = "/etc/resolv.conf";

/// How many servers are asked, one after the other, as by the system's library (`MAXNS`), and how long each has:
/// together less than the 5 s after which that asks again.
const MAX_SERVERS: usize = 3;
const SERVER_TIMEOUT: Duration = Duration::from_millis(1600);

/// The port of DNS.
const PORT: u16 = 53;

/// By what a query goes, and comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram each.
    Udp,
    /// A connection, with a length before each message (RFC 7766 §8).
    Tcp,
}

/// Has the system's resolver answer a query; returns none where no server does.
pub async fn ask(query: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let text = tokio::fs::read_to_string(FILE).await.unwrap_or_default();
    for server in servers(&text) {
        let asking = async {
            match transport {
                Transport::Udp => ask_by_datagram(query, server).await,
                Transport::Tcp => ask_by_connection(query, server).await,
            }
        };
        if let Ok(Ok(answer)) = timeout(SERVER_TIMEOUT, asking).await {
            return Some(answer);
        }
    }
    None
}

/// Returns the servers that a resolv.conf names; without one that is this host.
fn servers(text: &str) -> Vec<SocketAddr> {
    let address = |line: &str| -> Option<IpAddr> {
        let mut fields = line.split_whitespace();
        // One with the scope of a link is no address of its own.
        (fields.next() == Some("nameserver")).then(|| fields.next()?.parse().ok())?
    };
    let found: Vec<IpAddr> = text.lines().filter_map(address).take(MAX_SERVERS).collect();
    let found = if found.is_empty() { vec![Ipv4Addr::LOCALHOST.into()] } else { found };
    found.into_iter().map(|ip| SocketAddr::new(ip, PORT)).collect()
}

async fn ask_by_datagram(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let socket = own_sockets::connect_udp(server).await?;
    // A number of our own: the client's is known to whoever it may have told.
    let mut ours = query.to_vec();
    let (number, id) = (rand::random::<[u8; 2]>(), [query[0], query[1]]);
    ours[..2].copy_from_slice(&number);
    socket.send(&ours).await?;
    loop {
        let answer = udp::receive(&socket).await?.payload;
        if is_answer(&ours, &answer) {
            let mut answer = answer.to_vec();
            answer[..2].copy_from_slice(&id);
            return Ok(answer);
        }
    }
}

async fn ask_by_connection(query: &[u8], server: SocketAddr) -> io::Result<Vec<u8>> {
    let mut connection = own_sockets::connect(server).await?;
    write(&mut connection, query).await?;
    let answer = read(&mut connection).await?;
    match is_answer(query, &answer) {
        true => Ok(answer),
        false => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Writes a message to a connection.
pub(super) async fn write(
    connection: &mut (impl AsyncWriteExt + Unpin),
    message: &[u8],
) -> io::Result<()> {
    let len = u16::try_from(message.len()).map_err(io::Error::other)?;
    let framed = [&len.to_be_bytes()[..], message].concat();
    connection.write_all(&framed).await
}

/// Reads a message from a connection.
pub(super) async fn read(connection: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let mut message = vec![0; usize::from(connection.read_u16().await?)];
    connection.read_exact(&mut message).await?;
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_servers_of_the_file_are_asked_else_this_host() {
        let shown = |text: &str| {
            let all: Vec<_> = servers(text).iter().map(ToString::to_string).collect();
            all.join(" ")
        };
        let text = "# comment\nnameserver 10.0.0.1\nsearch a.example\noptions edns0\nnameserver\n\
                    nameserver fe80::1%eth0\nnameserver 2001:db8::1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\n";
        assert_eq!(shown(text), "10.0.0.1:53 [2001:db8::1]:53 10.0.0.2:53");
        assert_eq!(shown(""), "127.0.0.1:53");
    }
}
