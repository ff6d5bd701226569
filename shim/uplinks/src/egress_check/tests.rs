use std::collections::HashMap;

use super::*;
use crate::config::UplinkConfig;
use crate::grouping::group;
use crate::grouping::tests::uplink;
use crate::network_state::DefaultRoute;
use crate::network_state::tests::network;

/// A table of lookup, keyed by the interface that was named.
struct Table(HashMap<Option<u32>, Route>);

impl RouteLookup for Table {
    fn route(&mut self, _: IpAddr, _: SocketAddr, over: Option<u32>) -> io::Result<Option<Route>> {
        Ok(self.0.get(&over).cloned())
    }
}

struct Silent;

impl RouteLookup for Silent {
    fn route(&mut self, _: IpAddr, _: SocketAddr, _: Option<u32>) -> io::Result<Option<Route>> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

fn route(link: u32, gateway: Option<&str>) -> Route {
    Route {
        link: Some(link),
        gateway: gateway.map(|g| g.parse().unwrap()),
        is_local: false,
        mtu: None,
    }
}

fn ask(
    configured: &[UplinkConfig],
    addresses: &[(&str, &str)],
    local: &str,
    lookup: &[(Option<u32>, Route)],
) -> EgressCheck {
    let network = network(addresses);
    let uplinks = group(configured, &network);
    let snapshot = Snapshot { generation: 1, uplinks, network };
    let local: IpAddr = local.parse().unwrap();
    let (uplink, found) = snapshot
        .uplinks
        .iter()
        .find_map(|u| Some((u, u.addresses.iter().find(|a| a.net.addr() == local)?)))
        .unwrap();
    let mut table = Table(lookup.iter().cloned().collect());
    let remote = "203.0.113.1:5443".parse().unwrap();
    judge(&snapshot, uplink, found, remote, &mut table)
}

/// eth0 (1) is one provider's, eth1 (2) the other's.
const TWO: [(&str, &str); 2] = [("eth0", "192.0.2.5/24"), ("eth1", "198.51.100.5/24")];

#[test]
fn a_packet_that_leaves_by_its_own_interface_is_well() {
    let check = ask(&[], &TWO, "192.0.2.5", &[(None, route(1, Some("192.0.2.1")))]);
    assert_eq!(check.state, EgressState::Own);
    assert_eq!(check.interface.as_deref(), Some("eth0"));
    assert_eq!(check.device, None);
}

#[test]
fn a_packet_that_would_leave_by_another_uplink_is_foreign_and_that_uplink_is_named() {
    let check = ask(&[], &TWO, "198.51.100.5", &[(None, route(1, Some("192.0.2.1")))]);
    let uplink = Some("eth0-192.0.2.0/24".to_owned());
    assert_eq!(check.state, EgressState::WrongUplink { uplink });
    assert_eq!((check.interface.as_deref(), check.device), (Some("eth0"), None));
}

#[test]
fn binding_to_the_interface_is_the_cure_where_a_route_leads_over_it() {
    let lookup = [(None, route(1, Some("192.0.2.1"))), (Some(2), route(2, Some("198.51.100.1")))];
    let check = ask(&[], &TWO, "198.51.100.5", &lookup);
    assert_eq!(check.state, EgressState::Bound);
    assert_eq!(check.device.as_deref(), Some("eth1"));
    assert_eq!(check.gateway, Some("198.51.100.1".parse().unwrap()));
}

#[test]
fn without_any_route_there_is_no_path_unless_the_interface_has_one() {
    let check = ask(&[], &TWO, "192.0.2.5", &[]);
    assert_eq!(check.state, EgressState::NoRoute);
    assert!(!check.is_usable());
    let check = ask(&[], &TWO, "192.0.2.5", &[(Some(1), route(1, Some("192.0.2.1")))]);
    assert_eq!(check.state, EgressState::Bound);
    assert!(check.is_usable());
}

#[test]
fn two_providers_on_one_wire_differ_by_the_routers_prefix() {
    let one_wire = [("eth0", "192.0.2.5/24"), ("eth0", "198.51.100.5/24")];
    let by_a = [(None, route(1, Some("192.0.2.1"))), (Some(1), route(1, Some("192.0.2.1")))];
    assert_eq!(ask(&[], &one_wire, "192.0.2.5", &by_a).state, EgressState::Own);
    let uplink = Some("eth0-192.0.2.0/24".to_owned());
    let foreign = EgressState::WrongUplink { uplink };
    assert_eq!(ask(&[], &one_wire, "198.51.100.5", &by_a).state, foreign);
}

#[test]
fn a_link_local_router_may_be_anyones() {
    let one_wire = [("eth0", "2001:db8:a::5/64"), ("eth0", "2001:db8:b::5/64")];
    let check = ask(&[], &one_wire, "2001:db8:b::5", &[(None, route(1, Some("fe80::1")))]);
    assert_eq!(check.state, EgressState::Own);
}

#[test]
fn a_discovered_network_without_a_router_is_no_way_out_and_a_configured_one_is_reported() {
    let state = |configured: &[UplinkConfig], routers: &[u32]| {
        let mut network = network(&TWO);
        let router = |link: &u32| DefaultRoute {
            link: *link,
            v6: false,
            metric: 0,
            gateway: None,
            onlink: false,
            source: None,
        };
        network.defaults = routers.iter().map(router).collect();
        let snapshot = Snapshot { generation: 1, uplinks: group(configured, &network), network };
        let uplink = snapshot.uplinks.last().unwrap();
        let remote = "203.0.113.1:5443".parse().unwrap();
        let mut lookup = Table(HashMap::from([(None, route(1, Some("192.0.2.1")))]));
        judge(&snapshot, uplink, &uplink.addresses[0], remote, &mut lookup)
    };
    let alone = state(&[], &[1]);
    assert_eq!(alone.state, EgressState::Local);
    assert!(!alone.is_usable());
    assert!(matches!(state(&[], &[1, 2]).state, EgressState::WrongUplink { .. }));
    let configured = [uplink("a", &[], Some("eth0")), uplink("b", &[], Some("eth1"))];
    assert!(matches!(state(&configured, &[1]).state, EgressState::WrongUplink { .. }));
    assert!(
        matches!(state(&[], &[]).state, EgressState::WrongUplink { .. }),
        "routers are not known"
    );
}

#[test]
fn an_interface_that_is_no_uplink_is_foreign_too() {
    let configured = [uplink("a", &["192.0.2.0/24"], None)];
    let check = ask(&configured, &TWO, "192.0.2.5", &[(None, route(2, None))]);
    assert_eq!(check.state, EgressState::WrongUplink { uplink: None });
}

#[test]
fn the_sites_own_prefix_may_leave_by_every_provider() {
    let own = UplinkConfig {
        class: AddressClass::ProviderIndependent,
        ..uplink("own", &["192.0.2.0/24"], None)
    };
    let check = ask(&[own], &TWO, "192.0.2.5", &[(None, route(2, Some("198.51.100.1")))]);
    assert_eq!(check.state, EgressState::Own);
}

#[test]
fn an_address_of_the_loopback_interface_may_leave_by_every_link() {
    let addresses = [("lo", "192.0.2.9/32"), ("eth1", "198.51.100.5/24")];
    let check = ask(&[], &addresses, "192.0.2.9", &[(None, route(2, Some("198.51.100.1")))]);
    assert_eq!(check.state, EgressState::Own);
}

#[test]
fn what_stays_on_this_host_leaves_by_no_uplink() {
    let is_local = Route { link: Some(7), gateway: None, is_local: true, mtu: None };
    assert_eq!(ask(&[], &TWO, "192.0.2.5", &[(None, is_local)]).state, EgressState::Own);
}

#[test]
fn where_nobody_can_tell_a_lane_is_tried() {
    let network = network(&TWO);
    let snapshot = Snapshot { generation: 1, uplinks: group(&[], &network), network };
    let uplink = &snapshot.uplinks[0];
    let remote = "203.0.113.1:5443".parse().unwrap();
    let check = judge(&snapshot, uplink, &uplink.addresses[0], remote, &mut Silent);
    assert_eq!(check, EgressCheck::UNKNOWN);
    assert!(check.is_usable());
}

#[test]
fn a_person_reads_what_is_wrong_and_how_to_mend_it() {
    let text = |check: EgressCheck| {
        let addrs = ("198.51.100.5".parse().unwrap(), "203.0.113.1:5443".parse().unwrap());
        check.status(addrs.0, addrs.1).to_string()
    };
    let wrong = ask(&[], &TWO, "198.51.100.5", &[(None, route(1, Some("192.0.2.1")))]);
    let leaves = "packets from 198.51.100.5 to 203.0.113.1 leave by eth0 via 192.0.2.1, the uplink \
                  eth0-192.0.2.0/24, which drops them where it filters sources; ";
    let default = "eth1 has no default route: add it, with its ISP's router, by `ip route add default via \
                   GATEWAY dev eth1 metric 200`";
    assert_eq!(text(wrong.clone()), format!("{leaves}{default}"));
    let with_default = EgressCheck { routeless: None, ..wrong };
    let rules = "write `manage-routes = true`, or add a rule and a table for this source (`ip rule add from`)";
    assert_eq!(text(with_default), format!("{leaves}{rules}"));
    let none = ask(&[], &TWO, "198.51.100.5", &[]);
    assert_eq!(
        text(none),
        format!("packets from 198.51.100.5 to 203.0.113.1 have no route; {default}")
    );
}

#[test]
fn whether_a_default_route_is_missing_is_told_for_each_family() {
    let mut network = network(&[("eth0", "192.0.2.5/24"), ("eth0", "2001:db8::5/64")]);
    let usable = network.usable();
    let missing =
        |network: &NetworkState| [0, 1].map(|at| routeless(network, &usable[at]).is_some());
    assert_eq!(missing(&network), [true, true]);
    network.defaults.push(DefaultRoute {
        link: 1,
        v6: true,
        metric: 0,
        gateway: None,
        onlink: false,
        source: None,
    });
    assert_eq!(missing(&network), [true, false]);
}
