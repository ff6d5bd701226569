//! Explains why no answer came over a path: by what the kernel and routers said, by the routes, and by what came of the
//! other paths.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::catalogue::Code;
use crate::doctor::judge::fault::Fault;
use crate::doctor::observation::{Observations, PathSeen, Refusal, Refused, UdpAnswer};

/// The packet that QUIC needs to pass (RFC 9000 §14), by family.
const NEEDED_V4: u32 = 1228;
const NEEDED_V6: u32 = 1248;

/// Returns the first cause that explains what was seen, those that are certain first.
pub(super) fn explain(seen: &Observations, path: &PathSeen) -> Fault {
    let is_wrong = path.route.state == "wrong-uplink" && path.udp != UdpAnswer::NotPermitted;
    // What the other uplink's router says, or does not say, is none of this one's.
    let wrong = is_wrong.then(|| wrong_uplink(seen, path));
    wrong
        .or_else(|| of_datagram(seen, path))
        .or_else(|| narrow(path))
        .or_else(|| silent_next_hop(path))
        .or_else(|| half_passes(path))
        .or_else(|| by_other_paths(seen, path))
        .or_else(|| private(path))
        .unwrap_or_else(|| {
            Fault::new(
                Code::PeerSilent,
                format!(
                    "Nobody answers at {}, from no uplink: the peer is not running or not connected, or a firewall at \
                     its end drops UDP at port {}.",
                    path.remote().ip(),
                    path.remote().port()
                ),
                format!(
                    "Run `throughline doctor` at {}; see that its firewall and its router let UDP in at port {}, and that \
                     the locator is its address.",
                    path.peer,
                    path.remote().port()
                ),
            )
        })
}

/// Explains by what somebody said of a single datagram.
pub(super) fn of_datagram(seen: &Observations, path: &PathSeen) -> Option<Fault> {
    let remote = path.remote();
    let port = remote.port();
    match &path.udp {
        UdpAnswer::NotPermitted => Some(Fault::new(
            Code::LocalFirewall,
            format!(
                "A packet filter of this host does not let UDP from {} to {remote} out.",
                path.local()
            ),
            format!("Let UDP to port {port} out; `nft list ruleset` shows the rules."),
        )),
        UdpAnswer::Refused(Refusal { by, what }) => {
            if by.is_none_or(|by| by == path.local()) && *what == Refused::Unreachable {
                return Some(same_prefix(seen, path).unwrap_or_else(|| nobody_on_the_link(path)));
            }
            Some(refused(path, *by, *what))
        }
        UdpAnswer::Failed(reason) => narrow(path).or_else(|| {
            Some(Fault::new(
                Code::PathFailed,
                format!("The kernel does not send from {} to {remote}: {reason}.", path.local()),
                "See `ip address` and `ip route get`.",
            ))
        }),
        // A host that answers on the link is there: what drops UDP is something else.
        UdpAnswer::Silent if path.next_hop_is_silent => same_prefix(seen, path),
        UdpAnswer::Silent | UdpAnswer::NotSent | UdpAnswer::Answered => None,
    }
}

fn refused(path: &PathSeen, by: Option<IpAddr>, what: Refused) -> Fault {
    let remote = path.remote();
    let (port, peer) = (remote.port(), &path.peer);
    let is_peer = by.is_some_and(|by| by == remote.ip());
    match (what, by) {
        (Refused::Port, _) if is_peer || by.is_none() => Fault::new(
            Code::PortRefused,
            format!(
                "The peer's host answers that nobody listens at UDP port {port}: its daemon is not running, has another \
                 port, or its firewall refuses (`reject`)."
            ),
            format!(
                "Start the daemon at {peer}, and compare port {port} with its `listen` and its firewall."
            ),
        ),
        (_, Some(by)) if is_peer => Fault::new(
            Code::RefusedOnTheWay,
            format!("The firewall of the peer's host {by} forbids it (ICMP)."),
            format!("Let UDP to port {port} in at {peer}."),
        ),
        // Where it is right to know no way.
        (Refused::Unreachable, _) if is_private(remote.ip()) => no_isp_carries(path),
        (_, by) => {
            let who = by
                .map_or_else(|| "Somebody on the way".to_owned(), |by| format!("The router {by}"));
            let says = match what {
                Refused::Unreachable => "knows no way to the host",
                _ => "forbids it: a firewall",
            };
            Fault::new(
                Code::RefusedOnTheWay,
                format!("{who} answers that it {says} (ICMP)."),
                format!("See that router; where it is a firewall, let UDP to {remote} through."),
            )
        }
    }
}

