//! The name that a client asks for in the first bytes of its connection, for rules by name.
//!
//! It is TLS's server name (RFC 6066 §3) or HTTP's `Host`. Nothing is decrypted, and nothing is taken: the bytes
//! stay in the kernel, for whoever the connection goes to. The name says what the client claims, and the connection
//! goes to its address all the same.

use std::time::Duration;

use rustls::server::Acceptor;
use throughline::Host;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long a client may take to begin: some round trips of a LAN. In protocols in which the server begins, such as
/// SSH and SMTP, a connection waits for so long, where a rule by name could match it.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_millis(300);

/// How long the name may take from then on, with packets lost on the way.
const NAME_TIMEOUT: Duration = Duration::from_secs(1);

/// How much is looked at, in bytes: four times what browsers send as a ClientHello with post-quantum keys. The name
/// of a client that hides it further back is not known.
const MAX_PEEKED: usize = 8 * 1024;

/// Poll interval for more bytes: a socket that has some is ready, and says nothing when more come.
const MORE_POLL: Duration = Duration::from_millis(5);

/// Fields of an HTTP request that are looked at; `Host` is among the first of all common clients.
const MAX_FIELDS: usize = 64;

/// What the bytes say that have come.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Name(Option<String>),
    TooFew,
}

/// Returns the name that a client asks for, if it says so soon.
pub(super) async fn name(tcp: &TcpStream) -> Option<String> {
    let begun = Instant::now();
    timeout_at(begun + FIRST_BYTE_TIMEOUT, tcp.readable()).await.ok()?.ok()?;
    let deadline = Instant::now() + NAME_TIMEOUT;
    let mut bytes = vec![0; MAX_PEEKED];
    let mut before = 0;
    loop {
        let count = timeout_at(deadline, tcp.peek(&mut bytes)).await.ok()?.ok()?;
        match seen(&bytes[..count]) {
            Seen::Name(name) => return name,
            // Nothing more comes after an end, which looks the same to a peek.
            Seen::TooFew if count == 0 || count == MAX_PEEKED || Instant::now() >= deadline => {
                return None;
            }
            Seen::TooFew if count == before => sleep_until(Instant::now() + MORE_POLL).await,
            Seen::TooFew => before = count,
        }
    }
}

fn seen(bytes: &[u8]) -> Seen {
    /// A record of TLS's handshake (RFC 8446 §5.1).
    const HANDSHAKE: u8 = 22;
    match bytes.first() {
        None => Seen::TooFew,
        Some(&HANDSHAKE) => in_tls(bytes),
        Some(first) if first.is_ascii_uppercase() => in_http(bytes),
        Some(_) => Seen::Name(None),
    }
}

fn in_tls(mut bytes: &[u8]) -> Seen {
    let mut acceptor = Acceptor::default();
    while !bytes.is_empty() {
        if acceptor.read_tls(&mut bytes).is_err() {
            return Seen::Name(None);
        }
        match acceptor.accept() {
            Ok(None) => {}
            Ok(Some(accepted)) => {
                return Seen::Name(accepted.client_hello().server_name().map(str::to_owned));
            }
            Err(_) => return Seen::Name(None),
        }
    }
    Seen::TooFew
}

fn in_http(bytes: &[u8]) -> Seen {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(bytes);
    let host = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case("host"));
    match (parsed, host) {
        (Err(_), _) => Seen::Name(None),
        (Ok(_), Some(host)) => Seen::Name(host_name(host.value)),
        (Ok(status), None) if status.is_partial() => Seen::TooFew,
        (Ok(_), None) => Seen::Name(None),
    }
}

/// Returns the name in the value of a `Host`, without the port.
fn host_name(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let name = text.rsplit_once(':').map_or(text, |(name, _)| name);
    match name.parse() {
        Ok(Host::Name(name)) => Some(name.to_string()),
        Ok(Host::Ip(_)) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests;
