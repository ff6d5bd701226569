//! The traffic class of a datagram: the byte of its IP header that says how the network is to treat it.

/// How congestion is told to, and by, the packets of a flow (RFC 3168 §5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ecn {
    /// The sender does not know of ECN: a congested router drops the packet.
    #[default]
    NotEct,
    /// The sender knows of L4S (RFC 9331).
    Ect1,
    /// The sender knows of ECN.
    Ect0,
    /// A router on the way was congested.
    Ce,
}

/// The traffic class of a datagram (RFC 8200 §7), the former TOS of IPv4: six bits of DSCP (RFC 2474), which ask for a
/// treatment, and two of ECN (RFC 3168). By default both are zero: best effort, without ECN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TrafficClass(u8);

impl TrafficClass {
    /// Best effort, without ECN: what a datagram has of which nothing else is said.
    pub const DEFAULT: Self = Self(0);

    /// Returns the class with this DSCP, of which the lower six bits count, such as 46 for expedited forwarding
    /// (RFC 3246).
    #[must_use]
    pub const fn new(dscp: u8, ecn: Ecn) -> Self {
        Self((dscp << 2) | ecn as u8)
    }

    /// Returns the class of which this is the byte in an IP header.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// Returns the byte as it is in an IP header.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self.0
    }

    /// Returns the DSCP, 0 to 63.
    #[must_use]
    pub const fn dscp(self) -> u8 {
        self.0 >> 2
    }

    /// Returns what is said of congestion.
    #[must_use]
    pub const fn ecn(self) -> Ecn {
        match self.0 & 3 {
            0 => Ecn::NotEct,
            1 => Ecn::Ect1,
            2 => Ecn::Ect0,
            _ => Ecn::Ce,
        }
    }

    /// Returns whether nothing is asked for.
    #[must_use]
    pub const fn is_default(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_a_class_and_its_two_parts_make_it_again() {
        for byte in 0..=u8::MAX {
            let class = TrafficClass::from_byte(byte);
            assert_eq!((class.to_byte(), class.is_default()), (byte, byte == 0));
            assert_eq!(TrafficClass::new(class.dscp(), class.ecn()), class);
        }
        // Expedited forwarding is 101110 (RFC 3246 §2.7), and ECT(1) is 01 (RFC 3168 §5).
        assert_eq!(TrafficClass::new(46, Ecn::Ect1).to_byte(), 0b1011_1001);
        assert_eq!(TrafficClass::DEFAULT, TrafficClass::default());
    }
}
