//! A client of SOCKS5 (RFC 1928): CONNECT, with a password (RFC 1929) if there is one.

use std::io::{self, Read, Write};
use std::net::IpAddr;

use thiserror::Error;

use crate::proxy::ingress::credentials::Credentials;
use throughline::{Host, Target};

/// A connection is not made.
#[derive(Debug, Error)]
pub(super) enum SocksError {
    #[error("the ingress broke off: {0}")]
    Io(#[from] io::Error),
    #[error("what answers is no SOCKS5 ingress; write the address of one")]
    NotSocks5,
    #[error("the ingress wants another method of authentication; if it has a password, write -c")]
    Method,
    #[error("the ingress does not take the user name and the password of the configuration")]
    Password,
    #[error("a service is no destination of SOCKS5")]
    Service,
    #[error("{}", reason(*.0))]
    Refused(u8),
}

/// Asks for a connection to `target`, and waits for it.
pub(super) fn connect(
    connection: &mut (impl Read + Write),
    target: &Target,
    credentials: Option<&Credentials>,
) -> Result<(), SocksError> {
    let request = request(target)?;
    // With a password only that method: the ingress that it is for wants it.
    let method = if credentials.is_some() { 2 } else { 0 };
    connection.write_all(&[5, 1, method])?;
    match read(connection)? {
        [5, chosen] if chosen == method => {}
        [5, _] => return Err(SocksError::Method),
        _ => return Err(SocksError::NotSocks5),
    }
    if let Some(Credentials { username, password }) = credentials {
        let mut message = vec![1];
        for text in [username, password] {
            message.push(u8::try_from(text.len()).map_err(|_| SocksError::Password)?);
            message.extend_from_slice(text.as_bytes());
        }
        connection.write_all(&message)?;
        if read::<2>(connection)?[1] != 0 {
            return Err(SocksError::Password);
        }
    }
    connection.write_all(&request)?;
    let [version, reply, _, kind] = read(connection)?;
    // The address that the ingress bound, which is of no use, and then the port.
    let length = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(read::<1>(connection)?[0]),
        _ => return Err(SocksError::NotSocks5),
    };
    connection.read_exact(&mut vec![0; length + 2])?;
    match (version, reply) {
        (5, 0) => Ok(()),
        (5, reply) => Err(SocksError::Refused(reply)),
        _ => Err(SocksError::NotSocks5),
    }
}

fn request(target: &Target) -> Result<Vec<u8>, SocksError> {
    let Target::Tcp { host, port } = target else { return Err(SocksError::Service) };
    let mut request = vec![5, 1, 0];
    match host {
        Host::Ip(IpAddr::V4(ip)) => {
            request.push(1);
            request.extend_from_slice(&ip.octets());
        }
        Host::Ip(IpAddr::V6(ip)) => {
            request.push(4);
            request.extend_from_slice(&ip.octets());
        }
        Host::Name(name) => {
            request.push(3);
            request.push(u8::try_from(name.len()).map_err(|_| SocksError::Service)?);
            request.extend_from_slice(name.as_bytes());
        }
    }
    request.extend_from_slice(&port.to_be_bytes());
    Ok(request)
}

fn read<const N: usize>(connection: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    connection.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Returns what a reply (RFC 1928 §6) means where an ingress sends it.
fn reason(reply: u8) -> &'static str {
    match reply {
        2 => "not allowed, by a rule here or by the peer; the daemon's `events` say which",
        3 => "its network is unreachable, or a limit is reached; the daemon's `events` say which",
        4 => "the host or its name is not reachable, or no peer is; see `throughline status`",
        5 => "it refused the connection; check that a program listens on that port",
        6 => "it did not answer in time",
        _ => "the ingress failed; the daemon's `events` say why",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// An ingress that says `says`, and notes what it hears.
    struct Ingress {
        says: Cursor<Vec<u8>>,
        heard: Vec<u8>,
    }

    impl Read for Ingress {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.says.read(buffer)
        }
    }

    impl Write for Ingress {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.heard.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn play(says: &[u8], password: Option<&str>) -> (Result<(), String>, Vec<u8>) {
        let mut ingress = Ingress { says: Cursor::new(says.to_vec()), heard: Vec::new() };
        let credentials =
            password.map(|p| Credentials { username: "user".to_owned(), password: p.to_owned() });
        let target = "h.example:22".parse().unwrap();
        let result = connect(&mut ingress, &target, credentials.as_ref());
        (result.map_err(|error| error.to_string()), ingress.heard)
    }

    #[test]
    fn a_name_is_asked_for_as_a_name_with_and_without_a_password() {
        const REQUEST: &[u8] = b"\x05\x01\x00\x03\x09h.example\x00\x16";
        const OPEN: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let (result, heard) = play(&[&[5, 0][..], OPEN].concat(), None);
        assert_eq!((result, heard), (Ok(()), [b"\x05\x01\x00", REQUEST].concat()));
        let (result, heard) = play(&[&[5, 2, 1, 0][..], OPEN].concat(), Some("pw"));
        let expected = [b"\x05\x01\x02\x01\x04user\x02pw", REQUEST].concat();
        assert_eq!((result, heard), (Ok(()), expected));
    }

    #[test]
    fn every_refusal_says_why() {
        for (says, password, reason) in [
            (&b"HTTP/1.1 400"[..], None, "no SOCKS5 ingress"),
            (b"\x05\xff", None, "write -c"),
            (b"\x05\x02\x01\xff", Some("pw"), "does not take"),
            (b"\x05\x00\x05\x05\x00\x01\0\0\0\0\0\0", None, "refused the connection"),
            (b"\x05\x00\x05\x02\x00\x01\0\0\0\0\0\0", None, "not allowed"),
            (b"\x05\x00\x05", None, "broke off"),
        ] {
            let (result, _) = play(says, password);
            assert!(result.clone().unwrap_err().contains(reason), "{says:?}: {result:?}");
        }
    }
}
