//! Rules by name for programs that resolve names themselves, by the DNS answerer.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::unistd::{Uid, setfsuid};

use crate::lan::host_behind;
use crate::programs::Ping;
use crate::site::{PORT, SOON, Site, rules, until, with_nft};
use crate::udp::{NOBODY, destinations, seen_by as seen_by_datagram, with_users};
use crate::world::{Daemon, Far};

/// What only the far host knows.
pub(crate) const HOSTS: &str =
    "127.0.0.1 localhost\n203.0.113.1 git.corp.example\n203.0.113.3 db.corp.example\n";

/// Names go through the peer, and what has none goes directly.
const RULES: &str = "[[rule]]\nto = \"no.corp.example\"\nvia = \"reject\"\n\
                     [[rule]]\nto = \"*.corp.example\"\nvia = \"far\"\n\
                     [[rule]]\nto = [\"0.0.0.0/0\", \"::/0\"]\nvia = \"direct\"\n\
                     [ingress.datagrams]\nkind = \"intercept\"\nprotocol = \"udp\"\nusers = \"*\"\nvia = \"far\"";

const INGRESS: &str = "users = \"*\"\ndns = true";

/// Any address: whoever is asked, it is ours to answer.
const ANY: &str = "9.9.9.9";

pub(crate) const A: u16 = 1;
const AAAA: u16 = 28;

/// Returns a query for a name, with a number.
fn query(name: &str, kind: u16, number: u16) -> Vec<u8> {
    let mut query = number.to_be_bytes().to_vec();
    query.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend(label.as_bytes());
    }
    query.push(0);
    query.extend(kind.to_be_bytes());
    query.extend([0, 1]);
    query
}

/// Returns what an answer says: its code if that is not 0, else the address in its last record.
fn said(answer: &[u8], kind: u16) -> String {
    let count = u16::from_be_bytes([answer[6], answer[7]]);
    match (answer[3] & 15, count, kind) {
        (0, 0, _) => "nothing".to_owned(),
        (0, _, A) => {
            let octets: [u8; 4] = answer[answer.len() - 4..].try_into().unwrap();
            IpAddr::from(octets).to_string()
        }
        (0, ..) => {
            let octets: [u8; 16] = answer[answer.len() - 16..].try_into().unwrap();
            IpAddr::from(octets).to_string()
        }
        (code, ..) => format!("code {code}"),
    }
}

/// A program's socket, of a user, here or in another namespace.
fn asker(server: &str, user: u32, at: Option<&Far>) -> UdpSocket {
    let to = SocketAddr::new(server.parse().unwrap(), 53);
    let namespace = at.map(|at| File::open(format!("/proc/{}/ns/net", at.pid())).unwrap());
    let open = move || {
        if let Some(namespace) = namespace {
            setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
        }
        setfsuid(Uid::from_raw(user));
        let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        socket.connect(to).map(|()| socket)
    };
    std::thread::spawn(open).join().unwrap().unwrap()
}

/// Returns what a server says to a user's program.
fn ask_as(user: u32, server: &str, name: &str, kind: u16, at: Option<&Far>) -> String {
    let socket = asker(server, user, at);
    let mut answer = [0; 2048];
    // The first may be lost while the machine is busy.
    for _ in 0..3 {
        let _ = socket.send(&query(name, kind, 7));
        if let Ok(len) = socket.recv(&mut answer) {
            return said(&answer[..len], kind);
        }
    }
    "silence".to_owned()
}

/// Returns what is said to a program that asks from this address of the host's own.
fn ask_from(own: &str, name: &str) -> String {
    let own: IpAddr = own.parse().unwrap();
    let open = move || {
        setfsuid(Uid::from_raw(NOBODY));
        let socket = UdpSocket::bind((own, 0)).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        socket.connect("127.0.0.1:53").map(|()| socket)
    };
    let socket = std::thread::spawn(open).join().unwrap().unwrap();
    socket.send(&query(name, A, 7)).unwrap();
    let mut answer = [0; 2048];
    socket.recv(&mut answer).map_or("silence".to_owned(), |len| said(&answer[..len], A))
}

pub(crate) fn ask(name: &str, kind: u16) -> String {
    ask_as(NOBODY, ANY, name, kind, None)
}

/// Returns what the system's own library and curl make of a name, as nobody.
fn curl_as_nobody(name: &str) -> String {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-sS"]);
    command.args(["--noproxy", "*", "--max-time", "15", &format!("http://{name}:{PORT}/")]);
    let output = command.output().unwrap();
    match output.status.success() {
        true => String::from_utf8(output.stdout).unwrap().trim().to_owned(),
        false => "none".to_owned(),
    }
}

pub(crate) fn start(site: &Site) -> Daemon {
    site.start(INGRESS, RULES)
}