/// The kernel found nobody on the link: the router does not answer, or the host.
fn nobody_on_the_link(path: &PathSeen) -> Fault {
    let interface = path.route.interface.as_deref().unwrap_or(&path.interface);
    match path.route.gateway {
        Some(gateway) => Fault::new(
            Code::RouterSilent,
            format!("The router {gateway} does not answer on {interface}, so that nothing leaves."),
            format!(
                "See to that router and its cable; compare {gateway} in `ip route` with the router's address."
            ),
        ),
        None => Fault::new(
            Code::PeerSilent,
            format!(
                "No host answers for {} on {interface}, the link that it should be on.",
                path.remote().ip()
            ),
            format!("See that {} is connected, and that the locator is its address.", path.peer),
        ),
    }
}

fn silent_next_hop(path: &PathSeen) -> Option<Fault> {
    path.next_hop_is_silent.then(|| nobody_on_the_link(path))
}

fn narrow(path: &PathSeen) -> Option<Fault> {
    let needed = if path.remote().is_ipv4() { NEEDED_V4 } else { NEEDED_V6 };
    let mtu = path.mtu.filter(|mtu| *mtu < needed)?;
    Some(Fault::new(
        Code::MtuTooSmall,
        format!("Packets of {mtu} bytes pass at most, but QUIC needs {needed} (RFC 9000 §14)."),
        format!(
            "Raise the MTU of {}, or of the tunnel on the way, to 1280 or more.",
            path.interface
        ),
    ))
}

/// The locator is in a network of this host's own, so that packets to it never leave.
fn same_prefix(seen: &Observations, path: &PathSeen) -> Option<Fault> {
    let remote = path.remote().ip();
    if path.route.gateway.is_some() || path.route.state == "wrong-uplink" {
        return None;
    }
    let usable = seen.network.network.usable();
    let holds = |net: &IpNet| net.prefix_len() < net.max_prefix_len() && net.contains(&remote);
    let own = usable.iter().find(|a| holds(&a.net) && !a.net.addr().is_loopback())?;
    Some(Fault::new(
        Code::SamePrefix,
        format!(
            "{remote} lies in {}, the network of {} at this host, so that packets stay there, and no host answers: both \
             sites use the same prefix, or the peer is off.",
            own.net.trunc(),
            own.interface
        ),
        format!(
            "Write the public address of {} in its `locators`, or renumber one of the two networks.",
            path.peer
        ),
    ))
}

pub(super) fn no_route(seen: &Observations, path: &PathSeen) -> Fault {
    let (local, remote, interface) = (path.local(), path.remote().ip(), &path.interface);
    let code = if has_default(seen, path) { Code::NoRoute } else { Code::NoDefaultRoute };
    Fault::new(
        code,
        format!(
            "No route leads from {local} to {remote}, so that nothing is sent over {}.",
            path.uplink
        ),
        format!(
            "Add the ISP's default route, with its router as GATEWAY: `{}`.",
            default_route(path, interface)
        ),
    )
}

