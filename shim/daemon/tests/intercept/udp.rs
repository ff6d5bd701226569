//! Datagrams of programs and of hosts behind this one.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nix::unistd::{Uid, setfsuid};

use crate::classed::{answer, report, talk};
use crate::lan::host_behind;
use crate::site::{PORT, SOON, Site, rules, until, with_nft};
use crate::world::{Daemon, Far, INSIDE};

/// The near host's addresses, as whom a destination sees that is not reached through the peer.
const DIRECT: [&str; 2] = ["192.0.2.5", "2001:db8:a::5"];

pub(crate) const NETS: [&str; 2] = ["203.0.113.", "2001:db8:f::"];

/// Another user than the daemon's, which is root.
pub(crate) const NOBODY: u32 = 65_534;

/// Long enough for a datagram that is lost while nobody reads, and its answer.
const RESEND_AFTER: Duration = Duration::from_millis(300);

/// Runs `body` in a network namespace of its own, where there are other users than the daemon's.
pub(crate) fn with_users(test: &str, body: impl FnOnce()) {
    if std::env::var(INSIDE).is_err() {
        let mut inside = Command::new("unshare");
        inside.arg("-n").arg(std::env::current_exe().unwrap());
        inside.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(INSIDE, test);
        let is_root = nix::unistd::geteuid().is_root();
        if !is_root || !Command::new("unshare").args(["-n", "true"]).status().unwrap().success() {
            let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: this is not root");
            return;
        }
        assert!(inside.status().unwrap().success(), "{test} failed in its namespace");
        return;
    }
    with_nft(test, body);
}

/// Serves every address of the far host until the test ends: each datagram is answered with the address and the port
/// that it came from.
pub(crate) fn destinations(far: &Far) {
    let namespace = std::fs::File::open(format!("/proc/{}/ns/net", far.pid())).unwrap();
    let addresses = NETS.iter().flat_map(|net| (1..=4).map(move |last| format!("{net}{last}")));
    let bind = move || -> Vec<UdpSocket> {
        setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
        let at = |ip: String| UdpSocket::bind((ip.parse::<IpAddr>().unwrap(), PORT)).unwrap();
        addresses.map(at).collect()
    };
    for socket in std::thread::spawn(bind).join().unwrap() {
        std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((len, from)) = socket.recv_from(&mut buffer) {
                let text = format!("{from} {}", String::from_utf8_lossy(&buffer[..len]));
                let _ = socket.send_to(text.as_bytes(), from);
            }
        });
    }
}

/// A program's socket, of a user, here or in another namespace.
pub(crate) struct Client(UdpSocket);

