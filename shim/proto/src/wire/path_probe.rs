//! The probe of a path: a packet of a QUIC version that no one speaks, which an acceptor answers
//! with the versions that it does speak (RFC 9000 §6.1).
//!
//! The acceptor keeps no state for it, and neither end computes anything; a handshake costs a
//! key exchange at both ends and several packets. Versions of the form `0x?a?a?a?a` are reserved for
//! this (RFC 9000 §15). The answer repeats both connection ids, so who did not see the probe cannot
//! answer it.

use bytes::{BufMut, Bytes, BytesMut};

/// The size of a probe. Acceptors answer nothing smaller (RFC 9000 §5.2.2), and that the probe
/// passes shows that QUIC's smallest packets do.
pub const PATH_PROBE_SIZE: usize = 1200;

/// The bytes of a connection id.
const CID_LEN: usize = 8;

/// A reserved version.
const RESERVED_VERSION: u32 = 0x7a5a_3a1a;

/// The first byte of a packet with a long header: the form bit and the fixed bit (RFC 9000 §17.2).
const LONG_HEADER: u8 = 0xc0;

/// The two connection ids of a probe, by which its answer is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathProbe {
    destination: [u8; CID_LEN],
    source: [u8; CID_LEN],
}

impl PathProbe {
    /// Returns the probe with these connection ids, which should be random.
    pub const fn new(destination: [u8; CID_LEN], source: [u8; CID_LEN]) -> Self {
        Self { destination, source }
    }

    /// Returns the probe as a UDP payload.
    pub fn to_bytes(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(PATH_PROBE_SIZE);
        out.put_u8(LONG_HEADER);
        out.put_u32(RESERVED_VERSION);
        for id in [&self.destination, &self.source] {
            out.put_u8(CID_LEN as u8);
            out.put_slice(id);
        }
        out.put_bytes(0, PATH_PROBE_SIZE - out.len());
        out.freeze()
    }

    /// Returns whether a UDP payload answers the probe: a Version Negotiation packet
    /// (RFC 9000 §17.2.1) with its connection ids.
    pub fn is_answered_by(&self, datagram: &[u8]) -> bool {
        let mut expected = [0; 6 + 2 * CID_LEN];
        expected[4] = CID_LEN as u8;
        expected[5..5 + CID_LEN].copy_from_slice(&self.source);
        expected[5 + CID_LEN] = CID_LEN as u8;
        expected[6 + CID_LEN..].copy_from_slice(&self.destination);
        let Some((first, rest)) = datagram.split_first() else { return false };
        first & 0x80 != 0 && rest.starts_with(&expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBE: PathProbe = PathProbe::new([1; 8], [2; 8]);

    fn answer() -> Vec<u8> {
        let mut answer = vec![0xcd, 0, 0, 0, 0, 8];
        answer.extend([2; 8]);
        answer.push(8);
        answer.extend([1; 8]);
        answer.extend(1u32.to_be_bytes());
        answer
    }

    #[test]
    fn a_probe_is_as_large_as_the_smallest_packet_that_is_answered() {
        let bytes = PROBE.to_bytes();
        assert_eq!(bytes.len(), 1200);
        assert_eq!(bytes[..6], [0xc0, 0x7a, 0x5a, 0x3a, 0x1a, 8]);
    }

    #[test]
    fn only_what_repeats_both_connection_ids_answers_it() {
        assert!(PROBE.is_answered_by(&answer()));
        for len in 0..answer().len() - 4 {
            assert!(!PROBE.is_answered_by(&answer()[..len]), "{len} bytes");
        }
        for at in 0..answer().len() - 4 {
            let mut other = answer();
            other[at] ^= 0x80;
            assert!(!PROBE.is_answered_by(&other), "byte {at} is another");
        }
    }
}
