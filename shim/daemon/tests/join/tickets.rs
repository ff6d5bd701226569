//! A ticket counts once, for a time, and for whoever has it.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::site::{Hosts, on_two_hosts, read};
use crate::world::PROGRAM;

/// Returns the port at which the server waits, which is in its configuration meanwhile.
fn meeting(hosts: &Hosts) -> u16 {
    let config = read(&hosts.server_file());
    let (_, after) = config.split_once("allow = [\"127.0.0.1:").expect("an invitation");
    after.split_once('"').unwrap().0.parse().unwrap()
}

/// Returns what a program of the server's own host is told that says this there.
fn said_to(hosts: &Hosts, line: &str) -> String {
    let script = format!(
        "import socket; s=socket.create_connection(('127.0.0.1',{})); s.sendall(b'''{line}\\n'''); \
         print(s.makefile().readline().strip())",
        meeting(hosts)
    );
    let pid = hosts.far.pid().to_string();
    let mut command = std::process::Command::new("nsenter");
    command.args(["-t", &pid, "-n", "python3", "-c", &script]);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

#[test]
fn a_ticket_counts_once_and_for_nobody_who_has_it_not() {
    let name = "tickets::a_ticket_counts_once_and_for_nobody_who_has_it_not";
    on_two_hosts(name, |hosts| {
        let mut server = hosts.invite(&["--name", "site"]);
        let ticket = server.ticket();
        // Programs of the server's host reach the meeting too, with whatever they please.
        let key = std::process::Command::new(PROGRAM)
            .arg("keygen")
            .arg(hosts.path("thief.key"))
            .output()
            .unwrap();
        let key = String::from_utf8(key.stdout).unwrap();
        let key = key.split_whitespace().find(|word| word.starts_with("tlk1")).unwrap();
        let forged =
            format!("{{\"join\":{{\"key\":\"{key}\",\"proof\":\"{}\"}}}}", "00".repeat(32));
        assert!(said_to(&hosts, &forged).contains("not by the ticket"));
        assert_eq!(said_to(&hosts, "hello"), "\n");
        assert!(
            said_to(&hosts, "{\"drill\":{\"proof\":\"00\"}}").contains("nobody has joined yet")
        );
        // Some that say nothing keep nobody out.
        let mut site = hosts.join(&ticket, "site");
        site.until("Joined");
        let (succeeded, said) = hosts.join(&ticket, "other").ends();
        assert!(!succeeded && said.contains("does not take this ticket"), "{said}");
        assert!(!hosts.path("other/throughline.toml").exists(), "{said}");
        site.until("Applications connect to");
        server.until("has joined");
        assert!(!read(&hosts.server_file()).contains(key));
    });
}

#[test]
fn what_is_no_ticket_or_would_overwrite_something_is_refused_at_once() {
    let name = "tickets::what_is_no_ticket_or_would_overwrite_something_is_refused_at_once";
    on_two_hosts(name, |hosts| {
        let (_, said) = hosts.join("tlk1abc", "site").ends();
        assert!(said.contains("This is no ticket"), "{said}");
        let mut server = hosts.invite(&["--qr"]);
        let ticket = server.ticket();
        assert!(server.text().contains('█'), "{}", server.text());
        let (_, said) = hosts.join(&ticket[..80], "site").ends();
        assert!(said.contains("The ticket is damaged"), "{said}");
        std::fs::create_dir(hosts.path("site")).unwrap();
        std::fs::write(hosts.path("site/throughline.toml"), "mine = 1").unwrap();
        let (succeeded, said) = hosts.join(&ticket, "site").ends();
        assert!(!succeeded && said.contains("mine"), "{said}");
        assert_eq!(read(&hosts.path("site/throughline.toml")), "mine = 1");
        for (args, says) in [
            (&["--name", "a b"][..], "is no name"),
            (&["--name", "direct"], "is no name"),
            (&["--for", "0s"], "between a second and seven days"),
            (&["--allow", "nonsense"], "nonsense"),
        ] {
            let (succeeded, said) = hosts.invite(args).ends();
            assert!(!succeeded && said.contains(says), "{args:?}: {said}");
        }
    });
}

#[test]
fn an_invitation_that_nobody_takes_leaves_nothing_behind() {
    let name = "tickets::an_invitation_that_nobody_takes_leaves_nothing_behind";
    on_two_hosts(name, |hosts| {
        // The first writes the configuration.
        let mut first = hosts.invite(&["--for", "1s"]);
        let (succeeded, said) = first.ends();
        assert!(!succeeded && said.contains("Nobody has joined"), "{said}");
        let before = read(&hosts.server_file());
        assert!(!before.contains("\n[peers."), "{before}");
        let mut second = hosts.invite(&[]);
        second.ticket();
        assert!(read(&hosts.server_file()).contains("an invitation"));
        second.signal(Signal::SIGINT);
        assert!(!second.ends().0);
        assert_eq!(read(&hosts.server_file()), before);
        // One that is killed leaves a key that may reach nothing, until the next one.
        let mut third = hosts.invite(&["--name", "x"]);
        let stale = third.ticket();
        third.signal(Signal::SIGKILL);
        third.ends();
        let mut fourth = hosts.invite(&["--name", "x"]);
        let ticket = fourth.ticket();
        assert_ne!(stale, ticket);
        assert_eq!(read(&hosts.server_file()).matches("[peers.x]").count(), 1);
        let (succeeded, said) = hosts.join(&stale, "late").ends();
        assert!(!succeeded && said.contains("does not take this ticket"), "{said}");
        hosts.join(&ticket, "site").until("Joined");
    });
}

#[test]
fn who_has_joined_stays_so_however_the_invitation_ends() {
    let name = "tickets::who_has_joined_stays_so_however_the_invitation_ends";
    on_two_hosts(name, |hosts| {
        let finished = |name: &str| {
            let config = read(&hosts.server_file());
            let section = config.split_once(&format!("[peers.{name}]\n")).expect("a peer").1;
            assert!(!config.contains(">>>") && !config.contains("keys = "), "{config}");
            assert!(section.contains("allow = [\"localhost:22\"]\n"), "{config}");
        };
        // Interrupted while the site tries a flow.
        let mut server = hosts.invite(&["--name", "one", "--allow", "localhost:22"]);
        let mut site = hosts.join(&server.ticket(), "one");
        server.until("It tries a flow now");
        // Somebody else, and somebody by hand, are kept apart meanwhile.
        let (succeeded, said) = hosts.invite(&["--name", "other"]).ends();
        assert!(!succeeded && said.contains("Another `throughline invite` waits"), "{said}");
        let config = read(&hosts.server_file());
        std::fs::write(hosts.server_file(), format!("# by hand\n{config}")).unwrap();
        server.signal(Signal::SIGINT);
        server.until("has not tried a flow");
        finished("one");
        assert!(read(&hosts.server_file()).starts_with("# by hand\n"));
        server.signal(Signal::SIGINT);
        assert!(server.ends().0);
        site.ends();
        // Killed there.
        let mut server = hosts.invite(&["--name", "two", "--allow", "localhost:22"]);
        let _site = hosts.join(&server.ticket(), "two");
        server.until("It tries a flow now");
        server.signal(Signal::SIGKILL);
        server.ends();
        assert!(read(&hosts.server_file()).contains("# it has joined"));
        let mut server = hosts.invite(&[]);
        server.ticket();
        server.until("is finished or removed");
        server.signal(Signal::SIGINT);
        server.ends();
        finished("one");
        finished("two");
    });
}

#[test]
fn what_is_wrong_with_the_servers_configuration_is_told_there_and_not_to_the_site() {
    let name =
        "tickets::what_is_wrong_with_the_servers_configuration_is_told_there_and_not_to_the_site";
    on_two_hosts(name, |hosts| {
        let mut server = hosts.invite(&[]);
        let ticket = server.ticket();
        let right = read(&hosts.server_file());
        std::fs::write(hosts.server_file(), format!("secret = hunter2\n{right}")).unwrap();
        let (succeeded, said) = hosts.join(&ticket, "site").ends();
        assert!(!succeeded && said.contains("its terminal says why"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        server.until("hunter2");
        // Mended, the same ticket counts.
        std::fs::write(hosts.server_file(), &right).unwrap();
        hosts.join(&ticket, "site").until("Joined");
    });
}

#[test]
fn a_server_that_nobody_can_dial_says_so() {
    let name = "tickets::a_server_that_nobody_can_dial_says_so";
    on_two_hosts(name, |hosts| {
        std::fs::create_dir(hosts.path("server")).unwrap();
        let key = hosts.path("server/identity.key");
        assert!(
            std::process::Command::new(PROGRAM)
                .arg("keygen")
                .arg(&key)
                .output()
                .unwrap()
                .status
                .success()
        );
        for (config, says) in [
            ("identity = \"identity.key\"\n", "has no `listen`"),
            (
                "identity = \"identity.key\"\nlisten = \"[::]:5443\"\nadmin = false\n",
                "admin = false",
            ),
            ("identity = \"identity.key\"\nlisten = \"[::]:5443\"\npeers = 1\n", "peers"),
        ] {
            std::fs::write(hosts.server_file(), config).unwrap();
            let (succeeded, said) = hosts.invite(&[]).ends();
            assert!(!succeeded && said.contains(says), "{says}: {said}");
            assert_eq!(read(&hosts.server_file()), config);
        }
    });
}

#[test]
fn whoever_holds_the_meetings_places_gives_them_back() {
    let name = "tickets::whoever_holds_the_meetings_places_gives_them_back";
    on_two_hosts(name, |hosts| {
        let mut server = hosts.invite(&[]);
        let ticket = server.ticket();
        let address = SocketAddr::from(([127, 0, 0, 1], meeting(&hosts)));
        let at_server = std::fs::File::open(format!("/proc/{}/ns/net", hosts.far.pid())).unwrap();
        // Sixteen that say nothing; a seventeenth is closed.
        let held = std::thread::spawn(move || {
            nix::sched::setns(at_server, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            let held: Vec<_> = (0..16).map(|_| TcpStream::connect(address).unwrap()).collect();
            std::thread::sleep(Duration::from_millis(200));
            let mut more = TcpStream::connect(address).unwrap();
            let _ = more.write_all(b"x");
            let mut line = String::new();
            let closed = BufReader::new(more).read_line(&mut line).is_ok_and(|read| read == 0);
            (held, closed || line.is_empty())
        });
        let (held, closed) = held.join().unwrap();
        assert!(closed);
        let mut site = hosts.join(&ticket, "site");
        drop(held);
        site.until("Joined");
    });
}
