//! BIRD 2's configuration. One of its kernel or static protocols has one channel, and next hops are of
//! a session's own family, so each family has its own of everything.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use crate::lab::plan::{Family, Prefix, transit};

/// Private AS numbers (RFC 6996): the site's, the core's; an ISP's is [`ISPS_AS`] and its number.
const SITE_AS: u32 = 64510;
const CORE_AS: u32 = 64500;
const ISPS_AS: u32 = 64501;

/// The routing table of the site's own prefix.
pub(super) const TABLE: u32 = 110;

/// How BGP notices that a neighbour is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bgp {
    /// The hold time: a session that hears nothing for so long is over (RFC 4271 §4.4). Usual are
    /// 90 s, or 9 s where somebody cares.
    pub hold: Duration,
    /// Bidirectional forwarding detection (RFC 5880): 3 × 100 ms.
    pub bfd: bool,
}

/// A family that is announced.
pub(super) struct Channel {
    /// The site's own prefix.
    pub(super) own: Prefix,
    /// Its place in the address plan.
    place: usize,
}

impl Channel {
    /// Returns those of a lab.
    pub(super) fn of(family: Family) -> Vec<Self> {
        let own = Prefix::independent(family).into_iter();
        own.map(|own| Self { own, place: usize::from(own.host.is_ipv6()) }).collect()
    }

    /// Returns what `ip` calls it.
    pub(super) fn flag(&self) -> &'static str {
        ["-4", "-6"][self.place]
    }

    /// Returns what BIRD calls it.
    fn name(&self) -> &'static str {
        ["ipv4", "ipv6"][self.place]
    }

    /// Returns where a default route leads.
    fn everywhere(&self) -> &'static str {
        ["0.0.0.0/0", "::/0"][self.place]
    }

    fn provider(&self, isp: u8) -> Prefix {
        Prefix::of_isp(isp)[self.place]
    }

    /// Returns the core's address and the ISP's.
    fn transit(&self, isp: u8) -> (IpAddr, IpAddr) {
        transit(isp)[self.place]
    }
}

/// Returns what every speaker has. A router's id has the shape of an IPv4 address, with IPv6 alone
/// too.
fn common(router_id: IpAddr, kernel: &str, bgp: Bgp, channels: &[Channel]) -> String {
    let hold = bgp.hold.as_secs();
    let mut text = format!(
        "router id {router_id};\nlog stderr all;\nprotocol device {{ scan time 10; }}\n\
         protocol bfd {{ interface \"*\" {{ min rx interval 100 ms; min tx interval 100 ms; \
         multiplier 3; }}; }}\n\
         template bgp neighbour {{ hold time {hold}; keepalive time {}; connect delay time 1; \
         connect retry time 2; error wait time 1, 4; }}\n",
        (hold / 3).max(1)
    );
    for name in channels.iter().map(Channel::name) {
        let _ = writeln!(
            text,
            "protocol kernel {{ {kernel} {name} {{ import none; \
             export where source = RTS_BGP; }}; }}"
        );
    }
    text
}

fn bfd(bgp: Bgp) -> &'static str {
    if bgp.bfd { "bfd on;" } else { "" }
}

pub(super) fn for_site(isps: &[u8], bgp: Bgp, channels: &[Channel]) -> String {
    let id = Prefix::of_isp(isps[0])[0].host;
    let mut text = common(id, &format!("kernel table {TABLE};"), bgp, channels);
    for channel in channels {
        let (name, own) = (channel.name(), channel.own.cidr());
        let _ = writeln!(text, "protocol static {{ {name}; route {own} unreachable; }}");
        for isp in isps {
            let provider = channel.provider(*isp);
            let _ = writeln!(
                text,
                "protocol bgp isp{isp}_{name} from neighbour {{ local {} as {SITE_AS}; \
                 neighbor {} as {}; {}\n\
                 {name} {{ import filter {{ bgp_local_pref = {}; accept; }}; \
                 export where net = {own}; }}; }}",
                provider.host,
                provider.gateway,
                ISPS_AS + u32::from(*isp),
                bfd(bgp),
                200 - u32::from(*isp),
            );
        }
    }
    text
}

pub(super) fn for_isp(isp: u8, bgp: Bgp, channels: &[Channel]) -> String {
    let number = ISPS_AS + u32::from(isp);
    let mut text = common(transit(isp)[0].1, "", bgp, channels);
    for channel in channels {
        let (name, own, all) = (channel.name(), channel.own.cidr(), channel.everywhere());
        let (provider, (core, here)) = (channel.provider(isp), channel.transit(isp));
        let _ = writeln!(
            text,
            "protocol static {{ {name}; route {all} via {core}; }}\n\
             protocol bgp customer_{name} from neighbour {{ local {} as {number}; \
             neighbor {} as {SITE_AS}; {}\n\
             {name} {{ import where net = {own}; export where net = {all}; next hop self; }}; }}\n\
             protocol bgp core_{name} from neighbour {{ local {here} as {number}; \
             neighbor {core} as {CORE_AS};\n\
             {name} {{ import none; export where net = {own}; next hop self; }}; }}",
            provider.gateway,
            provider.host,
            bfd(bgp),
        );
    }
    text
}

pub(super) fn for_core(isps: &[u8], bgp: Bgp, channels: &[Channel]) -> String {
    let mut text = common(transit(isps[0])[0].0, "", bgp, channels);
    for channel in channels {
        let name = channel.name();
        for isp in isps {
            let (core, there) = channel.transit(*isp);
            let _ = writeln!(
                text,
                "protocol bgp isp{isp}_{name} from neighbour {{ local {core} as {CORE_AS}; \
                 neighbor {there} as {};\n\
                 {name} {{ import filter {{ bgp_local_pref = {}; accept; }}; export none; }}; }}",
                ISPS_AS + u32::from(*isp),
                200 - u32::from(*isp),
            );
        }
    }
    text
}
