//! Enumerates addresses (`getifaddrs`) where the system does not notify of changes.
//!
//! The system says nothing of deprecation, so every address of an interface that runs counts as
//! preferred; the lanes themselves find out what is dead.

use std::io;
use std::time::Duration;

use ipnet::IpNet;

use crate::network_state::{Address, AddressState, Link, NetworkState};
use crate::source::{ChangeKind, Source};

/// How often addresses are enumerated. A lost address shows at its lane long before.
const ENUMERATION_INTERVAL: Duration = Duration::from_secs(1);

/// Enumeration by `getifaddrs`.
pub(crate) struct Enumeration;

impl Source for Enumeration {
    async fn read(&mut self, _: ChangeKind, before: NetworkState) -> io::Result<NetworkState> {
        // A moment without file descriptors takes no uplink down.
        Ok(match if_addrs::get_if_addrs() {
            // Default routes are not enumerated; those known before are the best guess there is.
            Ok(found) => NetworkState { defaults: before.defaults, ..network(&found) },
            Err(_) => before,
        })
    }

    async fn changed(&mut self) -> io::Result<ChangeKind> {
        tokio::time::sleep(ENUMERATION_INTERVAL).await;
        Ok(ChangeKind::Addresses)
    }
}

fn network(found: &[if_addrs::Interface]) -> NetworkState {
    let mut network = NetworkState::default();
    for interface in found {
        let prefix = match &interface.addr {
            if_addrs::IfAddr::V4(v4) => v4.prefixlen,
            if_addrs::IfAddr::V6(v6) => v6.prefixlen,
        };
        let Ok(net) = IpNet::new(interface.ip(), prefix) else { continue };
        let known = network.links.iter().find(|link| link.name == interface.name);
        let index = known.map(|link| link.index).unwrap_or_else(|| {
            let index = interface.index.unwrap_or(network.links.len() as u32);
            network.links.push(Link {
                index,
                name: interface.name.clone(),
                up: interface.is_oper_up(),
                loopback: interface.is_loopback(),
            });
            index
        });
        network.addresses.push(Address { link: index, net, state: AddressState::Preferred });
    }
    network
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_host_has_a_loopback_address() {
        let network =
            Enumeration.read(ChangeKind::Everything, NetworkState::default()).await.unwrap();
        let loopback = "127.0.0.1".parse().unwrap();
        assert!(network.usable().iter().any(|f| f.net.addr() == loopback), "{network:?}");
        assert!(network.carries(loopback));
    }
}