impl Client {
    pub(crate) fn new(host: &str, user: u32, at: Option<&Far>) -> Self {
        let to = SocketAddr::new(host.parse().unwrap(), PORT);
        let namespace = at.map(|at| std::fs::File::open(format!("/proc/{}/ns/net", at.pid())));
        let open = move || {
            if let Some(namespace) = namespace {
                setns(namespace.unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
            }
            // Of this thread alone; whose socket it is, is decided now.
            setfsuid(Uid::from_raw(user));
            let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(any).unwrap();
            socket.connect(to).unwrap();
            socket.set_read_timeout(Some(RESEND_AFTER)).unwrap();
            socket
        };
        Self(std::thread::spawn(open).join().unwrap())
    }

    /// Returns whether one of some datagrams is answered.
    fn is_answered(&self) -> bool {
        (0..4).any(|_| {
            let _ = self.0.send(b"hello");
            self.0.recv(&mut [0; 2048]).is_ok()
        })
    }

    /// Sends a text until it is answered; returns as whom the destination sees this socket. A connected socket hears
    /// nobody but the destination.
    pub(crate) fn seen(&self, text: &str) -> SocketAddr {
        let since = Instant::now();
        let mut buffer = [0; 2048];
        while since.elapsed() < SOON {
            self.0.send(text.as_bytes()).unwrap();
            let Ok(len) = self.0.recv(&mut buffer) else { continue };
            let answer = String::from_utf8_lossy(&buffer[..len]).into_owned();
            let (from, echo) = answer.split_once(' ').unwrap();
            // An answer to an earlier one may come late.
            if echo == text {
                return from.parse().unwrap();
            }
        }
        panic!("no answer in {SOON:?}\n{}", rules());
    }
}

pub(crate) fn seen_by(host: &str, user: u32, at: Option<&Far>) -> String {
    Client::new(host, user, at).seen("hello").ip().to_string()
}

#[test]
fn what_programs_send_goes_through_the_peer_and_everything_is_as_before_afterwards() {
    let name =
        "udp::what_programs_send_goes_through_the_peer_and_everything_is_as_before_afterwards";
    with_users(name, || {
        let site = Site::new();
        destinations(&site.far);
        let before = rules();
        let near = start(&site);
        for (net, direct) in NETS.into_iter().zip(DIRECT) {
            let host = |last| format!("{net}{last}");
            let seen = seen_by(&host(1), NOBODY, None);
            assert_eq!(seen, host(1), "{}\n{}", near.log(), rules());
            for last in [2, 3] {
                assert_eq!(seen_by(&host(last), NOBODY, None), direct, "{last}: {}", near.log());
            }
            // The daemon's own user, as whom it sends its lanes.
            assert_eq!(seen_by(&host(1), 0, None), direct);
            // A flow for each program and destination, which keeps its port.
            let (one, other) =
                (Client::new(&host(1), NOBODY, None), Client::new(&host(4), NOBODY, None));
            let long = "x".repeat(1100);
            let (first, second) = (one.seen("one"), other.seen("two"));
            assert_eq!((one.seen(&long), other.seen(&long)), (first, second), "{}", near.log());
            assert_ne!(first, second);
        }
        let during = rules();
        assert!(
            near.status_text().contains("ingress all intercepts udp of programs of every user")
        );
        near.crash();
        // Nothing goes past the rules, also not to a program that has the port.
        let other = UdpSocket::bind(("0.0.0.0", PORT)).unwrap();
        other.set_nonblocking(true).unwrap();
        assert!(!Client::new("203.0.113.1", NOBODY, None).is_answered(), "{}", rules());
        assert!(other.recv(&mut [0; 9]).is_err());
        drop(other);
        let near = start(&site);
        assert_eq!(seen_by("203.0.113.1", NOBODY, None), "203.0.113.1", "{}", near.log());
        let count = |text: &str, what: &str| text.matches(what).count();
        for what in ["table inet throughline", "fwmark", "local default dev lo"] {
            assert_eq!(count(&rules(), what), count(&during, what), "{what}: {}", rules());
        }
        // Somebody removes the rule.
        let rule = Command::new("ip").args(["rule", "del", "priority", "7300"]).status().unwrap();
        assert!(rule.success());
        until("the rule is put back", || count(&rules(), "fwmark") == count(&during, "fwmark"));
        near.stop();
        assert_eq!(rules(), before);
        // After a crash, also where nothing is intercepted any more.
        start(&site).crash();
        let near = Daemon::start(site.path(), "near", "", None);
        assert_eq!(rules(), before, "{}", near.log());
    });
}

fn start(site: &Site) -> Daemon {
    site.start(
        "users = \"*\"\nprotocol = \"udp\"\nexcept = [\"203.0.113.2\", \"2001:db8:f::2\"]",
        "[[rule]]\nto = [\"203.0.113.3\", \"2001:db8:f::3\"]\nvia = \"direct\"",
    )
}

#[test]
fn their_dscp_and_ecn_are_carried_both_ways() {
    with_users("udp::their_dscp_and_ecn_are_carried_both_ways", || {
        let site = Site::new();
        let namespace = std::fs::File::open(format!("/proc/{}/ns/net", site.far.pid())).unwrap();
        let bind = move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            NETS.map(|net| UdpSocket::bind((format!("{net}4").as_str(), PORT)).unwrap())
        };
        std::thread::spawn(bind).join().unwrap().into_iter().for_each(answer);
        let near = site.start("users = \"*\"\nprotocol = \"udp\"", "");
        for net in NETS {
            let client = Client::new(&format!("{net}4"), NOBODY, None);
            assert!(client.is_answered(), "{}\n{}", near.log(), rules());
            client.0.set_read_timeout(Some(SOON)).unwrap();
            report(&client.0);
            talk(&client.0, b"");
        }
    });
}

