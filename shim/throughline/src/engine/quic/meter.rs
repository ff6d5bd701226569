//! Counts what goes over our addresses as a provider counts it: every datagram, of lanes and of whatever becomes none,
//! both ways, with the headers of UDP and IP.
//!
//! It is off until somebody asks, and then costs a look-up for each batch of datagrams. What lies below IP (Ethernet,
//! PPPoE, a mobile network's tunnels) is not counted, nor what ARP, neighbour discovery or ICMP need.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// Our addresses that are counted apart; further ones are not. A host has a few, and temporary ones of IPv6 come and
/// go: those of which nothing is left to be told are forgotten.
const MAX_ADDRESSES: usize = 256;

/// The headers of UDP and IP: 8 bytes, and 20 (RFC 791, without options) or 40 (RFC 8200).
const IPV4_HEADERS: usize = 28;
const IPV6_HEADERS: usize = 48;

/// What has gone over each of our addresses. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    is_on: AtomicBool,
    /// Bytes that nobody has been told of. The lock is a leaf.
    bytes: Mutex<HashMap<IpAddr, u64>>,
}

impl Meter {
    /// Counts `len` bytes in datagrams of `segment` bytes from or to this address of ours.
    pub(crate) fn count(&self, ours: IpAddr, len: usize, segment: Option<usize>) {
        if !self.0.is_on.load(Ordering::Acquire) || len == 0 {
            return;
        }
        let ours = ours.to_canonical();
        let datagrams = len.div_ceil(segment.unwrap_or(len).max(1));
        let headers = if ours.is_ipv4() { IPV4_HEADERS } else { IPV6_HEADERS };
        let all = (len + datagrams * headers) as u64;
        let mut bytes = self.0.bytes.lock();
        if bytes.len() < MAX_ADDRESSES || bytes.contains_key(&ours) {
            *bytes.entry(ours).or_default() += all;
        }
    }

    /// Begins to count.
    pub(crate) fn begin(&self) {
        self.0.is_on.store(true, Ordering::Release);
    }

    /// Returns what has gone over each address since the last call; the first one begins to count.
    pub(crate) fn take(&self) -> Vec<(IpAddr, u64)> {
        self.begin();
        self.0.bytes.lock().drain().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_count_for_each_datagram_of_a_batch_and_nothing_before_somebody_asks() {
        let (meter, v4) = (Meter::default(), IpAddr::from([192, 0, 2, 1]));
        let v6: IpAddr = "2001:db8::1".parse().unwrap();
        let mapped = std::net::Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
        meter.count(v4, 1000, None);
        assert!(meter.take().is_empty());
        meter.count(v4, 1000, None);
        meter.count(mapped.into(), 2500, Some(1000));
        meter.count(v4, 0, None);
        assert_eq!(meter.take(), [(v4, 1000 + 28 + 2500 + 3 * 28)]);
        meter.count(v6, 1000, Some(1000));
        assert_eq!(meter.take(), [(v6, 1048)]);
        assert!(meter.take().is_empty());
    }

    #[test]
    fn addresses_beyond_the_bound_are_not_counted() {
        let meter = Meter::default();
        meter.take();
        for n in 0..2 * MAX_ADDRESSES as u32 {
            meter.count(std::net::Ipv4Addr::from(n).into(), 1, None);
        }
        assert_eq!(meter.take().len(), MAX_ADDRESSES);
    }
}
