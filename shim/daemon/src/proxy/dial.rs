//! Dialling a TCP destination: resolve here, judge every address, race the rest.
//!
//! Happy Eyeballs (RFC 8305): addresses of both families in turn, each a `STAGGER` after the one
//! before it or at once when that one fails; the first to connect wins and the others are dropped.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use throughline_proto::types::{FailureCode, Host, OpenFailure};

/// The Connection Attempt Delay that RFC 8305 §5 recommends.
const STAGGER: Duration = Duration::from_millis(250);

/// The whole dial, with the resolution: what people and programs wait for a connection, and less
/// than the 20 s and more after which clients give up on a proxy.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// One resolver timeout (resolv.conf(5) waits 5 s for a server), which leaves as much to connect.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// A name with more addresses than this is not tried to its end; a hostile zone could hold thousands.
const MAX_ADDRESSES: usize = 16;

/// Connects to `host`, if it is a name to what it resolves to here, at an address that `allowed`
/// allows. `TCP_NODELAY` is set.
///
/// # Errors
/// The failure says why in a way that can be told to the application.
pub async fn dial(
    host: &Host,
    port: u16,
    allowed: impl Fn(IpAddr) -> bool,
) -> Result<TcpStream, OpenFailure> {
    let dial = async {
        let mut addresses = resolve(host, port).await?;
        addresses.retain(|address| allowed(address.ip()));
        addresses.truncate(MAX_ADDRESSES);
        if addresses.is_empty() {
            return Err(OpenFailure::new(
                FailureCode::NotAllowed,
                format!(
                    "{host}:{port} is not allowed at the egress; add it to the `allow` of the peer \
                     that asks, in the egress's configuration"
                ),
            ));
        }
        let stream = race(in_turn(addresses)).await?;
        // Fails only on a connection that is dead already, which the first read will tell.
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

/// The addresses of `host`, in the resolver's order (RFC 6724); IPv4-mapped ones as IPv4.
async fn resolve(host: &Host, port: u16) -> Result<Vec<SocketAddr>, OpenFailure> {
    let name = match host {
        Host::Ip(ip) => return Ok(vec![SocketAddr::new(ip.to_canonical(), port)]),
        Host::Name(name) => name,
    };
    let failure = |code, why: String| {
        Err(OpenFailure::new(code, format!("the name {name} does not resolve: {why}")))
    };
    match timeout(RESOLVE_TIMEOUT, lookup_host((name.as_str(), port))).await {
        Ok(Ok(found)) => {
            let mut addresses: Vec<SocketAddr> = Vec::new();
            for address in found.map(|a| SocketAddr::new(a.ip().to_canonical(), port)) {
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            match addresses.is_empty() {
                true => failure(FailureCode::NameNotFound, "it has no address".to_owned()),
                false => Ok(addresses),
            }
        }
        Ok(Err(error)) => failure(FailureCode::NameNotFound, error.to_string()),
        Err(_) => failure(
            FailureCode::TimedOut,
            format!("no answer within {} s", RESOLVE_TIMEOUT.as_secs()),
        ),
    }
}

/// The same addresses, the families in turn, beginning with that of the first (RFC 8305 §4).
fn in_turn(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (VecDeque<_>, VecDeque<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut mixed = VecDeque::with_capacity(preferred.len() + other.len());
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    loop {
        match (preferred.next(), other.next()) {
            (None, None) => return mixed,
            (a, b) => mixed.extend(a.into_iter().chain(b)),
        }
    }
}

/// The first connection to come about; else the failure that tells most.
async fn race(mut waiting: VecDeque<SocketAddr>) -> Result<TcpStream, OpenFailure> {
    let mut attempts = JoinSet::new();
    let mut best: Option<OpenFailure> = None;
    loop {
        if let Some(address) = waiting.pop_front() {
            attempts.spawn(async move { (address, TcpStream::connect(address).await) });
        }
        tokio::select! {
            ended = attempts.join_next() => match ended {
                Some(Ok((_, Ok(stream)))) => return Ok(stream),
                Some(Ok((address, Err(error)))) => {
                    let failure = failure_of(address, &error);
                    if best.as_ref().is_none_or(|best| tells(&failure) > tells(best)) {
                        best = Some(failure);
                    }
                }
                // An attempt neither panics nor is aborted while we wait for it.
                Some(Err(_)) => {}
                None => return Err(best.unwrap_or_else(|| {
                    OpenFailure::new(FailureCode::Other, "no address to dial")
                })),
            },
            () = sleep(STAGGER), if !waiting.is_empty() => {}
        }
    }
}

/// How much a failure tells: a host that refuses is there; one without a route may be.
fn tells(failure: &OpenFailure) -> u8 {
    match failure.code {
        FailureCode::Refused => 5,
        FailureCode::TimedOut => 4,
        FailureCode::HostUnreachable => 3,
        FailureCode::NetworkUnreachable => 2,
        FailureCode::LimitReached => 1,
        _ => 0,
    }
}

/// What a failed `connect` means to the application.
fn failure_of(address: SocketAddr, error: &io::Error) -> OpenFailure {
    /// `ENFILE` and `EMFILE`, the same numbers on every Unix.
    const OUT_OF_DESCRIPTORS: [i32; 2] = [23, 24];
    let code = match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => FailureCode::Refused,
        io::ErrorKind::HostUnreachable => FailureCode::HostUnreachable,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => {
            FailureCode::NetworkUnreachable
        }
        io::ErrorKind::TimedOut => FailureCode::TimedOut,
        io::ErrorKind::PermissionDenied => FailureCode::NotAllowed,
        _ if error.raw_os_error().is_some_and(|n| OUT_OF_DESCRIPTORS.contains(&n)) => {
            FailureCode::LimitReached
        }
        _ => FailureCode::Other,
    };
    OpenFailure::new(code, format!("{address}: {error}"))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn families_take_turns_beginning_with_the_resolvers_first() {
        let parse = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<_>>();
        let mixed = in_turn(parse(&["[2001::1]:1", "[2001::2]:1", "[2001::3]:1", "10.0.0.1:1"]));
        assert_eq!(mixed, parse(&["[2001::1]:1", "10.0.0.1:1", "[2001::2]:1", "[2001::3]:1"]));
        let mixed = in_turn(parse(&["10.0.0.1:1", "10.0.0.2:1", "[2001::1]:1"]));
        assert_eq!(mixed, parse(&["10.0.0.1:1", "[2001::1]:1", "10.0.0.2:1"]));
    }

    #[tokio::test]
    async fn a_dial_reaches_what_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let host = Host::Ip(address.ip());
        let stream = dial(&host, address.port(), |_| true).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_mapped_address_is_dialled_and_judged_as_ipv4() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = Host::parse("::ffff:127.0.0.1").unwrap();
        let stream = dial(&host, port, |ip| ip.is_ipv4()).await.unwrap();
        assert!(stream.peer_addr().unwrap().is_ipv4());
    }

    #[tokio::test]
    async fn a_closed_port_is_refused_and_an_address_out_of_policy_never_dialled() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let host = Host::parse("127.0.0.1").unwrap();
        let failure = dial(&host, port, |_| false).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::NotAllowed);
        drop(listener);
        let failure = dial(&host, port, |_| true).await.unwrap_err();
        assert_eq!(failure.code, FailureCode::Refused);
    }

    #[tokio::test]
    async fn a_name_that_does_not_exist_is_told_apart() {
        let host = Host::parse("no-such-host.invalid").unwrap();
        let failure = dial(&host, 1, |_| true).await.unwrap_err();
        let possible = [FailureCode::NameNotFound, FailureCode::TimedOut];
        assert!(possible.contains(&failure.code), "{failure:?}");
    }

    #[tokio::test]
    async fn the_next_address_is_tried_at_once_when_one_fails() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let closed = {
            let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
            gone.local_addr().unwrap()
        };
        let stream = race(VecDeque::from([closed, good])).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert_eq!(race(VecDeque::from([closed])).await.unwrap_err().code, FailureCode::Refused);
    }
}
