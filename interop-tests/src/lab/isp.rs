//! An ISP: a router between one customer and the internet's core.
//!
//! It forwards from its customer only what comes from the prefixes it gave it (BCP 38), and
//! translates addresses where it is asked to.

use std::net::IpAddr;
use std::process::Command;

use super::host::Host;
use super::namespace;
use super::plan::{Prefix, transit};
use super::wan::WireHandle;
use crate::support::Outcome;

/// The ISP's device towards its customer.
pub(super) const SITE: &str = "site";
/// The ISP's device towards the core.
const CORE: &str = "core";

/// An ISP.
pub struct Isp {
    /// Its router.
    pub router: Host,
    /// Its place in the address plan.
    pub number: u8,
    /// Whether the customer is behind its NAT.
    pub nat: bool,
    /// The wire to its customer.
    pub wire: WireHandle,
}

/// Returns what ISP `number` is called; the customer's device has this name, too.
pub(super) fn name(number: u8) -> String {
    format!("isp-{}", char::from(b'a' + number))
}

impl Isp {
    /// Gives the router its addresses and joins it to the core. Its device towards the customer
    /// exists already.
    pub(super) fn new(
        router: Host,
        number: u8,
        nat: bool,
        wire: WireHandle,
        core: &Host,
    ) -> Outcome<Self> {
        let isp = Self { router, number, nat, wire };
        isp.join(core)?;
        isp.serve(&Prefix::of_isp(number), core)?;
        if nat {
            isp.translate()?;
        }
        if let [Prefix { gateway: IpAddr::V4(v4), .. }, Prefix { gateway: IpAddr::V6(v6), .. }] =
            Prefix::of_isp(number)
        {
            isp.wire.set_router(v4, v6);
        }
        Ok(isp)
    }

    /// Waits until its links are up.
    pub(super) fn settle(&self) -> Outcome {
        self.router.settle()
    }

    /// Returns what it is called.
    pub fn name(&self) -> &str {
        self.router.name()
    }

    /// A line between core and ISP: plain veth, since what is emulated is the customer's.
    fn join(&self, core: &Host) -> Outcome {
        let (there, peer) = (self.router.name(), namespace::path(self.router.namespace())?);
        core.ip(&format!("link add {there} type veth peer name {CORE} netns {peer}"))?;
        let [(core4, isp4), (core6, isp6)] = transit(self.number);
        // Routers ask for each other from link-local addresses (RFC 4861 §7.2.2).
        core.ip(&format!(
            "addr add {core4}/30 dev {there}\n\
             addr add {core6}/64 dev {there} nodad\n\
             addr add fe80::1/64 dev {there} nodad\n\
             link set dev {there} up"
        ))?;
        self.router.ip(&format!(
            "addr add {isp4}/30 dev {CORE}\n\
             addr add {isp6}/64 dev {CORE} nodad\n\
             addr add fe80::2/64 dev {CORE} nodad\n\
             link set dev {CORE} up\n\
             link set dev {SITE} up\n\
             route add default via {core4}\n\
             route add default via {core6}"
        ))?;
        // Offloads would make super-frames without checksums of what the router forwards.
        for (host, device) in [(core, there), (&self.router, CORE)] {
            let mut ethtool = Command::new("ethtool");
            ethtool.args(["-K", device, "tso", "off", "gso", "off", "gro", "off", "tx", "off"]);
            host.output(ethtool)?;
        }
        Ok(())
    }

    /// Routes prefixes to the customer, and takes nothing else from it.
    pub(super) fn serve(&self, prefixes: &[Prefix], core: &Host) -> Outcome {
        let [(_, isp4), (_, isp6)] = transit(self.number);
        for prefix in prefixes {
            let via = if prefix.network.is_ipv4() { isp4 } else { isp6 };
            core.ip(&format!("route replace {} via {via}", prefix.cidr()))?;
            self.router.ip(&format!("addr add {}/{} dev {SITE}", prefix.gateway, prefix.length))?;
        }
        let mut allowed: Vec<_> = prefixes.iter().map(Prefix::cidr).collect();
        if self.nat {
            let private = Prefix::behind_nat(self.number);
            let gateway = private.gateway;
            self.router.ip(&format!("addr add {gateway}/{} dev {SITE}", private.length))?;
            allowed.push(private.cidr());
        }
        self.filter(&allowed)
    }

    /// Forwards from the customer only what comes from these prefixes (BCP 38).
    pub(super) fn filter(&self, allowed: &[String]) -> Outcome {
        let accepts: String = allowed
            .iter()
            .map(|cidr| {
                let family = if cidr.contains(':') { "ip6" } else { "ip" };
                format!("iifname {SITE} {family} saddr {cidr} accept\n")
            })
            .collect();
        self.router.nft(&format!(
            "table inet bcp38\ndelete table inet bcp38\n\
             table inet bcp38 {{\n chain forward {{\n type filter hook forward priority 0;\n\
             {accepts} iifname {SITE} counter drop\n }}\n}}"
        ))
    }

    /// Translates the customer's private addresses, each time to another port.
    fn translate(&self) -> Outcome {
        let public = Prefix::of_isp(self.number)[0].gateway;
        let private = Prefix::behind_nat(self.number).cidr();
        self.router.nft(&format!(
            "table ip nat {{\n chain postrouting {{\n type nat hook postrouting priority 100;\n\
             oifname {CORE} ip saddr {private} snat to {public} fully-random\n }}\n}}"
        ))
    }

    /// Forgets all translations, as a NAT that was restarted does: what goes on comes from another
    /// port.
    ///
    /// # Errors
    /// When `conntrack` is not installed.
    pub fn rebind_nat(&self) -> Outcome {
        let mut conntrack = Command::new("conntrack");
        conntrack.arg("-F");
        self.router.output(conntrack).map(drop)
    }
}
