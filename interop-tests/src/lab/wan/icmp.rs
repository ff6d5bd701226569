//! The ICMP error for a packet that is too large: RFC 792 with RFC 1191 §4, and RFC 4443 §3.2.

use std::net::{Ipv4Addr, Ipv6Addr};

/// As much of the packet as goes into an ICMPv4 error: more than the IP header and 8 bytes, so
/// that a socket can be found by any transport header (RFC 1812 §4.3.2.3).
const QUOTE_V4: usize = 128;
/// An ICMPv6 error fits the smallest IPv6 MTU of 1280 (RFC 4443 §2.4).
const QUOTE_V6: usize = 1280 - 48;

/// Returns the error that `router` sends to the source of `packet`. `None` where it must not send any: to
/// an IPv4 packet without DF a router would send fragments, which a wire does not do, so it is told
/// as well.
pub(super) fn too_big(packet: &[u8], mtu: usize, router: (Ipv4Addr, Ipv6Addr)) -> Option<Vec<u8>> {
    match packet.first()? >> 4 {
        4 if packet.len() >= 20 => {
            let quote = &packet[..packet.len().min(QUOTE_V4)];
            // Type 3, code 4; the MTU of the next hop in the last two bytes of the header.
            let mut icmp = vec![3, 4, 0, 0, 0, 0];
            icmp.extend((mtu as u16).to_be_bytes());
            icmp.extend(quote);
            let sum = checksum(&[&icmp]);
            icmp[2..4].copy_from_slice(&sum.to_be_bytes());
            let mut ip = vec![0x45, 0];
            ip.extend((20 + icmp.len() as u16).to_be_bytes());
            // No identification, don't fragment, 64 hops, ICMP, no checksum yet.
            ip.extend([0, 0, 0x40, 0, 64, 1, 0, 0]);
            ip.extend(router.0.octets());
            ip.extend(&packet[12..16]);
            let sum = checksum(&[&ip]);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
            ip.extend(icmp);
            Some(ip)
        }
        6 if packet.len() >= 40 => {
            let quote = &packet[..packet.len().min(QUOTE_V6)];
            let mut icmp = vec![2, 0, 0, 0];
            icmp.extend((mtu as u32).to_be_bytes());
            icmp.extend(quote);
            let (source, to) = (router.1.octets(), &packet[8..24]);
            let pseudo = [(icmp.len() as u32).to_be_bytes(), [0, 0, 0, 58]].concat();
            let sum = checksum(&[&source, to, &pseudo, &icmp]);
            icmp[2..4].copy_from_slice(&sum.to_be_bytes());
            let mut ip = vec![0x60, 0, 0, 0];
            ip.extend((icmp.len() as u16).to_be_bytes());
            ip.extend([58, 64]);
            ip.extend(source);
            ip.extend(to);
            ip.extend(icmp);
            Some(ip)
        }
        _ => None,
    }
}

/// Returns the internet checksum (RFC 1071). Every part but the last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: (Ipv4Addr, Ipv6Addr) =
        (Ipv4Addr::new(198, 18, 10, 1), Ipv6Addr::new(0x2001, 0xdb8, 0xa, 0, 0, 0, 0, 1));

    #[test]
    fn an_ipv4_sender_is_told_the_largest_size_by_a_packet_whose_checksums_are_right() {
        let mut packet = vec![0u8; 1400];
        packet[0] = 0x45;
        packet[12..16].copy_from_slice(&[198, 18, 10, 10]);
        let error = too_big(&packet, 1300, ROUTER).expect("an error");
        assert_eq!(checksum(&[&error[..20]]), 0);
        assert_eq!(checksum(&[&error[20..]]), 0);
        assert_eq!(&error[16..20], &[198, 18, 10, 10]);
        assert_eq!((error[20], error[21]), (3, 4));
        assert_eq!(u16::from_be_bytes([error[26], error[27]]), 1300);
        assert_eq!(usize::from(u16::from_be_bytes([error[2], error[3]])), error.len());
    }

    #[test]
    fn an_ipv6_sender_is_told_the_largest_size_by_a_packet_whose_checksum_is_right() {
        let mut packet = vec![7u8; 1401];
        packet[0] = 0x60;
        let error = too_big(&packet, 1300, ROUTER).expect("an error");
        let pseudo = [(error.len() as u32 - 40).to_be_bytes(), [0, 0, 0, 58]].concat();
        assert_eq!(checksum(&[&error[8..24], &error[24..40], &pseudo, &error[40..]]), 0);
        assert_eq!((error[40], error[41]), (2, 0));
        assert_eq!(u32::from_be_bytes([error[44], error[45], error[46], error[47]]), 1300);
        assert_eq!(error.len(), 1280);
    }

    #[test]
    fn what_is_no_ip_packet_gets_no_answer() {
        assert_eq!(too_big(&[], 1300, ROUTER), None);
        assert_eq!(too_big(&[0x45, 0], 1300, ROUTER), None);
        assert_eq!(too_big(&[0x12; 100], 1300, ROUTER), None);
    }
}
