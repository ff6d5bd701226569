//! SOCKS4 and SOCKS4a: CONNECT of clients that know no newer version.
//!
//! There is no password in it, so an ingress that wants one refuses it. A name (4a) is resolved where the
//! flow leaves, as with SOCKS5.
//!
//! Neither is an RFC: Y. Lee, *SOCKS: A protocol for TCP proxy across firewalls*, and *SOCKS 4A: A Simple
//! Extension to SOCKS 4 Protocol*.

use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tracing::info;

use super::credentials::Credentials;
use super::dispatcher::{DispatchError, Dispatcher};
use super::handshake::{HANDSHAKE_TIMEOUT, refuse};
use super::outbound::Arrival;
use crate::proxy::refusals::RefusalLog;
use crate::proxy::relay::close_with_reset;
use crate::proxy::stream::{ClientAddr, Stream};
use throughline::{Host, Target};

/// The longest user id and the longest name, in bytes: as in SOCKS5.
const MAX_TEXT: usize = 255;

/// Version, command, port and address.
const FIXED: usize = 8;

/// Command 1.
const CONNECT: u8 = 1;

/// The connection is open.
const GRANTED: [u8; 8] = [0, 90, 0, 0, 0, 0, 0, 0];

/// There is no connection. The protocol has no codes that say why.
pub(super) const REJECTED: [u8; 8] = [0, 91, 0, 0, 0, 0, 0, 0];

/// Serves a client.
pub(super) async fn serve(
    mut tcp: Stream,
    from: ClientAddr,
    arrival: Arrival,
    credentials: Option<&Credentials>,
    dispatcher: &Dispatcher,
    refusals: &RefusalLog,
) {
    let ingress = &*Arc::clone(&arrival.ingress);
    let open = |target| dispatcher.open_requested(ingress, from, target);
    // Boxed: what the handshake takes is not kept for the life of the connection.
    let negotiating = Box::pin(negotiate(&mut tcp, credentials.is_some(), open));
    match arrival.freezer.unless_given(negotiating).await {
        None => close_with_reset(tcp),
        Some(Ok((early, (outbound, target)))) => {
            outbound.relay_after(early, tcp, arrival, &target).await;
        }
        Some(Err(error)) => {
            drop(arrival);
            refuse(tcp, &REJECTED).await;
            if let Some(suppressed) = refusals.admit() {
                info!(%ingress, %from, %error, suppressed, "client refused");
            }
        }
    }
}

/// A client gets no connection.
#[derive(Debug, Error)]
enum Refusal {
    #[error("the client sent no complete SOCKS4 request within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
    #[error("the client closed the connection before its SOCKS4 request was complete")]
    Closed,
    #[error(
        "SOCKS4 has no password, and this ingress wants one; let the program use SOCKS5 or HTTP"
    )]
    Password,
    #[error("the SOCKS4 command {0} is not supported; use CONNECT")]
    Command(u8),
    #[error("the SOCKS4 request names no valid destination")]
    Destination,
    #[error("the user id or the name of the SOCKS4 request is longer than {MAX_TEXT} bytes")]
    TooLong,
    #[error("{target}: {}", target.strip_from(&error.to_string()))]
    Dispatch { target: Target, error: DispatchError },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Handles a client's request: opens its target with `open`, and says so where that worked. Returns what was read
/// behind the request, and what was opened.
async fn negotiate<T, F, Fut>(
    tcp: &mut Stream,
    wants_password: bool,
    open: F,
) -> Result<(Bytes, T), Refusal>
where
    F: FnOnce(Target) -> Fut,
    Fut: Future<Output = Result<T, DispatchError>>,
{
    let request = timeout(HANDSHAKE_TIMEOUT, read_request(tcp)).await;
    let (target, early) = request.map_err(|_| Refusal::Timeout)??;
    if wants_password {
        return Err(Refusal::Password);
    }
    match open(target.clone()).await {
        Ok(opened) => {
            tcp.write_all(&GRANTED).await?;
            Ok((early, opened))
        }
        Err(error) => Err(Refusal::Dispatch { target, error }),
    }
}

