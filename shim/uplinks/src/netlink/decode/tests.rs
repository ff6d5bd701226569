use netlink_packet_route::address::{AddressHeaderFlags, CacheInfo};
use netlink_packet_route::route::RouteProtocol;

use super::*;

fn address_with(flags: AddressFlags, preferred: u32) -> AddressState {
    let mut message = AddressMessage::default();
    message.header.index = 3;
    message.header.prefix_len = 64;
    let mut info = CacheInfo::default();
    info.ifa_preferred = preferred;
    message.attributes = vec![
        AddressAttribute::Address("2001:db8::5".parse().unwrap()),
        AddressAttribute::Flags(flags),
        AddressAttribute::CacheInfo(info),
    ];
    let address = address(&message).unwrap();
    assert_eq!((address.link, address.net.to_string().as_str()), (3, "2001:db8::5/64"));
    address.state
}

#[test]
fn flags_and_lifetimes_say_how_good_an_address_is() {
    let cases = [
        (AddressFlags::Permanent, u32::MAX, AddressState::Preferred),
        (AddressFlags::empty(), 60, AddressState::Preferred),
        (AddressFlags::empty(), 0, AddressState::Deprecated),
        (AddressFlags::Deprecated, 60, AddressState::Deprecated),
        (AddressFlags::Tentative, 60, AddressState::Unready),
        (AddressFlags::Tentative | AddressFlags::Optimistic, 60, AddressState::Deprecated),
        (AddressFlags::Tentative | AddressFlags::Dadfailed, 60, AddressState::Unready),
        (AddressFlags::Dadfailed, 60, AddressState::Unready),
    ];
    for (flags, preferred, want) in cases {
        assert_eq!(address_with(flags, preferred), want, "{flags:?}, preferred {preferred} s");
    }
}

#[test]
fn the_flags_of_the_header_count_where_there_are_no_others() {
    let mut message = AddressMessage::default();
    message.header.prefix_len = 24;
    message.header.flags = AddressHeaderFlags::from_bits_retain(0x20);
    message.attributes = vec![AddressAttribute::Local("192.0.2.5".parse().unwrap())];
    assert_eq!(address(&message).unwrap().state, AddressState::Deprecated);
}

#[test]
fn on_a_link_with_one_far_end_the_local_address_is_ours() {
    let mut message = AddressMessage::default();
    message.header.prefix_len = 32;
    message.attributes = vec![
        AddressAttribute::Address("192.0.2.1".parse().unwrap()),
        AddressAttribute::Local("192.0.2.5".parse().unwrap()),
    ];
    assert_eq!(address(&message).unwrap().net.to_string(), "192.0.2.5/32");
}

#[test]
fn a_link_is_up_with_its_switch_and_its_carrier_and_not_while_it_is_dormant() {
    let up = |flags: LinkFlags| {
        let mut message = LinkMessage::default();
        message.header.flags = flags;
        message.attributes = vec![LinkAttribute::IfName("eth0".into())];
        link(&message).unwrap().up
    };
    let all = LinkFlags::Up | LinkFlags::LowerUp | LinkFlags::Running;
    assert!(up(all));
    for missing in [LinkFlags::Up, LinkFlags::LowerUp, LinkFlags::Running] {
        assert!(!up(all - missing), "without {missing:?}");
    }
}

fn default_route(attributes: Vec<RouteAttribute>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.kind = RouteType::Unicast;
    message.attributes = attributes;
    message
}

fn found(message: &RouteMessage) -> Vec<DefaultRoute> {
    let mut found = Vec::new();
    defaults(message, &mut found);
    found
}

#[test]
fn a_default_route_tells_its_interface_router_and_metric() {
    let router: IpAddr = "192.0.2.1".parse().unwrap();
    let message = default_route(vec![
        RouteAttribute::Oif(2),
        RouteAttribute::Gateway(router.into()),
        RouteAttribute::Priority(100),
    ]);
    let found = found(&message);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].link, found[0].gateway, found[0].metric), (2, Some(router), 100));
}

#[test]
fn each_next_hop_of_a_default_route_is_one() {
    let mut hops = [RouteNextHop::default(), RouteNextHop::default()];
    hops[0].interface_index = 2;
    hops[1].interface_index = 3;
    let found = found(&default_route(vec![RouteAttribute::MultiPath(hops.to_vec())]));
    assert_eq!(found.iter().map(|d| d.link).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn longer_prefixes_other_kinds_and_our_own_routes_are_no_default_routes() {
    let good = default_route(vec![RouteAttribute::Oif(2)]);
    assert_eq!(found(&good).len(), 1);
    let mut longer = good.clone();
    longer.header.destination_prefix_length = 1;
    let mut blackhole = good.clone();
    blackhole.header.kind = RouteType::BlackHole;
    let mut ours = good;
    ours.header.protocol = RouteProtocol::Other(OUR_PROTOCOL);
    for message in [longer, blackhole, ours] {
        assert_eq!(found(&message), [], "{message:?}");
    }
}

#[test]
fn a_datagram_is_cut_into_its_messages_and_rubbish_ends_it() {
    let message = |kind: u16, payload: usize| {
        let mut bytes = vec![0; (HEADER + payload).next_multiple_of(4)];
        bytes[..4].copy_from_slice(&((HEADER + payload) as u32).to_ne_bytes());
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes
    };
    let mut datagram = message(24, 5);
    assert_eq!(subject(&datagram), Some(ChangeKind::Routes));
    datagram.extend(message(28, 0));
    datagram.extend(message(21, 8));
    assert_eq!(messages(&datagram).map(<[u8]>::len).collect::<Vec<_>>(), [21, 16, 24]);
    assert_eq!(subject(&datagram), Some(ChangeKind::Everything));
    datagram.extend([1, 0, 0, 0, 9, 9]);
    assert_eq!(messages(&datagram).count(), 3);
    assert_eq!(subject(&message(28, 0)), None, "neighbours are no concern of ours");
    assert_eq!(messages(&[]).count(), 0);
}
