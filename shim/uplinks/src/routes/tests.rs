use super::*;
use crate::config::UplinkConfig;
use crate::grouping::group;
use crate::grouping::tests::uplink;
use crate::network_state::tests::network;

/// eth0 (1) is one provider's, eth1 (2) the other's.
const TWO: [(&str, &str); 2] = [("eth0", "192.0.2.5/24"), ("eth1", "198.51.100.5/24")];

fn default(link: u32, gateway: &str, metric: u32) -> DefaultRoute {
    let gateway: IpAddr = gateway.parse().unwrap();
    let v6 = gateway.is_ipv6();
    DefaultRoute { link, v6, metric, gateway: Some(gateway), onlink: false, source: None }
}

fn snapshot(
    configured: &[UplinkConfig],
    addresses: &[(&str, &str)],
    defaults: &[DefaultRoute],
) -> Snapshot {
    let mut network = network(addresses);
    network.defaults = defaults.to_vec();
    Snapshot { generation: 1, uplinks: group(configured, &network), network }
}

fn shown(routing: &ManagedRouting) -> Vec<String> {
    let rule = |r: &ManagedRule| {
        let suppress = if r.without_defaults() { " without defaults" } else { "" };
        format!("{}: from {} lookup {}{suppress}", r.priority, r.from, r.table)
    };
    let route = |r: &ManagedRoute| {
        let to = r.to.map_or("default".to_owned(), |to| to.to_string());
        let via = r.gateway.map(|g| format!(" via {g}")).unwrap_or_default();
        let over = r.link.map_or(" unreachable".to_owned(), |link| format!(" dev {link}"));
        format!("{}: {to}{via}{over}", r.table)
    };
    routing.rules.iter().map(rule).chain(routing.routes.iter().map(route)).collect()
}

fn gateways(routing: &ManagedRouting) -> Vec<(u32, String)> {
    let via = |r: &ManagedRoute| Some((r.table, r.gateway?.to_string()));
    routing.routes.iter().filter_map(via).collect()
}

#[test]
fn each_uplink_gets_a_table_and_each_address_its_rules() {
    let defaults = [default(1, "192.0.2.1", 100), default(2, "198.51.100.1", 200)];
    let routing = Tables::default().routing(&snapshot(&[], &TWO, &defaults));
    let want = [
        "7400: from 192.0.2.5 lookup 254 without defaults",
        "7400: from 198.51.100.5 lookup 254 without defaults",
        "7401: from 192.0.2.5 lookup 7400",
        "7401: from 198.51.100.5 lookup 7401",
        "7400: default via 192.0.2.1 dev 1",
        "7400: default unreachable",
        "7400: 192.0.2.0/24 dev 1",
        "7401: default via 198.51.100.1 dev 2",
        "7401: default unreachable",
        "7401: 198.51.100.0/24 dev 2",
    ];
    assert_eq!(shown(&routing), want);
}

#[test]
fn a_network_without_a_router_a_loopback_and_the_sites_own_prefix_are_left_alone() {
    let own = UplinkConfig {
        class: AddressClass::ProviderIndependent,
        ..uplink("own", &["192.0.2.0/24"], None)
    };
    let configured = [own, uplink("lan", &[], Some("eth1")), uplink("lo", &[], Some("lo"))];
    let addresses = [TWO[0], TWO[1], ("lo", "203.0.113.9/32")];
    let defaults = [default(1, "192.0.2.1", 100), default(3, "203.0.113.1", 5)];
    let routing = Tables::default().routing(&snapshot(&configured, &addresses, &defaults));
    assert_eq!(routing, ManagedRouting::default());
}

#[test]
fn an_uplink_that_loses_its_router_says_no_rather_than_leaving_by_another() {
    let mut tables = Tables::default();
    let both = [default(1, "192.0.2.1", 100), default(2, "198.51.100.1", 200)];
    tables.routing(&snapshot(&[], &TWO, &both));
    let routing = tables.routing(&snapshot(&[], &TWO, &both[1..]));
    assert!(shown(&routing).contains(&"7401: from 192.0.2.5 lookup 7400".to_owned()));
    assert!(shown(&routing).contains(&"7400: default unreachable".to_owned()));
    assert_eq!(gateways(&routing), [(7401, "198.51.100.1".to_owned())]);
}

