//! Programs of this host, which know of no proxy.

use std::io::Read;
use std::net::TcpStream;

use crate::site::{PORT, Site, port, rules, seen_by, until, with_nft};

/// The near host's addresses, as whom a destination sees that is not reached through the peer.
const DIRECT: [&str; 2] = ["192.0.2.5", "2001:db8:a::5"];

fn intercepted(log: &str, target: &str) -> usize {
    let about = |line: &&str| line.contains("connection intercepted") && line.contains(target);
    log.lines().filter(about).count()
}

#[test]
fn what_programs_send_goes_through_the_peer_and_what_is_excluded_as_if_there_was_none() {
    let name = "programs::what_programs_send_goes_through_the_peer_and_what_is_excluded_as_if_there_was_none";
    with_nft(name, || {
        let site = Site::new();
        let near = site.start(
            "users = \"*\"\nports = [8080, \"9000-9100\"]\nexcept = [\"203.0.113.2\", \"2001:db8:f::2\"]",
            "[[rule]]\nto = [\"203.0.113.3\", \"2001:db8:f::3\"]\nvia = \"direct\"",
        );
        for (net, direct) in [("203.0.113.", DIRECT[0]), ("2001:db8:f::", DIRECT[1])] {
            let host = |last| format!("{net}{last}");
            // The far daemon dials from the address itself, which is its own.
            assert_eq!(seen_by(&host(1), None, None), host(1), "{}\n{}", near.log(), rules());
            for last in [2, 3] {
                assert_eq!(seen_by(&host(last), None, None), direct, "{last}: {}", near.log());
                // Not even dialed by the daemon: the kernel left it alone.
                assert_eq!(intercepted(&near.log(), &host(last)), 0);
            }
        }
        // What listens on this host is reached as ever.
        let local = std::net::TcpListener::bind("192.0.2.5:8080").unwrap();
        let client = TcpStream::connect("192.0.2.5:8080").unwrap();
        assert_eq!(local.accept().unwrap().1, client.local_addr().unwrap());
    });
}

#[test]
fn a_direct_connection_that_the_daemon_makes_itself_does_not_come_back_to_it() {
    let name =
        "programs::a_direct_connection_that_the_daemon_makes_itself_does_not_come_back_to_it";
    with_nft(name, || {
        let site = Site::new();
        let near = site.start(
            "users = \"*\"",
            "[[rule]]\nto = \"*.direct.example\"\nvia = \"direct\"\n\
             [[rule]]\nto = \"no.example\"\nvia = \"reject\"",
        );
        for (host, direct) in [("203.0.113.1", DIRECT[0]), ("2001:db8:f::1", DIRECT[1])] {
            // By the name that the request has; the address is the same.
            assert_eq!(seen_by(host, Some("a.direct.example"), None), direct, "{}", near.log());
            assert_eq!(intercepted(&near.log(), host), 1, "{}", near.log());
            assert_eq!(seen_by(host, Some("no.example:8080"), None), "none");
            assert_eq!(seen_by(host, Some("other.example"), None), host);
            assert_eq!(intercepted(&near.log(), host), 3, "{}", near.log());
        }
        assert!(near.log().contains("rejected by this host's rules"));
    });
}

#[test]
fn whoever_is_not_selected_is_left_alone_and_a_reload_changes_who_is() {
    let name = "programs::whoever_is_not_selected_is_left_alone_and_a_reload_changes_who_is";
    with_nft(name, || {
        let site = Site::new();
        let near = site.start("users = 1", "");
        let (host, direct) = ("203.0.113.1", DIRECT[0]);
        assert_eq!(seen_by(host, None, None), direct);
        let reload = |ingress: &str| {
            near.reload(&site.config(ingress, "")).unwrap_or_else(|error| panic!("{error}"));
        };
        reload("users = [0, 1]");
        assert_eq!(seen_by(host, None, None), host);
        // One that is open stays where it is, whatever the rules are then.
        let mut open = Ping::connect(host);
        open.ping();
        reload("users = \"root\"\nto = \"198.51.100.0/24\"");
        assert_eq!(seen_by(host, None, None), direct);
        open.ping();
        // What cannot be is refused, and changes nothing.
        let before = rules();
        let error = near.reload(&site.config("users = \"nobody-of-this-name\"", "")).unwrap_err();
        assert!(error.contains("no such user in `users`"), "{error}");
        assert_eq!(rules(), before);
        open.ping();
    });
}

