//! Two commands, and two hosts are joined.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::site::{on_two_hosts, read};
use crate::world::PROGRAM;

/// The bar of the whole.
const SOON: Duration = Duration::from_secs(30);

#[test]
fn two_fresh_hosts_are_joined_by_two_commands() {
    let name = "together::two_fresh_hosts_are_joined_by_two_commands";
    on_two_hosts(name, |hosts| {
        let began = Instant::now();
        let mut server = hosts.invite(&["--name", "branch1", "--allow", "203.0.113.1:8000"]);
        let ticket = server.ticket();
        let mut site = hosts.join(&ticket, "site");
        let said = site.until("Applications connect to 127.0.0.1:1080");
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        println!("joined and tried after {:?}", began.elapsed());
        for uplink in ["a0", "b0"] {
            let line = format!("{uplink} was cut off for 2 s: the flow went on");
            assert!(said.contains(&line), "{said}");
        }
        assert!(said.contains("may reach 203.0.113.1:8000"), "{said}");
        // What was written was shown, and is what there is.
        let file = read(&hosts.path("site/throughline.toml"));
        assert!(said.contains(&file), "{said}\n{file}");
        let said = server.until("has tried a flow");
        let config = read(&hosts.server_file());
        let section = "[peers.branch1]\nkey = \"tlk1";
        assert!(said.contains(section) && config.contains(section), "{said}\n{config}");
        assert!(config.contains("allow = [\"203.0.113.1:8000\"]\n"), "{config}");
        let peer = config.split_once("[peers.branch1]").unwrap().1;
        let peer = peer.split_once("\n\n").map_or(peer, |(peer, _)| peer);
        assert!(!peer.contains("127.0.0.1:") && !peer.contains("keys"), "{config}");
        assert!(!config.contains("invitation"), "{config}");
        // It is of use, for what is allowed.
        hosts.far.sh("python3 -c \"import socket; s=socket.socket(); s.bind(('203.0.113.1',8000)); s.listen(); \
                      c=s.accept()[0]; c.sendall(c.recv(9)[::-1])\" & \
                      for n in $(seq 200); do ss -ltn | grep -q 203.0.113.1:8000 && break; sleep 0.05; done");
        assert_eq!(through("203.0.113.1", "8000", b"abc"), b"cba");
        assert_eq!(through("203.0.113.1", "8001", b"abc"), b"");
        for command in [&mut site, &mut server] {
            command.signal(Signal::SIGINT);
            let (succeeded, said) = command.ends();
            assert!(succeeded, "{said}");
        }
    });
}

/// Returns what a destination answers through the site's proxy.
fn through(host: &str, port: &str, sent: &[u8]) -> Vec<u8> {
    let mut command = Command::new(PROGRAM);
    command.args(["nc", host, port]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let _ = stdin.write_all(sent);
    drop(stdin);
    let mut answer = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut answer).unwrap();
    child.wait().unwrap();
    answer
}

#[test]
fn a_daemon_that_runs_goes_on_with_a_peer_more_and_its_file_keeps_its_comments() {
    let name =
        "together::a_daemon_that_runs_goes_on_with_a_peer_more_and_its_file_keeps_its_comments";
    on_two_hosts(name, |hosts| {
        std::fs::create_dir(hosts.path("server")).unwrap();
        let key = hosts.path("server/identity.key");
        assert!(Command::new(PROGRAM).arg("keygen").arg(&key).output().unwrap().status.success());
        let before = "identity = \"identity.key\"\nlisten = \"203.0.113.1:5443\" # here\n";
        std::fs::write(hosts.server_file(), before).unwrap();
        let mut daemon = hosts.at_server(&["run", "-c", hosts.server_file().to_str().unwrap()]);
        daemon.until("listening");
        let mut server = hosts.invite(&[]);
        let ticket = server.ticket();
        let mut site = hosts.join(&ticket, "site");
        site.until("Applications connect to");
        let (succeeded, said) = server.ends();
        assert!(succeeded && said.contains("may reach nothing yet"), "{said}");
        let config = read(&hosts.server_file());
        assert!(config.starts_with(before) && config.contains("[peers.site]"), "{config}");
        // The daemon has no more than the file says.
        let mut again = hosts.at_server(&["reload", "-c", hosts.server_file().to_str().unwrap()]);
        assert!(again.ends().1.contains("Nothing has changed"), "{}", again.text());
        // A second one has the next name.
        let mut server = hosts.invite(&[]);
        server.ticket();
        assert!(read(&hosts.server_file()).contains("[peers.site2]"));
    });
}