#[test]
fn a_table_is_given_back_when_its_addresses_are_gone() {
    let mut tables = Tables::default();
    let both = [default(1, "192.0.2.1", 100), default(2, "198.51.100.1", 200)];
    tables.routing(&snapshot(&[], &TWO, &both));
    let routing = tables.routing(&snapshot(&[], &TWO[1..], &[default(1, "198.51.100.1", 200)]));
    assert_eq!(routing.rules.len(), 2, "{routing:?}");
    assert_eq!(tables.0.len(), 1);
}

#[test]
fn two_providers_on_one_wire_each_keep_their_router() {
    let one_wire = [("eth0", "192.0.2.5/24"), ("eth0", "198.51.100.5/24")];
    let defaults = [default(1, "192.0.2.1", 100), default(1, "198.51.100.1", 200)];
    let routing = Tables::default().routing(&snapshot(&[], &one_wire, &defaults));
    let want = [(7400, "192.0.2.1".to_owned()), (7401, "198.51.100.1".to_owned())];
    assert_eq!(gateways(&routing), want);
}

#[test]
fn another_providers_router_is_nobodys_way_out() {
    let one_wire = [("eth0", "192.0.2.5/24"), ("eth0", "198.51.100.5/24")];
    let defaults = [default(1, "192.0.2.1", 100)];
    let routing = Tables::default().routing(&snapshot(&[], &one_wire, &defaults));
    let from: BTreeSet<String> = routing.rules.iter().map(|r| r.from.to_string()).collect();
    assert_eq!(from, BTreeSet::from(["192.0.2.5".to_owned()]));
}

#[test]
fn a_route_for_these_sources_comes_before_a_preferred_one_for_all() {
    let addresses = [("eth0", "2001:db8:a::5/64"), ("eth0", "2001:db8:b::5/64")];
    let mut for_b = default(1, "fe80::b", 1024);
    for_b.source = Some("2001:db8:b::/48".parse().unwrap());
    let defaults = [default(1, "fe80::a", 100), for_b];
    let routing = Tables::default().routing(&snapshot(&[], &addresses, &defaults));
    let want = [(7400, "fe80::a".to_owned()), (7401, "fe80::b".to_owned())];
    assert_eq!(gateways(&routing), want);
}

#[test]
fn the_preferred_one_of_several_routers_is_taken() {
    let defaults = [default(1, "192.0.2.1", 300), default(1, "192.0.2.2", 100)];
    let routing = Tables::default().routing(&snapshot(&[], &TWO[..1], &defaults));
    assert_eq!(gateways(&routing), [(7400, "192.0.2.2".to_owned())]);
}

#[test]
fn an_address_without_its_prefix_has_a_default_route_only() {
    let addresses = [("ppp0", "192.0.2.5/32")];
    let mut over_ppp = default(1, "0.0.0.0", 0);
    over_ppp.gateway = None;
    let routing = Tables::default().routing(&snapshot(&[], &addresses, &[over_ppp]));
    let routes: Vec<String> = shown(&routing).split_off(2);
    assert_eq!(routes, ["7400: default dev 1", "7400: default unreachable"]);
}

#[test]
fn there_is_an_end_to_the_tables() {
    let addresses: Vec<(String, String)> =
        (0..70).map(|n| (format!("eth{n}"), format!("10.{n}.0.5/24"))).collect();
    let addresses: Vec<(&str, &str)> =
        addresses.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let defaults: Vec<DefaultRoute> =
        (0..70).map(|n| default(n + 1, &format!("10.{n}.0.1"), 1)).collect();
    let routing = Tables::default().routing(&snapshot(&[], &addresses, &defaults));
    let tables: BTreeSet<u32> = routing.routes.iter().map(|r| r.table).collect();
    assert_eq!(tables.len(), TABLES.len());
    assert!(tables.iter().all(|table| TABLES.contains(table)));
}
