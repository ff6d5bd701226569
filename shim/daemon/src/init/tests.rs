use super::*;
use crate::config::Config;
use throughline::Identity;

fn key() -> PeerId {
    Identity::generate().peer_id()
}

fn first() -> FirstConfig {
    let uplink = |name: &str, prefixes: &[&str], address: &str| FoundUplink {
        name: name.to_owned(),
        interface: "eth0.7".to_owned(),
        prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
        addresses: vec![address.parse().unwrap()],
    };
    FirstConfig {
        key: key(),
        uplinks: vec![
            uplink("eth0.7", &[], "192.0.2.7"),
            uplink("eth0-2", &["198.51.100.0/24"], "198.51.100.7"),
        ],
        port: Some(5443),
        peers: vec![],
        allow: vec![],
        proxy: PROXY,
    }
}

#[test]
fn what_is_written_is_what_the_parser_takes() {
    let peer: NewPeer =
        format!("server={}@h.example:5443,[2001:db8::1]:5443", key()).parse().unwrap();
    let visitor: NewPeer = format!("visitor={}", key()).parse().unwrap();
    for peers in [vec![], vec![peer.clone()], vec![peer, visitor]] {
        for port in [None, Some(5443)] {
            for allow in [vec![], vec!["10.0.0.0/8:22".to_owned()]] {
                let first =
                    FirstConfig { peers: peers.clone(), port, allow: allow.clone(), ..first() };
                let text = first.text();
                let config =
                    Config::parse("t.toml", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
                assert_eq!(config.uplinks.len(), 2, "{text}");
                assert_eq!(config.uplinks[0].interface.as_deref(), Some("eth0.7"));
                assert_eq!(config.listen.len(), port.into_iter().count());
                assert_eq!(config.peers.len(), peers.len());
                assert_eq!(config.ingresses.len(), usize::from(!peers.is_empty()));
                for peer in &config.peers {
                    assert_eq!(peer.acl.entries().len(), allow.len());
                }
            }
        }
    }
}

#[test]
fn the_fields_in_comments_are_right_too() {
    let peer: NewPeer = format!("server={}@h.example:5443", key()).parse().unwrap();
    let text = FirstConfig { peers: vec![peer], port: None, ..first() }.text();
    let field =
        |line: &str| line.strip_prefix("# ").filter(|l| l.contains(" = ")).map(str::to_owned);
    let all: String =
        text.lines().map(|l| field(l).unwrap_or_else(|| l.to_owned()) + "\n").collect();
    let config = Config::parse("t.toml", &all).unwrap_or_else(|error| panic!("{error}\n{all}"));
    assert!(
        config.metrics.is_some()
            && config.web.is_some()
            && config.uplinks.iter().all(|uplink| uplink.metered),
        "{all}"
    );
    assert_eq!(config.peers[0].acl.entries().len(), 1);
    assert_eq!(config.listen.len(), 1);
}

#[test]
fn the_other_end_is_told_what_to_do() {
    let first = first();
    let steps = first.next_steps("here");
    let peer = format!("here={}@192.0.2.7:5443,198.51.100.7:5443", first.key);
    assert_eq!(steps, format!("At each other host: throughline init DIRECTORY --peer {peer}\n"));
    let peer: NewPeer = peer.parse().unwrap();
    assert_eq!((peer.name.as_str(), peer.key, peer.locators.len()), ("here", first.key, 2));
    let site = FirstConfig { peers: vec![peer], port: None, ..first.clone() };
    assert!(
        site.next_steps("site").starts_with("At here, add this"),
        "{}",
        site.next_steps("site")
    );
    let alone = FirstConfig { port: None, ..first };
    assert_eq!(alone.next_steps("x"), format!("Our key, for the other host: {}\n", alone.key));
}

#[test]
fn what_is_no_peer_is_refused_with_the_form() {
    for text in ["server", "=x", "a b=x", "server=nokey", &format!("server={}@h", key())] {
        let error = text.parse::<NewPeer>().unwrap_err().to_string();
        assert!(
            error.ends_with("write NAME=KEY, or NAME=KEY@HOST:PORT where the peer can be dialed"),
            "{error}"
        );
    }
}

#[test]
fn two_isps_on_one_cable_are_told_apart_by_their_prefixes() {
    let address = |link: u32, interface: &str, net: &str| UsableAddress {
        link,
        interface: interface.to_owned(),
        net: net.parse().unwrap(),
    };
    let one = [address(2, "eth0", "192.0.2.7/24"), address(2, "eth0", "2001:db8:a::7/64")];
    let found = of_interface(&one.iter().collect::<Vec<_>>());
    assert_eq!((found.len(), found[0].name.as_str(), found[0].prefixes.len()), (1, "eth0", 0));
    let two = [address(2, "eth0", "192.0.2.7/24"), address(2, "eth0", "198.51.100.7/24")];
    let found = of_interface(&two.iter().collect::<Vec<_>>());
    let names: Vec<_> =
        found.iter().map(|uplink| (uplink.name.as_str(), &uplink.prefixes[0][..])).collect();
    assert_eq!(names, [("eth0-1", "192.0.2.0/24"), ("eth0-2", "198.51.100.0/24")]);
}