async fn read_request(tcp: &mut Stream) -> Result<(Target, Bytes), Refusal> {
    let mut read = BytesMut::with_capacity(FIXED + 2 * (MAX_TEXT + 1));
    loop {
        if let Some((target, length)) = parse(&read)? {
            read.advance(length);
            return Ok((target, read.freeze()));
        }
        if tcp.read_buf(&mut read).await? == 0 {
            return Err(Refusal::Closed);
        }
    }
}

/// Parses a request; returns its target and its length, or `None` while it is not complete.
fn parse(bytes: &[u8]) -> Result<Option<(Target, usize)>, Refusal> {
    let Some((fixed, rest)) = bytes.split_first_chunk::<FIXED>() else { return Ok(None) };
    let [_, command, port @ .., a, b, c, d] = *fixed;
    if command != CONNECT {
        return Err(Refusal::Command(command));
    }
    let port = u16::from_be_bytes(port);
    if port == 0 {
        return Err(Refusal::Destination);
    }
    let Some(user_id) = text(rest)? else { return Ok(None) };
    let mut length = FIXED + user_id.len() + 1;
    let host = match (a, b, c, d) {
        (0, 0, 0, 0) => return Err(Refusal::Destination),
        // An address that nobody has says that a name follows.
        (0, 0, 0, _) => {
            let Some(name) = text(&bytes[length..])? else { return Ok(None) };
            length += name.len() + 1;
            let name = std::str::from_utf8(name).map_err(|_| Refusal::Destination)?;
            name.parse::<Host>().map_err(|_| Refusal::Destination)?
        }
        _ => Host::Ip(Ipv4Addr::new(a, b, c, d).into()),
    };
    Ok(Some((Target::Tcp { host, port }, length)))
}

/// Returns what precedes the byte 0 that ends a text; `None` while it is not there.
fn text(bytes: &[u8]) -> Result<Option<&[u8]>, Refusal> {
    match bytes.iter().take(MAX_TEXT + 1).position(|byte| *byte == 0) {
        Some(end) => Ok(Some(&bytes[..end])),
        None if bytes.len() > MAX_TEXT => Err(Refusal::TooLong),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> Result<Option<(String, usize)>, String> {
        match parse(bytes) {
            Ok(found) => Ok(found.map(|(target, length)| (target.to_string(), length))),
            Err(refusal) => Err(refusal.to_string()),
        }
    }

    #[test]
    fn an_address_and_a_name_are_connected_to_and_what_follows_is_the_flows() {
        let address = b"\x04\x01\x00\x16\x0a\x00\x00\x01user\0SSH";
        assert_eq!(parsed(address).unwrap(), Some(("10.0.0.1:22".to_owned(), 13)));
        let name = b"\x04\x01\x01\xbb\x00\x00\x00\x01\0Host.example\0more";
        assert_eq!(parsed(name).unwrap(), Some(("host.example:443".to_owned(), 22)));
        for length in 0..22 {
            assert_eq!(parsed(&name[..length]).unwrap(), None, "{length}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused_by_name() {
        let long = [&b"\x04\x01\x00\x16\x0a\x00\x00\x01"[..], &[b'u'; 256]].concat();
        for (bytes, reason) in [
            (&b"\x04\x02\x00\x16\x0a\x00\x00\x01\0"[..], "command 2"),
            (b"\x04\x01\x00\x00\x0a\x00\x00\x01\0", "no valid destination"),
            (b"\x04\x01\x00\x16\x00\x00\x00\x00\0", "no valid destination"),
            (b"\x04\x01\x00\x16\x00\x00\x00\x01\0a b\0", "no valid destination"),
            (b"\x04\x01\x00\x16\x00\x00\x00\x01\0\0", "no valid destination"),
            (b"\x04\x01\x00\x16\x00\x00\x00\x01\0\xff\0", "no valid destination"),
            (&long, "longer than 255"),
        ] {
            let error = parsed(bytes).unwrap_err();
            assert!(error.contains(reason), "{bytes:?}: {error}");
        }
    }
}