#[test]
fn programs_of_a_control_group_are_intercepted_whenever_it_is_there() {
    let name = "programs::programs_of_a_control_group_are_intercepted_whenever_it_is_there";
    with_nft(name, || {
        let Some(group) = Group::new() else {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "SKIPPED: {name}: no control group can be made");
            return;
        };
        let site = Site::new();
        let _near = site.start(&format!("cgroups = \"{}\"", group.name), "");
        let host = "203.0.113.1";
        assert_eq!(seen_by(host, None, None), DIRECT[0]);
        assert_eq!(group.run(|| seen_by(host, None, None)), host, "{}", rules());
        // It ends with its last program, and its successor is another one.
        group.renew();
        until("the rules follow", || group.run(|| seen_by(host, None, None)) == host);
    });
}

#[test]
fn nobody_connects_to_the_port_itself_and_after_a_crash_no_other_program_gets_what_goes_there() {
    let name = "programs::nobody_connects_to_the_port_itself_and_after_a_crash_no_other_program_gets_what_goes_there";
    with_nft(name, || {
        let site = Site::new();
        let near = site.start("users = \"*\"", "");
        let host = "203.0.113.1";
        let port = port();
        for own in ["127.0.0.1", "192.0.2.5"] {
            assert!(TcpStream::connect((own, port)).is_err(), "{own}: {}", near.log());
        }
        site.far.sh(&format!("! curl -s --max-time 10 http://192.0.2.5:{port}/"));
        assert!(!near.log().contains("made to the port itself"), "{}", near.log());
        near.crash();
        // Nothing goes past the rules, and nothing to somebody else.
        assert_eq!(seen_by(host, None, None), "none");
        let other = std::net::TcpListener::bind(("::", port)).unwrap();
        other.set_nonblocking(true).unwrap();
        assert_eq!(seen_by(host, None, None), "none");
        assert!(other.accept().is_err());
    });
}

/// A connection on which every line is answered.
pub(crate) struct Ping(TcpStream);

impl Ping {
    pub(crate) fn connect(host: &str) -> Self {
        let stream = TcpStream::connect((host, PORT)).unwrap();
        stream.set_read_timeout(Some(crate::site::SOON)).unwrap();
        Self(stream)
    }

    pub(crate) fn ping(&mut self) {
        std::io::Write::write_all(&mut self.0, b"ping\n").unwrap();
        let mut answer = [0; 5];
        self.0.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"pong\n");
    }
}

/// A control group of the test's own.
struct Group {
    name: String,
    path: std::path::PathBuf,
}

impl Group {
    fn new() -> Option<Self> {
        let name = format!("throughline-test-{}", std::process::id());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?.split(' ').nth(4)?;
        let path = std::path::Path::new(mount).join(&name);
        // Where groups cannot be entered there is nothing to test.
        let group = std::fs::create_dir(&path).is_ok().then_some(Self { name, path })?;
        std::fs::write(group.path.join("cgroup.procs"), "0").is_ok().then(|| {
            group.leave();
            group
        })
    }

    fn leave(&self) {
        let root = self.path.parent().unwrap().join("cgroup.procs");
        std::fs::write(root, "0").unwrap();
    }

    /// Has programs started in the group.
    fn run<T>(&self, body: impl FnOnce() -> T) -> T {
        std::fs::write(self.path.join("cgroup.procs"), "0").unwrap();
        let result = body();
        self.leave();
        result
    }

    fn renew(&self) {
        until("the group is left", || std::fs::remove_dir(&self.path).is_ok());
        std::fs::create_dir(&self.path).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.path);
    }
}
