//! A site: one host with an address from each of its ISPs.

use std::net::IpAddr;

use super::host::Host;
use super::plan::{Family, Prefix};
use super::wan::WireHandle;
use crate::support::Outcome;

/// A site.
pub struct Site {
    /// Its host.
    pub host: Host,
    /// Its ways out, in order of preference.
    pub uplinks: Vec<Uplink>,
    /// Which families it has addresses of.
    pub family: Family,
}

/// One way out of a site.
pub struct Uplink {
    /// The ISP's number.
    pub isp: u8,
    /// The device, called as the ISP.
    pub device: String,
    /// The wire to the ISP.
    pub wire: WireHandle,
    /// What the host has from this ISP, of the site's families.
    pub prefixes: Vec<Prefix>,
}

impl Uplink {
    /// Returns the host's addresses from this ISP.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.prefixes.iter().map(|prefix| prefix.host)
    }

    /// Returns the routing table for what comes from this ISP's addresses.
    pub(super) fn table(&self) -> u32 {
        100 + u32::from(self.isp)
    }
}

impl Site {
    /// Brings the devices up with their addresses, and routes by source: a packet from an ISP's
    /// address leaves by this ISP.
    pub(super) fn configure(&self) -> Outcome {
        for (order, uplink) in self.uplinks.iter().enumerate() {
            self.host.ip(&format!("link set dev {} up", uplink.device))?;
            for prefix in &uplink.prefixes {
                self.add(uplink, prefix, order)?;
            }
        }
        Ok(())
    }

    /// Gives the host an address, and a route for what comes from it.
    pub(super) fn add(&self, uplink: &Uplink, prefix: &Prefix, order: usize) -> Outcome {
        let (device, table) = (&uplink.device, uplink.table());
        let (gateway, host, metric) = (prefix.gateway, prefix.host, 100 + order);
        let nodad = if prefix.network.is_ipv6() { "nodad" } else { "" };
        let batch = format!(
            "addr add {} dev {device} {nodad}\n\
             route replace default via {gateway} dev {device} table {table}\n\
             route replace default via {gateway} dev {device} metric {metric}\n\
             rule add from {host} lookup {table} priority {table}",
            prefix.host_cidr()
        );
        self.host.ip_of(host, &batch)
    }

    /// Takes an address away, as an administrator or a DHCP server does. Routes and rules stay.
    pub(super) fn remove(&self, uplink: &Uplink, prefix: &Prefix) -> Outcome {
        self.host.ip(&format!("addr del {} dev {}", prefix.host_cidr(), uplink.device))
    }

    /// Says that an address is not to be used for anything new: preferred lifetime 0.
    pub(super) fn deprecate(&self, uplink: &Uplink, prefix: &Prefix) -> Outcome {
        self.host.ip(&format!(
            "addr change {} dev {} preferred_lft 0",
            prefix.host_cidr(),
            uplink.device
        ))
    }
}
