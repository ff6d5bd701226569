//! Two hosts set up by `throughline init`, as a newcomer does it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use super::program::*;

/// Starts a daemon whose default admin socket is in its own directory, and returns once it runs.
fn run(site: &Site) -> KillOnDrop {
    let mut command = throughline(&["run", &site.name("throughline.toml")]);
    command.env("XDG_RUNTIME_DIR", site.directory.path());
    let mut daemon =
        KillOnDrop(command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut log = BufReader::new(daemon.0.stderr.take().unwrap()).lines();
    while !log.next().expect("the daemon ended").unwrap().contains("running") {}
    std::thread::spawn(move || log.map_while(Result::ok).count());
    daemon
}

#[test]
fn two_hosts_are_set_up_by_what_init_says() {
    let (server, site) = (Site::new(), Site::new());
    let port = UdpSocket::bind("[::]:0").unwrap().local_addr().unwrap().port().to_string();
    let (said, _) = outcome(&["init", &server.name(""), "--listen", &port], 0);
    assert!(said.contains("Wrote ") && said.contains("throughline run "), "{said}");
    outcome(&["check", &server.name("throughline.toml")], 0);
    let mode = fs::metadata(server.path("throughline.toml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let Some(peer) = said.lines().find_map(|line| line.split_once("--peer ")) else {
        eprintln!("SKIPPED: the rest, as this host has a loopback address only");
        return;
    };
    let (said, _) = outcome(&["init", &site.name(""), "--peer", peer.1], 0);
    outcome(&["check", &site.name("throughline.toml")], 0);
    // What the site is told to have added at the server, and an ingress of its own port.
    let (_, stanza) = said.split_once("`throughline reload` there:\n").expect("what to add");
    let (stanza, _) = stanza.split_once("Then:").unwrap();
    let text = fs::read_to_string(server.path("throughline.toml")).unwrap();
    fs::write(server.path("throughline.toml"), text + "\n" + stanza).unwrap();
    let text = fs::read_to_string(site.path("throughline.toml")).unwrap();
    fs::write(site.path("throughline.toml"), text.replace("127.0.0.1:1080", "127.0.0.1:0"))
        .unwrap();
    let _daemons = (run(&server), run(&site));
    let socket = site.name("throughline.sock");
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let status = output(&["status", "--socket", &socket]);
        if text_of(&status).contains("initiator  attached") {
            break;
        }
        assert!(std::time::Instant::now() < until, "{}", text_of(&status));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let (well, _) = outcome(&["status", "--check", "--socket", &socket], 0);
    assert_eq!(well, "All is well.\n");
}

#[test]
fn init_overwrites_nothing_and_refuses_what_would_not_parse() {
    let site = Site::new();
    let key = site.keygen();
    fs::rename(site.path("k"), site.path("identity.key")).unwrap();
    for (argument, value, reason) in [
        ("--peer", "server", "write NAME=KEY"),
        ("--allow", "localhost", "has no port"),
        ("--listen", "0", "0 is not in"),
    ] {
        let mut arguments = vec!["init", argument, value];
        let (directory, peer) =
            (site.name(""), format!("server={}", throughline::PeerId::from_bytes([1; 32])));
        arguments.push(&directory);
        if argument == "--allow" {
            arguments.extend(["--peer", &peer]);
        }
        let output = output(&arguments);
        assert!(
            !output.status.success() && text_of(&output).contains(reason),
            "{}",
            text_of(&output)
        );
        assert!(!site.path("throughline.toml").exists(), "{arguments:?}");
    }
    let (said, _) = outcome(&["init", &site.name("")], 0);
    assert!(said.contains("with the key that was there") && said.contains(&key), "{said}");
    let written = fs::read_to_string(site.path("throughline.toml")).unwrap();
    let (_, stderr) = outcome(&["init", &site.name("")], 1);
    assert!(stderr.contains("is not overwritten"), "{stderr}");
    assert_eq!(fs::read_to_string(site.path("throughline.toml")).unwrap(), written);
}

fn text_of(output: &std::process::Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}
