//! Primitive fields: QUIC variable-length integers (RFC 9000 §16), strings and addresses.

use std::net::IpAddr;

use bytes::{Buf, BufMut};
use thiserror::Error;

use crate::types::{Host, MAX_NAME, Target, is_printable, printable};

/// The largest variable-length integer, 2^62 - 1.
pub const MAX_VARINT: u64 = (1 << 62) - 1;

/// The longest detail (a text for a person), in bytes.
pub const MAX_DETAIL: usize = 255;

/// Why bytes from a peer cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end before the named field does.
    #[error("{0} is truncated")]
    Truncated(&'static str),
    /// The named field is larger than the protocol allows.
    #[error("{0} is {1}, more than the {2} that the protocol allows")]
    TooLarge(&'static str, u64, u64),
    /// The named field has a value that the protocol does not define.
    #[error("{0} has the value {1}, which the protocol does not define")]
    Invalid(&'static str, u64),
    /// Bytes follow the end of the named message.
    #[error("{1} bytes follow the end of {0}")]
    Trailing(&'static str, usize),
}

/// Appends a variable-length integer in its shortest form.
///
/// A value above [`MAX_VARINT`] cannot be encoded and is clamped: callers pass counters that cannot
/// reach it, and a clamped value does less harm than a wrapped one.
pub fn put_varint(out: &mut impl BufMut, value: u64) {
    match value {
        0..=0x3f => out.put_u8(value as u8),
        0x40..=0x3fff => out.put_u16(value as u16 | 0x4000),
        0x4000..=0x3fff_ffff => out.put_u32(value as u32 | 0x8000_0000),
        _ => out.put_u64(value.min(MAX_VARINT) | 0xc000_0000_0000_0000),
    }
}

/// Reads a variable-length integer; `field` names it in an error.
pub fn get_varint(buf: &mut impl Buf, field: &'static str) -> Result<u64, DecodeError> {
    if !buf.has_remaining() {
        return Err(DecodeError::Truncated(field));
    }
    let first = buf.get_u8();
    let more = (1usize << (first >> 6)) - 1;
    if buf.remaining() < more {
        return Err(DecodeError::Truncated(field));
    }
    let mut value = u64::from(first & 0x3f);
    for _ in 0..more {
        value = value << 8 | u64::from(buf.get_u8());
    }
    Ok(value)
}

/// Reads a variable-length integer that must not exceed `max`.
pub fn get_bounded(buf: &mut impl Buf, field: &'static str, max: u64) -> Result<u64, DecodeError> {
    let value = get_varint(buf, field)?;
    if value > max { Err(DecodeError::TooLarge(field, value, max)) } else { Ok(value) }
}

/// Appends a string with its length in front.
pub fn put_string(out: &mut impl BufMut, text: &str) {
    put_varint(out, text.len() as u64);
    out.put_slice(text.as_bytes());
}

/// Appends a detail, truncated to [`MAX_DETAIL`] bytes, since the reader refuses longer ones.
pub fn put_detail(out: &mut impl BufMut, text: &str) {
    put_string(out, &text[..text.floor_char_boundary(MAX_DETAIL)]);
}

/// Reads a detail. What is not UTF-8, or must not be printed, becomes U+FFFD: a detail is for a person
/// and ends up in logs and terminals. That sign has three bytes, so the text is truncated again.
pub fn get_detail(buf: &mut impl Buf, field: &'static str) -> Result<String, DecodeError> {
    let text = get_string(buf, field, MAX_DETAIL)?;
    let mut text = printable(&text).into_owned();
    text.truncate(text.floor_char_boundary(MAX_DETAIL));
    Ok(text)
}

/// Reads a string of at most `max` bytes; bytes that are not UTF-8 become U+FFFD.
fn get_string(buf: &mut impl Buf, field: &'static str, max: usize) -> Result<String, DecodeError> {
    let len = get_bounded(buf, field, max as u64)? as usize;
    if buf.remaining() < len {
        return Err(DecodeError::Truncated(field));
    }
    let bytes = buf.copy_to_bytes(len);
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Appends a target: kind, then its fields.
pub fn put_target(out: &mut impl BufMut, target: &Target) {
    match target {
        Target::Tcp { host, port } => put_destination(out, 0, host, *port),
        Target::Udp { host, port } => put_destination(out, DATAGRAM_KINDS, host, *port),
        Target::Service(name) => {
            out.put_u8(4);
            put_string(out, name);
        }
        Target::DatagramService(name) => {
            out.put_u8(4 + DATAGRAM_KINDS);
            put_string(out, name);
        }
    }
}

/// How much greater the kind of a target of datagrams is than that of the same one of streams.
const DATAGRAM_KINDS: u8 = 4;

fn put_destination(out: &mut impl BufMut, kinds: u8, host: &Host, port: u16) {
    match host {
        Host::Ip(IpAddr::V4(ip)) => {
            out.put_u8(1 + kinds);
            out.put_slice(&ip.octets());
        }
        Host::Ip(IpAddr::V6(ip)) => {
            out.put_u8(2 + kinds);
            out.put_slice(&ip.octets());
        }
        Host::Name(name) => {
            out.put_u8(3 + kinds);
            put_string(out, name);
        }
    }
    out.put_u16(port);
}

/// Reads a target.
pub fn get_target(buf: &mut impl Buf) -> Result<Target, DecodeError> {
    const FIELD: &str = "target";
    fn port(buf: &mut impl Buf) -> Result<u16, DecodeError> {
        if buf.remaining() < 2 {
            return Err(DecodeError::Truncated("target port"));
        }
        match buf.get_u16() {
            0 => Err(DecodeError::Invalid("target port", 0)),
            port => Ok(port),
        }
    }
    fn octets<const N: usize>(buf: &mut impl Buf) -> Result<[u8; N], DecodeError> {
        if buf.remaining() < N {
            return Err(DecodeError::Truncated("target address"));
        }
        let mut octets = [0; N];
        buf.copy_to_slice(&mut octets);
        Ok(octets)
    }
    if !buf.has_remaining() {
        return Err(DecodeError::Truncated(FIELD));
    }
    let kind = buf.get_u8();
    let is_datagram = kind > DATAGRAM_KINDS;
    let destination = |host, port| match is_datagram {
        true => Target::Udp { host, port },
        false => Target::Tcp { host, port },
    };
    match kind - if is_datagram { DATAGRAM_KINDS } else { 0 } {
        1 => Ok(destination(Host::Ip(octets::<4>(buf)?.into()), port(buf)?)),
        2 => Ok(destination(Host::Ip(octets::<16>(buf)?.into()), port(buf)?)),
        3 => {
            let name = get_string(buf, "target name", MAX_NAME)?;
            // The name reaches the resolver and the policy, so it must satisfy our own parser.
            let host = match name.parse() {
                Ok(host @ Host::Name(_)) => host,
                _ => return Err(DecodeError::Invalid("target name", name.len() as u64)),
            };
            Ok(destination(host, port(buf)?))
        }
        4 => {
            // A name is compared, so it is not mended: two that differ must not become one.
            let name = get_string(buf, "service name", MAX_NAME)?;
            match name.chars().find(|c| !is_printable(*c)) {
                Some(odd) => Err(DecodeError::Invalid("character of a service name", odd.into())),
                None if is_datagram => Ok(Target::DatagramService(name)),
                None => Ok(Target::Service(name)),
            }
        }
        _ => Err(DecodeError::Invalid("target kind", kind.into())),
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    #[test]
    fn a_detail_that_grows_as_it_is_made_printable_is_no_longer_than_one_may_be() {
        for byte in [0xff, 0x1b, b'x'] {
            let mut sent = BytesMut::new();
            put_varint(&mut sent, MAX_DETAIL as u64);
            sent.put_bytes(byte, MAX_DETAIL);
            let detail = get_detail(&mut sent, "detail").unwrap();
            assert!((MAX_DETAIL - 3..=MAX_DETAIL).contains(&detail.len()), "{}", detail.len());
            let mut again = BytesMut::new();
            put_detail(&mut again, &detail);
            assert_eq!(get_detail(&mut again, "detail"), Ok(detail));
        }
    }

    #[test]
    fn varints_match_the_examples_of_rfc_9000() {
        // RFC 9000 appendix A.1.
        let cases: [(u64, &[u8]); 4] = [
            (151_288_809_941_952_652, &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]),
            (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
            (15_293, &[0x7b, 0xbd]),
            (37, &[0x25]),
        ];
        for (value, bytes) in cases {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(get_varint(&mut &bytes[..], "x"), Ok(value));
            for end in 0..bytes.len() {
                assert_eq!(get_varint(&mut &bytes[..end], "x"), Err(DecodeError::Truncated("x")));
            }
        }
    }

    #[test]
    fn targets_survive_the_wire() {
        for text in ["10.0.0.1:22", "[2001:db8::1]:443", "db.internal:5432"] {
            let of_udp = format!("{text}/udp");
            assert_eq!(survives(&text.parse().unwrap()), survives(&of_udp.parse().unwrap()));
        }
        survives(&Target::service("x"));
        survives(&Target::datagram_service("x"));
    }

    /// Sends a target over the wire; returns how long it was.
    fn survives(target: &Target) -> usize {
        let mut out = Vec::new();
        put_target(&mut out, target);
        assert_eq!(get_target(&mut &out[..]).as_ref(), Ok(target));
        for end in 0..out.len() {
            assert!(matches!(get_target(&mut &out[..end]), Err(DecodeError::Truncated(_))));
        }
        out.len()
    }

    #[test]
    fn a_detail_cannot_forge_a_line_and_a_service_name_with_such_a_character_is_refused() {
        let text = "gone\nWARN forged \u{1b}[2J\u{202e}";
        let mut out = Vec::new();
        put_detail(&mut out, text);
        let detail = get_detail(&mut &out[..], "detail").unwrap();
        assert_eq!(detail, "gone\u{fffd}WARN forged \u{fffd}[2J\u{fffd}");
        let mut out = Vec::new();
        put_target(&mut out, &Target::service(text));
        let odd = DecodeError::Invalid("character of a service name", 10);
        assert_eq!(get_target(&mut &out[..]), Err(odd));
    }

    #[test]
    fn a_target_name_that_is_an_address_or_has_odd_bytes_is_refused() {
        for name in ["10.0.0.1", "a\0b", "", "a b"] {
            let mut out = vec![3];
            put_string(&mut out, name);
            out.extend([0, 80]);
            assert!(matches!(get_target(&mut &out[..]), Err(DecodeError::Invalid(..))), "{name:?}");
        }
    }
}
