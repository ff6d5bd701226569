//! Happy Eyeballs (RFC 8305): races connections to several addresses, both families in turn.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::proxy::own_sockets::connect;
use throughline::{FailureCode, OpenFailure};

/// The Connection Attempt Delay that RFC 8305 §5 recommends.
const CONNECTION_ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Interleaves the address families, beginning with that of the first address (RFC 8305 §4).
pub(super) fn interleave_families(addresses: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
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

/// Returns the first connection that is established, else the most informative failure.
pub(super) async fn race(mut waiting: VecDeque<SocketAddr>) -> Result<TcpStream, OpenFailure> {
    let mut attempts = JoinSet::new();
    let mut best: Option<OpenFailure> = None;
    loop {
        if let Some(address) = waiting.pop_front() {
            attempts.spawn(async move { (address, connect(address).await) });
        }
        tokio::select! {
            ended = attempts.join_next() => match ended {
                Some(Ok((_, Ok(stream)))) => return Ok(stream),
                Some(Ok((address, Err(error)))) => {
                    let failure = connect_failure(address, &error);
                    if best.as_ref().is_none_or(|best| specificity(&failure) > specificity(best)) {
                        best = Some(failure);
                    }
                }
                // An attempt neither panics nor is aborted while it is awaited.
                Some(Err(_)) => {}
                None => return Err(best.unwrap_or_else(|| {
                    OpenFailure::new(FailureCode::Other, "there is no address to dial")
                })),
            },
            () = sleep(CONNECTION_ATTEMPT_DELAY), if !waiting.is_empty() => {}
        }
    }
}

/// Ranks failures by what they say: a host that refuses exists; one without a route may.
fn specificity(failure: &OpenFailure) -> u8 {
    match failure.code {
        FailureCode::Refused => 5,
        FailureCode::TimedOut => 4,
        FailureCode::HostUnreachable => 3,
        FailureCode::NetworkUnreachable => 2,
        FailureCode::LimitReached => 1,
        _ => 0,
    }
}

/// Maps a failed `connect` to the failure that the application learns.
pub(super) fn connect_failure(address: SocketAddr, error: &io::Error) -> OpenFailure {
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
        // No port is left.
        io::ErrorKind::AddrInUse => FailureCode::LimitReached,
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
    fn families_are_interleaved_beginning_with_the_resolvers_first() {
        let parse = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<_>>();
        let mixed = interleave_families(parse(&[
            "[2001::1]:1",
            "[2001::2]:1",
            "[2001::3]:1",
            "10.0.0.1:1",
        ]));
        assert_eq!(mixed, parse(&["[2001::1]:1", "10.0.0.1:1", "[2001::2]:1", "[2001::3]:1"]));
        let mixed = interleave_families(parse(&["10.0.0.1:1", "10.0.0.2:1", "[2001::1]:1"]));
        assert_eq!(mixed, parse(&["10.0.0.1:1", "[2001::1]:1", "10.0.0.2:1"]));
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