#[test]
fn a_host_behind_the_router_is_answered_from_the_destination_through_the_peer() {
    let name = "udp::a_host_behind_the_router_is_answered_from_the_destination_through_the_peer";
    with_nft(name, || {
        let site = Site::new();
        destinations(&site.far);
        let host = host_behind(&site);
        let near = site.start(
            "interfaces = \"lan0\"\nprotocol = \"udp\"\nexcept = [\"203.0.113.2\", \"2001:db8:f::2\"]",
            "",
        );
        let behind = ["10.7.0.2", "2001:db8:7::2"];
        for ((net, behind), router) in NETS.into_iter().zip(behind).zip(DIRECT) {
            let (one, two) = (format!("{net}1"), format!("{net}2"));
            let at = Some(&host);
            assert_eq!(seen_by(&one, 0, at), one, "{}\n{}", near.log(), rules());
            // Forwarded, as a router does.
            assert_eq!(seen_by(&two, 0, at), behind, "{}", near.log());
            // The router's own programs are not selected.
            assert_eq!(seen_by(&one, 0, None), router);
        }
    });
}

#[test]
fn what_a_server_of_this_host_answers_is_not_intercepted() {
    let name = "udp::what_a_server_of_this_host_answers_is_not_intercepted";
    with_users(name, || {
        let site = Site::new();
        let near = site.start("users = \"*\"\nprotocol = \"udp\"", "");
        for (addr, any) in [("192.0.2.5", "0.0.0.0:0"), ("2001:db8:a::5", "[::]:0")] {
            let at = SocketAddr::new(addr.parse().unwrap(), PORT);
            let bind = move || {
                setfsuid(Uid::from_raw(NOBODY));
                UdpSocket::bind(at).unwrap()
            };
            let server = std::thread::spawn(bind).join().unwrap();
            server.set_read_timeout(Some(SOON)).unwrap();
            let namespace = std::fs::File::open(format!("/proc/{}/ns/net", site.far.pid()));
            let open = move || {
                setns(namespace.unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
                UdpSocket::bind(any).unwrap()
            };
            let client = std::thread::spawn(open).join().unwrap();
            client.set_read_timeout(Some(SOON)).unwrap();
            client.connect(at).unwrap();
            client.send(b"question").unwrap();
            let (_, from) = server.recv_from(&mut [0; 9]).unwrap();
            server.send_to(b"answer", from).unwrap();
            let mut answer = [0; 9];
            let len = client.recv(&mut answer).unwrap_or_else(|_| panic!("{}", near.log()));
            assert_eq!(&answer[..len], b"answer");
        }
    });
}

#[test]
fn while_daemons_succeed_one_another_no_datagram_goes_past_them() {
    let name = "udp::while_daemons_succeed_one_another_no_datagram_goes_past_them";
    with_users(name, || {
        let site = Site::new();
        destinations(&site.far);
        let mut near = site.start("users = \"*\"\nprotocol = \"udp\"", "");
        let (host, during) = ("203.0.113.1", rules());
        let open = Client::new(host, NOBODY, None);
        let port = open.seen("before").port();
        for round in 0..3 {
            let asking = std::thread::spawn(move || {
                let since = Instant::now();
                while since.elapsed() < Duration::from_millis(1500) {
                    assert_eq!(seen_by(host, NOBODY, None), host);
                }
            });
            let next = near.successor();
            assert!(near.wait_for_success());
            asking.join().unwrap();
            near = next;
            let seen = open.seen(&format!("round {round}"));
            // Its flow has come along.
            assert_eq!(
                (seen.ip().to_string().as_str(), seen.port()),
                (host, port),
                "{}",
                near.log()
            );
        }
        assert_eq!(rules(), during);
    });
}
