//! Dials a destination: resolves it here, drops disallowed addresses, and races the others for TCP.

mod race;
mod resolve;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use self::race::{connect_failure, interleave_families, race};
use self::resolve::resolve;
use crate::proxy::connections::Lookups;
use crate::proxy::udp;
use throughline::{FailureCode, Host, OpenFailure};

/// Bounds the whole dial, resolution included: what people and programs wait for a connection, and
/// less than the 20 s and more after which clients give up on a proxy.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Bounds the addresses tried for one name; a hostile zone could hold thousands.
const MAX_ADDRESSES: usize = 16;

/// Connects to `host`, resolved here if it is a name, at one of the addresses that `allowed` accepts.
///
/// `TCP_NODELAY` is set.
///
/// # Errors
/// The failure has the code and the text that the application at the far end learns.
pub async fn dial(
    host: &Host,
    port: u16,
    lookups: &Lookups,
    allowed: impl Fn(IpAddr) -> bool,
) -> Result<TcpStream, OpenFailure> {
    let dial = async {
        let addresses = allowed_addresses(host, port, lookups, allowed).await?;
        let stream = race(interleave_families(addresses)).await?;
        // This fails only on a dead connection, which the first read reports.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    };
    match timeout(DIAL_TIMEOUT, dial).await {
        Ok(result) => result,
        Err(_) => Err(OpenFailure::new(
            FailureCode::TimedOut,
            format!("{host}:{port} did not answer within {} s", DIAL_TIMEOUT.as_secs()),
        )),
    }
}

/// Returns a socket of UDP that is connected to `host`, resolved here if it is a name, at the first of the addresses that
/// `allowed` accepts and that there is a route to.
///
/// # Errors
/// As [`dial`]; of the destination itself nothing is known yet.
pub async fn connect_udp(
    host: &Host,
    port: u16,
    lookups: &Lookups,
    allowed: impl Fn(IpAddr) -> bool,
) -> Result<UdpSocket, OpenFailure> {
    let mut last = None;
    for address in allowed_addresses(host, port, lookups, allowed).await? {
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let connected = async {
            let socket = UdpSocket::bind(any).await?;
            udp::report_class(&socket);
            socket.connect(address).await?;
            // Before the runtime has seen that there is room, an attempt to send finds none.
            socket.writable().await?;
            Ok(socket)
        };
        match connected.await {
            Ok(socket) => return Ok(socket),
            Err(error) => last = Some(connect_failure(address, &error)),
        }
    }
    Err(last.unwrap_or_else(|| OpenFailure::new(FailureCode::Other, "it has no address")))
}

/// Returns the addresses of `host` that `allowed` accepts; there is one at least.
async fn allowed_addresses(
    host: &Host,
    port: u16,
    lookups: &Lookups,
    allowed: impl Fn(IpAddr) -> bool,
) -> Result<Vec<SocketAddr>, OpenFailure> {
    let mut addresses = resolve(host, port, lookups).await?;
    addresses.retain(|address| allowed(address.ip()));
    addresses.truncate(MAX_ADDRESSES);
    match addresses.is_empty() {
        false => Ok(addresses),
        true => Err(OpenFailure::new(
            FailureCode::NotAllowed,
            format!(
                "{host}:{port} is not allowed at the egress; add it to the `allow` list of the \
                 requesting peer in the configuration there"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_dial_reaches_a_listening_port() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let host = Host::Ip(address.ip());
        let stream = dial(&host, address.port(), &Lookups::default(), |_| true).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_mapped_address_is_dialed_and_checked_as_ipv4() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let host: Host = "::ffff:127.0.0.1".parse().unwrap();
        let stream = dial(&host, port, &Lookups::default(), |ip| ip.is_ipv4()).await.unwrap();
        assert!(stream.peer_addr().unwrap().is_ipv4());
    }

    #[tokio::test]
    async fn a_closed_port_is_refused_and_a_disallowed_address_is_never_dialed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let host: Host = "127.0.0.1".parse().unwrap();
        let failure = dial(&host, port, &Lookups::default(), |_| false).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::NotAllowed);
        drop(listener);
        let failure = dial(&host, port, &Lookups::default(), |_| true).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::Refused);
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_has_its_own_failure_code() {
        let host: Host = "no-such-host.invalid".parse().unwrap();
        let failure = dial(&host, 1, &Lookups::default(), |_| true).await.unwrap_err();
        let possible = [FailureCode::NameNotFound, FailureCode::TimedOut];
        assert!(possible.contains(&failure.code), "{failure:?}");
    }
}
