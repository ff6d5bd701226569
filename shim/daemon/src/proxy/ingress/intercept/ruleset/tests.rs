use std::collections::HashMap;

use super::*;
use crate::proxy::ingress::intercept::kernel_policy::steps;
use crate::proxy::ingress::intercept::traffic::User;
use crate::proxy::rules::{Policy, Via};

fn all(selector: TrafficSelector) -> Intercepted {
    let steps =
        steps(&Policy::new(Vec::new(), HashMap::new(), Via::Reject), "all", selector.protocol);
    Intercepted { selector, steps, port: 7070, dns_port: None }
}

fn shown(selector: TrafficSelector, own_user: u32) -> String {
    let users = Users { own: own_user, resolvers: Vec::new() };
    ruleset("throughline", &[all(selector)], &users, |_| None)
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Debug>>(texts: &[&str]) -> Vec<T> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn prefixes_and_ports_that_overlap_are_one_element_of_a_set() {
    let ports = parsed(&["8080", "80-90", "85-100", "101", "443"]);
    assert_eq!(port_set(&ports), "{ 80-101, 443, 8080 }");
    let selector = TrafficSelector {
        users: vec![User::Every],
        to: parsed(&["10.0.0.0/8", "10.1.0.0/16"]),
        except: parsed(&["2001:db8::1/32", "10.9.0.0/16"]),
        ..TrafficSelector::default()
    };
    let text = shown(selector, 0);
    for part in [
        "\t\tip daddr { 10.9.0.0/16 } return\n\t\tip6 daddr { 2001:db8::/32 } return\n",
        // A list without an address of IPv6 takes none of IPv6.
        "\t\tip daddr != { 10.0.0.0/8 } return\n\t\tmeta nfproto ipv6 return\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn the_daemons_own_user_is_left_alone_unless_it_is_root_or_named() {
    let of = |users: &[&str], own| {
        let users = parsed(users);
        shown(TrafficSelector { users, ..TrafficSelector::default() }, own)
    };
    assert!(of(&["*"], 997).contains("\t\tmeta skuid != 997 jump ingress_0\n"));
    assert!(of(&["*"], 0).contains("\t\tjump ingress_0\n"));
    assert!(of(&["997"], 997).contains("\t\tmeta skuid 997 jump ingress_0\n"));
    assert!(of(&["www-data"], 997).contains("\t\tmeta skuid \"www-data\" jump ingress_0\n"));
}

#[test]
fn own_sockets_are_left_before_anybodys_connections_are_taken() {
    let text = shown(TrafficSelector { users: vec![User::Every], ..Default::default() }, 0);
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is not in {text}"));
    let taken = at("\t\tjump ingress_0");
    assert!(at("meta mark 0x54 return") < taken && at("socket mark 0x54 return") < taken);
    assert!(at("fib daddr type { local,") < taken);
}

#[test]
fn a_control_group_is_taken_while_it_is_there() {
    let selector = TrafficSelector { cgroups: parsed(&["a.slice/b"]), ..Default::default() };
    let there = |_: &Cgroup| Some(CgroupNow { path: "unified/a.slice/b".into(), level: 2, id: 7 });
    let text = ruleset("t", &[all(selector.clone())], &Users::default(), there);
    let rule = "socket cgroupv2 level 2 \"unified/a.slice/b\" jump ingress_0 comment \"cgroup 7\"";
    assert!(text.contains(rule), "{text}");
    assert!(!shown(selector, 0).contains("cgroupv2"));
}

#[test]
fn datagrams_are_marked_and_those_of_the_daemons_own_user_never_are() {
    let selector = TrafficSelector {
        protocol: Protocol::Udp,
        users: parsed(&["*", "0"]),
        interfaces: parsed(&["lan0"]),
        ports: parsed(&["53"]),
        ..TrafficSelector::default()
    };
    let text = shown(selector, 0);
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is not in {text}"));
    let own = at("\t\tmeta skuid 0 return\n");
    let answers = at("\t\tct direction reply return\n");
    let taken =
        at("\t\tjump ingress_0\n\t\tmeta skuid 0 jump ingress_0\n\t\tmeta mark 0x60 accept\n");
    assert!(own < taken && answers < taken, "{text}");
    at(
        "\t\tiifname \"lan0\" jump ingress_0\n\t\tmeta mark 0x60 meta l4proto udp tproxy to :7070 accept\n",
    );
    at("\t\tudp dport != { 53 } return\n\t\tmeta mark set 0x60 return\n");
    assert!(!text.contains("redirect"), "{text}");
}

#[test]
fn queries_are_marked_before_anything_else_and_never_those_of_the_daemon_or_a_resolver() {
    let mut of = all(TrafficSelector {
        users: parsed(&["*"]),
        interfaces: parsed(&["lan0"]),
        except: parsed(&["198.18.0.0/15"]),
        ..TrafficSelector::default()
    });
    let users = Users { own: 997, resolvers: vec![991, 992] };
    let text = |of: &Intercepted| ruleset("t", std::slice::from_ref(of), &users, |_| None);
    assert!(!text(&of).contains("dport 53") && !text(&of).contains("0x55 meta"));
    of.dns_port = Some(7071);
    let text = text(&of);
    let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part} is not in {text}"));
    let marked = at("\t\tmeta mark set 0x55 accept\n");
    assert!(at("\t\tmeta skuid 997 return\n") < marked);
    assert!(at("\t\tfib daddr type != local meta skuid { 991, 992 } return\n") < marked);
    assert!(marked < at("\t\tiifname \"lan0\" meta mark set 0x55 accept\n"));
    at("\t\tmeta mark 0x55 meta l4proto { tcp, udp } th dport 53 redirect to :7071\n");
    // What stands for a name is taken before anything is excepted.
    let taken = at("\t\tip daddr 198.18.0.0/15 meta l4proto tcp redirect to :7070\n");
    assert!(taken < at("\t\tip daddr { 198.18.0.0/15 } return\n"));
    at("\t\tip6 daddr fd5e:1f0a:93c7:53::/64 meta l4proto tcp redirect to :7070\n");
    at("\t\tmeta l4proto { tcp, udp } th dport 7071 socket mark != 0x54 reject\n");
}
