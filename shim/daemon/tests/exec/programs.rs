//! What programs reach under `exec`, and how they see it.

use std::io::Write;
use std::net::UdpSocket;
use std::process::{Command, Stdio};

use crate::classed::answer;
use crate::site::{
    NAME, Site, as_user, echo_after_end, echo_datagrams, ended, finished, printed, web,
    with_namespaces,
};

/// A client of TCP and UDP by name, which compares all that comes back.
const PYTHON: &str = r#"
import os, socket, sys, threading
name, tcp, udp = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
assert os.getuid() == int(sys.argv[4]), os.getuid()
# To the end both ways: the answer comes only after all has been sent.
data = os.urandom(4 << 20)
with socket.create_connection((name, tcp), 30) as s:
    def send():
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
    sender = threading.Thread(target=send)
    sender.start()
    back = b''
    while chunk := s.recv(1 << 16):
        back += chunk
    sender.join()
assert back == data, len(back)
# A connected socket hears nobody but whom it asked; and one that is not sees who answers.
for connected in (True, False):
    for family, kind, _, _, address in socket.getaddrinfo(name, udp, type=socket.SOCK_DGRAM):
        with socket.socket(family, kind) as s:
            s.settimeout(1)
            for attempt in range(30):
                text = b'%d' % attempt + b'x' * 1000
                try:
                    if connected:
                        s.connect(address)
                        s.send(text)
                        assert s.recv(2000) in (text, b'0' + b'x' * 1000), 'other'
                    else:
                        s.sendto(text, address)
                        assert s.recvfrom(2000)[1][:2] == address[:2], 'from elsewhere'
                    break
                except TimeoutError:
                    continue
            else:
                raise SystemExit('no answer')
# DSCP and ECN, of which the destination answers with others: an unprivileged program may set any.
for family, kind, _, _, address in socket.getaddrinfo(name, int(sys.argv[5]), type=socket.SOCK_DGRAM):
    level, report, option = {
        socket.AF_INET: (socket.IPPROTO_IP, socket.IP_RECVTOS, socket.IP_TOS),
        socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, socket.IPV6_TCLASS),
    }[family]
    with socket.socket(family, kind) as s:
        s.settimeout(1)
        s.setsockopt(level, report, 1)
        s.connect(address)
        for sent in (0xb9, 0, 0xc3, 0xe2):
            for attempt in range(30):
                s.setsockopt(level, option, sent)
                s.send(b'%d' % sent)
                try:
                    text, control, _, _ = s.recvmsg(100, 100)
                except TimeoutError:
                    continue
                if text != b'%c%d' % (sent, sent):
                    continue
                (_, _, got), = control
                assert got[0] == (sent << 3 | sent >> 5) & 255, (sent, got)
                break
            else:
                raise SystemExit('no answer in its class')
# What the program itself listens at is its own, and nobody else's.
with socket.create_server(('127.0.0.1', 0)) as own, socket.create_connection(own.getsockname()) as s:
    assert own.accept()[1] == s.getsockname()
print('right')
"#;

#[test]
fn curl_and_python_go_by_name_and_by_address_and_every_byte_is_right() {
    let name = "programs::curl_and_python_go_by_name_and_by_address_and_every_byte_is_right";
    with_namespaces(name, || {
        let site = Site::new();
        let (web, tcp, udp) = (web(), echo_after_end(), echo_datagrams());
        let classed = UdpSocket::bind("127.0.0.1:0").unwrap();
        let classed_port = classed.local_addr().unwrap().port().to_string();
        answer(classed);
        let url = format!("http://{NAME}:{web}/");
        let curl = ["curl", "-sS", "--noproxy", "*", "--max-time", "30"];
        let with = |more: &[&str]| site.run(&[&curl[..], more].concat());
        assert_eq!(printed(&with(&[&url])), "hello", "{}", site.near.log());
        // Some megabytes each way.
        let file = site.path().join("file");
        let bytes: Vec<u8> =
            (0..8_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        std::fs::write(&file, &bytes).unwrap();
        assert_eq!(printed(&with(&["-T", file.to_str().unwrap(), &url])), "taken");
        let got = with(&[&url]);
        assert!(got.status.success() && got.stdout == bytes, "{} bytes", got.stdout.len());
        // The rules of the ingress decide: what they reject, or what does not answer, is reset.
        for host in ["www.example", "127.0.0.1", "198.51.100.1"] {
            let output = with(&[&format!("http://{host}:{web}/")]);
            assert!(!output.status.success(), "{host}");
        }
        assert!(site.near.log().contains("rejected by this host's rules"), "{}", site.near.log());
        let own = String::from_utf8(finished(with_id()).stdout).unwrap();
        let ports = [tcp.to_string(), udp.to_string()];
        let python =
            ["python3", "-c", PYTHON, NAME, &ports[0], &ports[1], own.trim(), &classed_port];
        assert_eq!(printed(&site.run(&python)), "right", "{}", site.near.log());
    });
}

fn with_id() -> Command {
    let mut command = as_user();
    command.args(["id", "-u"]);
    command
}

#[test]
fn a_program_is_its_user_and_has_no_rights_in_its_network() {
    let name = "programs::a_program_is_its_user_and_has_no_rights_in_its_network";
    with_namespaces(name, || {
        let site = Site::new();
        let outside = String::from_utf8(finished(with_id()).stdout).unwrap();
        assert_eq!(printed(&site.run(&["id", "-u"])), outside.trim());
        let status = printed(&site.run(&["grep", "CapEff\\|CapAmb\\|CapInh", "/proc/self/status"]));
        for line in status.lines() {
            assert!(line.ends_with("0000000000000000"), "{status}");
        }
        assert!(!site.run(&["ip", "link", "set", "lo", "down"]).status.success());
        // Nothing leads out but through the daemon.
        let links = printed(&site.run(&["ip", "-o", "link"]));
        assert_eq!(links.lines().count(), 1, "{links}");
        let servers = printed(&site.run(&["cat", "/etc/resolv.conf"]));
        assert_eq!(servers.lines().next(), Some("nameserver 198.18.0.1"), "{servers}");
        // What stands for a name is the same for all who ask, and known by its address.
        let stand_in = printed(&site.run(&["getent", "ahostsv4", NAME]));
        assert!(stand_in.starts_with("198.1"), "{stand_in}");
    });
}

#[test]
fn root_runs_a_program_as_well_and_a_configuration_names_the_ingress() {
    let name = "programs::root_runs_a_program_as_well_and_a_configuration_names_the_ingress";
    with_namespaces(name, || {
        let site = Site::new();
        let web = web();
        let mut command = Command::new(&site.program);
        command.args(["exec", "-c"]).arg(site.path().join("near.toml"));
        command.args(["curl", "-sS", "--noproxy", "*", &format!("http://{NAME}:{web}/")]);
        assert_eq!(printed(&finished(command)), "hello", "{}", site.near.log());
    });
}

#[test]
fn what_is_written_to_a_program_reaches_it_and_its_end_as_well() {
    let name = "programs::what_is_written_to_a_program_reaches_it_and_its_end_as_well";
    with_namespaces(name, || {
        let site = Site::new();
        let mut child = site
            .exec()
            .args(["sh", "-c", "cat; echo err >&2"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(b"one\ntwo\n").unwrap();
        ended(&mut child, "cat");
        let output = child.wait_with_output().unwrap();
        assert_eq!((&output.stdout[..], &output.stderr[..]), (&b"one\ntwo\n"[..], &b"err\n"[..]));
    });
}