#[test]
fn a_rule_by_name_holds_for_a_program_that_asks_dns_and_no_other_name_is_touched() {
    let name =
        "names::a_rule_by_name_holds_for_a_program_that_asks_dns_and_no_other_name_is_touched";
    with_users(name, || {
        let site = Site::with_names(HOSTS);
        destinations(&site.far);
        resolver(&site.far);
        std::fs::write(site.path().join("near.resolv"), "nameserver 203.0.113.2\n").unwrap();
        let before = rules();
        let near = start(&site);
        let mut asker = Asker::connect();
        let by_connection = asker.ask("db.corp.example");
        // Its descriptor is counted, and that of the connection by which the system's resolver may be asked; besides that
        // of the ingress's next connection.
        until("they are", || near.status()["descriptors"]["connections"] == 3);
        drop(asker);
        // Nobody here could look that up.
        assert_eq!(
            curl_as_nobody("git.corp.example"),
            "203.0.113.1",
            "{}\n{}",
            near.log(),
            rules()
        );
        assert_eq!(curl_as_nobody("no.corp.example"), "none");
        assert!(near.log().contains("rejected by this host's rules"), "{}", near.log());
        let [v4, v6] = [A, AAAA].map(|kind| ask("db.corp.example", kind));
        assert!(v4.starts_with("198.1") && v6.starts_with("fd5e:1f0a:93c7:53:"), "{v4} {v6}");
        for stand_in in [&v4, &v6] {
            // The far host's own address, by which it reaches itself.
            assert_eq!(seen_by_datagram(stand_in, NOBODY, None), "203.0.113.3", "{}", near.log());
        }
        // Whoever is asked, over either protocol.
        for server in ["127.0.0.1", "::1", "2001:db8:f::9"] {
            assert_eq!(ask_as(NOBODY, server, "db.corp.example", A, None), v4, "{server}");
        }
        assert_eq!(by_connection, v4);
        // Others are passed on, as are those of the daemon's own user, which asks whom it asks.
        assert_eq!(ask("www.example", A), "203.0.113.4", "{}", near.log());
        assert_eq!(ask_as(0, "203.0.113.2", "db.corp.example", A, None), "203.0.113.4");
        near.stop();
        assert_eq!(rules(), before);
    });
}

/// A connection of a program that asks for names.
struct Asker(TcpStream);

impl Asker {
    fn connect() -> Self {
        let connect = || {
            setfsuid(Uid::from_raw(NOBODY));
            TcpStream::connect((ANY, 53))
        };
        let connection = std::thread::spawn(connect).join().unwrap().unwrap();
        connection.set_read_timeout(Some(SOON)).unwrap();
        Self(connection)
    }

    fn ask(&mut self, name: &str) -> String {
        let query = query(name, A, 9);
        let len = u16::try_from(query.len()).unwrap().to_be_bytes();
        self.0.write_all(&[&len[..], &query].concat()).unwrap();
        let mut len = [0; 2];
        self.0.read_exact(&mut len).unwrap();
        let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
        self.0.read_exact(&mut answer).unwrap();
        said(&answer, A)
    }
}

/// Answers at 203.0.113.2, until the test ends: every name has the same address.
fn resolver(far: &Far) {
    let namespace = File::open(format!("/proc/{}/ns/net", far.pid())).unwrap();
    let bind = move || {
        setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
        UdpSocket::bind("203.0.113.2:53").unwrap()
    };
    let socket = std::thread::spawn(bind).join().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            // The question ends with the name's last label, a kind and a class.
            let end = 12 + buffer[12..len].iter().position(|byte| *byte == 0).unwrap() + 5;
            let mut answer = buffer[..end].to_vec();
            answer[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 203, 0, 113, 4]);
            let _ = socket.send_to(&answer, from);
        }
    });
}

#[test]
fn what_stands_for_a_name_does_so_after_a_reload_and_for_a_successor_and_else_leads_nowhere() {
    let name = "names::what_stands_for_a_name_does_so_after_a_reload_and_for_a_successor_and_else_leads_nowhere";
    with_users(name, || {
        let site = Site::with_names(HOSTS);
        let near = start(&site);
        let stand_in = ask("git.corp.example", A);
        let mut open = Ping::connect(&stand_in);
        open.ping();
        // Another rule has the name, and then none: whoever knows the address goes by the name all the same.
        for rules in [RULES.replace("*.corp", "git.corp"), RULES.replace("*.corp", "other")] {
            near.reload(&site.config(INGRESS, &rules)).unwrap();
            open.ping();
        }
        near.reload(&site.config(INGRESS, RULES)).unwrap();
        Ping::connect(&stand_in).ping();
        let next = near.successor();
        assert!(near.wait_for_success());
        open.ping();
        // Nobody has asked it.
        Ping::connect(&stand_in).ping();
        assert_eq!(ask("git.corp.example", A), stand_in, "{}", next.log());
        next.stop();
        let near = start(&site);
        let mut forgotten = TcpStream::connect((&*stand_in, PORT)).unwrap();
        forgotten.set_read_timeout(Some(SOON)).unwrap();
        assert_eq!(
            forgotten.read(&mut [0; 9]).unwrap_err().kind(),
            std::io::ErrorKind::ConnectionReset
        );
        until("the log says so", || {
            near.log().contains("no name is known that this address stands for")
        });
        // Asked again, it is the same.
        assert_eq!(ask("git.corp.example", A), stand_in);
        Ping::connect(&stand_in).ping();
        near.crash();
        assert_eq!(ask("git.corp.example", A), "silence");
    });
}

