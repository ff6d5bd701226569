//! Where the system does not tell of changes: the addresses are asked for, again and again. It
//! says nothing of deprecation, so every address of an interface that runs counts as good; what is
//! dead is then found by the lanes themselves.

use std::io;
use std::time::Duration;

use ipnet::IpNet;

use super::picture::{Address, Link, Picture, Standing};
use super::watcher::{Source, What};

/// How often to look: a lost address shows at its lane long before.
const EVERY: Duration = Duration::from_secs(1);

/// Enumeration by `getifaddrs`.
pub(super) struct Enumeration;

impl Source for Enumeration {
    async fn read(&mut self, _: What, before: Picture) -> io::Result<Picture> {
        // A moment without file descriptors takes no uplink down.
        Ok(if_addrs::get_if_addrs().map_or(before, |found| picture(&found)))
    }

    async fn changed(&mut self) -> io::Result<What> {
        tokio::time::sleep(EVERY).await;
        Ok(What::Addresses)
    }
}

fn picture(found: &[if_addrs::Interface]) -> Picture {
    let mut picture = Picture::default();
    for interface in found {
        let prefix = match &interface.addr {
            if_addrs::IfAddr::V4(v4) => v4.prefixlen,
            if_addrs::IfAddr::V6(v6) => v6.prefixlen,
        };
        let Ok(net) = IpNet::new(interface.ip(), prefix) else { continue };
        let known = picture.links.iter().find(|link| link.name == interface.name);
        let index = known.map(|link| link.index).unwrap_or_else(|| {
            let index = interface.index.unwrap_or(picture.links.len() as u32);
            picture.links.push(Link {
                index,
                name: interface.name.clone(),
                up: interface.is_oper_up(),
                loopback: interface.is_loopback(),
            });
            index
        });
        picture.addresses.push(Address { link: index, net, standing: Standing::Preferred });
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn this_host_has_a_loopback_address() {
        let picture = Enumeration.read(What::Everything, Picture::default()).await.unwrap();
        let loopback = "127.0.0.1".parse().unwrap();
        assert!(picture.usable().iter().any(|f| f.net.addr() == loopback), "{picture:?}");
        assert!(picture.carries(loopback));
    }
}
