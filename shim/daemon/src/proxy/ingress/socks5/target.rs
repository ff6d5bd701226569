//! The destinations that clients name.

use fast_socks5::util::target_addr::TargetAddr;

use throughline::{Host, Target};

/// Returns the requested target.
pub(super) fn tcp_target(address: &TargetAddr) -> Option<Target> {
    destination(address).map(|(host, port)| Target::Tcp { host, port })
}

/// Returns the target of a datagram.
pub(super) fn udp_target(address: &TargetAddr) -> Option<Target> {
    destination(address).map(|(host, port)| Target::Udp { host, port })
}

/// Returns a destination. A name stays a name; an address written as a name is an address.
fn destination(address: &TargetAddr) -> Option<(Host, u16)> {
    let (host, port) = match address {
        TargetAddr::Ip(address) => (Host::Ip(address.ip()), address.port()),
        TargetAddr::Domain(name, port) => (name.parse().ok()?, *port),
    };
    (port != 0).then_some((host, port))
}