/// A request by the HTTP ingress of [`WEB`] that is not answered yet; a hand-over waits for it, for some seconds.
struct Request {
    client: TcpStream,
    origin: TcpStream,
}

const WEB: &str = "[ingress.web]\nkind = \"http\"\nlisten = \"127.0.0.1:3128\"\nvia = \"direct\"";

impl Request {
    fn begin() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect("127.0.0.1:3128").unwrap();
        let request = format!(
            "GET http://{}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            listener.local_addr().unwrap()
        );
        client.write_all(request.as_bytes()).unwrap();
        Self { client, origin: listener.accept().unwrap().0 }
    }

    fn finish(mut self) {
        self.origin.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
        let mut answer = String::new();
        self.client.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("hello"), "{answer}");
    }
}

#[test]
fn what_stands_for_a_name_that_was_asked_for_while_another_process_takes_over_does_so_there() {
    let name = "names::what_stands_for_a_name_that_was_asked_for_while_another_process_takes_over_does_so_there";
    with_users(name, || {
        let site = Site::with_names(HOSTS);
        let near = site.start(INGRESS, &format!("{RULES}\n{WEB}"));
        let request = Request::begin();
        let next = near.begin_successor();
        until("it begins", || near.log().contains("another process takes over"));
        let [late, later] =
            ["git.corp.example", "db.corp.example"].map(|name| (name, ask(name, A)));
        request.finish();
        next.takes_over();
        assert!(near.wait_for_success());
        for (name, stand_in) in [late, later] {
            Ping::connect(&stand_in).ping();
            assert_eq!(ask(name, A), stand_in, "{}", next.log());
        }
    });
}

#[test]
fn names_of_hosts_behind_the_router_are_answered_whomever_they_ask() {
    let name = "names::names_of_hosts_behind_the_router_are_answered_whomever_they_ask";
    with_nft(name, || {
        let site = Site::with_names(HOSTS);
        let host = host_behind(&site);
        let near = site.start(
            "interfaces = \"lan0\"\ndns = true",
            "[[rule]]\nto = \"*.corp.example\"\nvia = \"far\"",
        );
        // The router itself, and somebody beyond it.
        let asked = ["10.7.0.1", ANY, "2001:db8:7::1"];
        let said = asked.map(|server| ask_as(0, server, "git.corp.example", A, Some(&host)));
        assert!(said[0].starts_with("198.1"), "{said:?}\n{}\n{}", near.log(), rules());
        assert!(said[1..].iter().all(|other| *other == said[0]), "{said:?}");
        let seen = crate::site::seen_by(&said[0], None, Some(&host));
        assert_eq!(seen, "203.0.113.1", "{}", near.log());
        // The router's own programs are not selected.
        assert_eq!(ask_as(0, "127.0.0.1", "git.corp.example", A, None), "silence");
    });
}

#[test]
fn a_client_that_asks_for_names_without_end_gets_no_more_and_what_it_has_goes_on() {
    let name =
        "names::a_client_that_asks_for_names_without_end_gets_no_more_and_what_it_has_goes_on";
    with_users(name, || {
        /// Half of all that there may be.
        const PART: u16 = 8192;
        let site = Site::with_names(HOSTS);
        let near = start(&site);
        let stand_in = ask("git.corp.example", A);
        let mut open = Ping::connect(&stand_in);
        let socket = asker(ANY, NOBODY, None);
        let mut buffer = [0; 512];
        let mut answered = |number: u16| {
            // One that is lost is asked for again, and counts once.
            for _ in 0..3 {
                socket.send(&query(&format!("n{number}.corp.example"), A, number)).unwrap();
                while let Ok(len) = socket.recv(&mut buffer) {
                    if buffer[..2] == number.to_be_bytes() {
                        return said(&buffer[..len], A);
                    }
                }
            }
            panic!("no answer to {number}\n{}", near.log());
        };
        // The first is there already.
        for number in 1..PART {
            let said = answered(number);
            assert!(said.parse::<Ipv4Addr>().is_ok(), "{number}: {said}");
        }
        assert_eq!(answered(PART), "code 2");
        // All addresses of this host's own are one client.
        for own in ["127.0.0.9", "127.9.0.1"] {
            let other = ask_from(own, "other.corp.example");
            assert_eq!(other, "code 2", "{own}: {}", near.log());
        }
        // Those that it has it has.
        assert!(answered(1).starts_with("198.1"));
        open.ping();
        Ping::connect(&stand_in).ping();
    });
}