/// Packets leave by another uplink: there is no router of their own, or rules lead elsewhere.
pub(super) fn wrong_uplink(seen: &Observations, path: &PathSeen) -> Fault {
    let (local, interface) = (path.local(), &path.interface);
    let by = path.route.interface.as_deref().unwrap_or("another interface");
    let whose = match &path.route.uplink {
        Some(uplink) => {
            format!(", the uplink {uplink}, whose ISP drops them where it filters sources (BCP 38)")
        }
        None => ", which is no uplink".to_owned(),
    };
    if !has_default(seen, path) {
        return Fault::new(
            Code::NoDefaultRoute,
            format!(
                "{interface} has no default route, so that packets from {local} leave by {by}{whose}."
            ),
            format!(
                "Add it: `{}`, with the router of {}. Nothing more is needed; `manage-routes` does not know the router \
                 either.",
                default_route(path, interface),
                path.uplink
            ),
        );
    }
    Fault::new(
        Code::WrongUplink,
        format!(
            "Packets from {local} leave by {by}{whose}, although {interface} has a default route: a rule or a more specific route leads there."
        ),
        format!(
            "See `ip route get {} from {local}` and `ip rule`; or write `manage-routes = true`.",
            path.remote().ip()
        ),
    )
}

fn default_route(path: &PathSeen, interface: &str) -> String {
    let family = if path.remote().is_ipv4() { "" } else { "-6 " };
    format!("ip {family}route add default via GATEWAY dev {interface} metric 200")
}

/// Returns whether a default route of the path's family leads over the interface that has its address.
fn has_default(seen: &Observations, path: &PathSeen) -> bool {
    let network = &seen.network.network;
    let link = network.links.iter().find(|link| link.name == path.interface);
    let v6 = path.remote().is_ipv6();
    link.is_some_and(|link| network.defaults.iter().any(|r| r.link == link.index && r.v6 == v6))
}

fn half_passes(path: &PathSeen) -> Option<Fault> {
    (path.udp == UdpAnswer::Answered).then(|| {
        Fault::new(
            Code::HandshakeBlocked,
            "The port answers a single datagram, but no connection comes about: a firewall lets only the first packets pass, or \
             the peer is too busy.",
            format!(
                "See the firewalls that inspect UDP or QUIC, and the load of {}; another port in its `listen` may pass.",
                path.peer
            ),
        )
    })
}

/// Explains by the paths over which the same address of the peer was reached.
fn by_other_paths(seen: &Observations, path: &PathSeen) -> Option<Fault> {
    let others: Vec<&PathSeen> = seen
        .paths
        .iter()
        .filter(|other| other.remote() == path.remote() && other.is_reached())
        .collect();
    let (local, remote, uplink) = (path.local(), path.remote(), &path.uplink);
    let beside =
        others.iter().find(|other| other.interface == path.interface && other.local() != local);
    if let Some(beside) = beside {
        return Some(Fault::new(
            Code::SourceFiltered,
            format!(
                "Packets from {local} get no answer, while over the same interface {} those from {} do: the ISP forwards only \
                 sources that it has assigned (BCP 38).",
                path.interface,
                beside.local()
            ),
            format!(
                "Remove {local} from {}, or name it by `prefixes` under the ISP that assigned it.",
                path.interface
            ),
        ));
    }
    let elsewhere = others.iter().find(|other| other.uplink != path.uplink)?;
    Some(Fault::new(
        Code::UdpBlocked,
        format!(
            "{remote} answers over {}, but over {uplink} nothing comes back: that ISP, or a firewall on its way, drops UDP, or \
             packets from {local}.",
            elsewhere.uplink
        ),
        format!(
            "See the firewall of the router of {uplink}, and ask the ISP; another port in the `listen` of {} (443) passes more \
             often.",
            path.peer
        ),
    ))
}

fn private(path: &PathSeen) -> Option<Fault> {
    let leaves = path.route.gateway.is_some();
    (is_private(path.remote().ip()) && leaves).then(|| no_isp_carries(path))
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xfe00 == 0xfc00,
    }
}

fn no_isp_carries(path: &PathSeen) -> Fault {
    let remote = path.remote().ip();
    Fault::new(
        Code::PrivateLocator,
        format!("{remote} is a private address, which no ISP carries, and nobody answers there."),
        format!(
            "Write the public address of {}, or that of its NAT, in its `locators`.",
            path.peer
        ),
    )
}
