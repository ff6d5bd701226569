//! A host that has a configuration joins a server.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::site::{Hosts, on_two_hosts, read};
use crate::world::{PROGRAM, keygen};

/// Writes a configuration with comments and a peer of its own; returns it and the public key of that peer.
fn configured(hosts: &Hosts) -> (String, String) {
    let directory = hosts.path("site");
    std::fs::create_dir(&directory).unwrap();
    keygen(&directory, "mine");
    let other = keygen(&directory, "other");
    let text = format!(
        "# by hand\nidentity = \"mine.key\"\n\n[uplinks.isp-a]\ninterface = \"a0\" # the fibre\n[uplinks.isp-b]\n\
         interface = \"b0\"\n\n[peers.other]\nkey = \"{other}\"\nlocators = [\"203.0.113.9:5443\"]\n\n[ingress.socks]\n\
         kind = \"socks5\"\nlisten = \"127.0.0.1:1090\"\nvia = \"other\" # no line's end"
    );
    std::fs::write(directory.join("throughline.toml"), &text).unwrap();
    (text, other)
}

#[test]
fn a_server_is_added_to_a_configuration_that_is_there_and_the_daemon_goes_on() {
    let name = "beside::a_server_is_added_to_a_configuration_that_is_there_and_the_daemon_goes_on";
    on_two_hosts(name, |hosts| {
        let (before, _) = configured(&hosts);
        let file = hosts.path("site/throughline.toml");
        let mut daemon = hosts.at_site("site", &["run", "-c", file.to_str().unwrap()]);
        daemon.until("running");
        let mut server = hosts.invite(&["--name", "branch1", "--allow", "localhost:22"]);
        let ticket = server.ticket();
        let mut site = hosts
            .at_site("site", &["join", &ticket, "-c", file.to_str().unwrap(), "--name", "office"]);
        let (succeeded, said) = site.ends();
        assert!(succeeded, "{said}");
        for uplink in ["isp-a", "isp-b"] {
            assert!(
                said.contains(&format!("{uplink} was cut off for 2 s: the flow went on")),
                "{said}"
            );
        }
        assert!(
            said.contains("may reach localhost:22") && said.contains("via = \"office\""),
            "{said}"
        );
        // What was there is there, and what was added was shown.
        let after = read(&file);
        let added = after.strip_prefix(&format!("{before}\n\n")).expect("nothing else changed");
        assert!(
            added.starts_with("[peers.office]\nkey = \"tlk1") && said.contains(added),
            "{said}\n{after}"
        );
        assert!(!added.contains("ingress"), "{after}");
        // By the identity that was there.
        let key =
            Command::new(PROGRAM).arg("id").arg(hosts.path("site/mine.key")).output().unwrap();
        let key = String::from_utf8(key.stdout).unwrap();
        assert!(!hosts.path("site/identity.key").exists());
        server.until("has tried a flow");
        assert!(read(&hosts.server_file()).contains(key.trim()), "{key}");
        let mut again = hosts.at_site("site", &["reload", "-c", file.to_str().unwrap()]);
        assert!(again.ends().1.contains("Nothing has changed"), "{}", again.text());
        server.signal(Signal::SIGINT);
    });
}

#[test]
fn what_would_be_in_the_way_is_told_before_the_ticket_is_used() {
    let name = "beside::what_would_be_in_the_way_is_told_before_the_ticket_is_used";
    on_two_hosts(name, |hosts| {
        let (before, other) = configured(&hosts);
        let file = hosts.path("site/throughline.toml");
        let mut server = hosts.invite(&[]);
        let ticket = server.ticket();
        let join =
            |more: &[&str]| hosts.at_site("site", &[&["join", &ticket][..], more].concat()).ends();
        let at = ["-c", file.to_str().unwrap()];
        let with = |more: &[&'static str]| join(&[&at[..], more].concat());
        let (succeeded, said) = with(&["--name", "other"]);
        assert!(
            !succeeded && said.contains("called `other`") && said.contains("not used"),
            "{said}"
        );
        assert!(with(&["--name", "a b"]).1.contains("is no name"));
        let (_, said) = join(&["-c", hosts.path("none.toml").to_str().unwrap()]);
        assert!(said.contains("There is no") && said.contains("--directory"), "{said}");
        // It is known by another name.
        let id = Command::new(PROGRAM)
            .arg("id")
            .arg(hosts.path("server/identity.key"))
            .output()
            .unwrap();
        let id = String::from_utf8(id.stdout).unwrap();
        std::fs::write(&file, before.replace(&other, id.trim())).unwrap();
        let (succeeded, said) = with(&[]);
        assert!(!succeeded && said.contains("a peer here already, `other`"), "{said}");
        assert!(said.contains("`locators` of [peers.other]"), "{said}");
        // Nothing was used up or changed by all that; without a daemon that runs it runs one. A drill that was killed
        // leaves nothing.
        let left = "\n# >>> the drill of `throughline join`, which removes it: x\n[ingress.join-x]\nkind = \"forward\"\n\
                    listen = \"127.0.0.1:4001\"\nto = \"127.0.0.1:4002\"\nvia = \"x\"\n# <<< the end of it: x\n";
        std::fs::write(&file, format!("{before}\n{left}")).unwrap();
        let mut site =
            hosts.at_site("site", &[&["join", &ticket][..], &at[..], &["--no-cuts"]].concat());
        let said = site.until("The daemon runs in this terminal");
        assert!(
            said.contains("A flow goes over isp-a and isp-b") && !said.contains("cut off"),
            "{said}"
        );
        assert!(said.contains("is finished or removed"), "{said}");
        let after = read(&file);
        assert!(
            after.starts_with(&format!("{before}\n\n[peers.")) && !after.contains("ingress.join-"),
            "{after}"
        );
        // Nothing is kept from others while the daemon goes on.
        let (succeeded, said) = with(&[]);
        assert!(!succeeded && said.contains("a peer here already"), "{said}");
        // It is used now.
        std::fs::create_dir(hosts.path("late")).unwrap();
        let (succeeded, said) = hosts.join(&ticket, "late").ends();
        assert!(!succeeded && said.contains("does not take this ticket"), "{said}");
    });
}
