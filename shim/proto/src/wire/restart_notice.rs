//! The notice of a restart: what a process that has just started sends to where the lanes of an earlier
//! one came from, so that the peers ask it at once instead of when they next have something to say.
//!
//! It proves nothing, and needs not: who hears it asks the lane itself, and the answer, a stateless reset
//! (RFC 9000 §10.3), only the peer can make. It looks like a QUIC packet of a reserved version (RFC 9000
//! §15), so that whatever else hears it drops it, and is far shorter than what anybody answers.

/// The bytes of a notice. A firewall or a receiver that looks for connection ids finds two empty ones.
const NOTICE: [u8; 7] = [0xc0, 0x7a, 0x5a, 0x3a, 0x1a, 0, 0];

/// Returns the notice as a UDP payload.
pub const fn to_bytes() -> [u8; 7] {
    NOTICE
}

/// Returns whether a UDP payload that came to the socket of a lane is a notice: a long header and any reserved
/// version, and too short to be asked for an answer.
pub fn is_notice(datagram: &[u8]) -> bool {
    let [first, version @ ..] = datagram else { return false };
    let Some(version) = version.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)) else {
        return false;
    };
    datagram.len() <= LONGEST && first & 0x80 != 0 && version & 0x0f0f_0f0f == 0x0a0a_0a0a
}

/// The longest notice that is taken for one; a later version may have more to say.
const LONGEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_a_short_packet_of_any_reserved_version() {
        assert!(is_notice(&to_bytes()));
        assert!(is_notice(&[0x80, 0xfa, 0xfa, 0xfa, 0xfa]));
        // QUIC version 1, Version Negotiation, a short header, a path probe, and too little.
        assert!(!is_notice(&[0xc0, 0, 0, 0, 1, 0, 0]));
        assert!(!is_notice(&[0xc0, 0, 0, 0, 0, 0, 0]));
        assert!(!is_notice(&[0x40, 0x7a, 0x5a, 0x3a, 0x1a, 0, 0]));
        let mut long = [0; 1200];
        long[..7].copy_from_slice(&to_bytes());
        assert!(!is_notice(&long));
        assert!((0..5).all(|len| !is_notice(&to_bytes()[..len])));
    }
}
