//! Every error that a command ends with says its code, and the program explains each.

use std::fs;

use throughline_daemon::catalogue::Code;

use crate::program::{Site, outcome};

/// Runs the program, and asserts its exit status and its code.
fn ends_with(code: &str, status: i32, arguments: &[&str]) {
    let (_, said) = outcome(arguments, status);
    let last = said.lines().last().unwrap_or_default();
    assert_eq!(last, format!("More: `throughline explain {code}`."), "{arguments:?}: {said}");
}

#[test]
fn every_code_is_explained() {
    for code in Code::ALL {
        let (said, _) = outcome(&["explain", &code.to_string()], 0);
        assert!(said.contains("Cause: ") && said.contains("Cure: "), "{said}");
    }
}

#[test]
fn what_is_wrong_in_a_file_has_a_code_of_its_kind() {
    let site = Site::new();
    let ours = site.keygen();
    let key = throughline::PeerId::from_bytes([1; 32]).to_string();
    let peer = format!("[peers.far]\nkey = '{key}'\n");
    for (code, text) in [
        ("TL0302", "listen = [".to_owned()),
        ("TL0302", "listen = 127.0.0.1:5443".to_owned()),
        ("TL0303", "listn = '127.0.0.1:5443'".to_owned()),
        ("TL0304", "[peers.far]".to_owned()),
        ("TL0304", "[uplinks.a]".to_owned()),
        ("TL0305", "listen = 'here'".to_owned()),
        ("TL0306", "linger = '1ms'".to_owned()),
        ("TL0307", format!("{peer}[[rule]]\nvia = 'near'")),
        ("TL0308", "listen = ['127.0.0.1:5443', '127.0.0.1:5443']".to_owned()),
        ("TL0308", format!("{peer}[peers.other]\nkey = '{key}'")),
        ("TL0309", "web-token-file = 'token'".to_owned()),
        ("TL0310", "[ingress.s]\nkind = 'socks5'\nlisten = '0.0.0.0:1080'".to_owned()),
        ("TL0105", format!("[peers.far]\nkey = '{ours}'")),
    ] {
        let config = site.config(&text);
        ends_with(code, 2, &["check", &config]);
        ends_with(code, 2, &["run", "-c", &config]);
    }
    ends_with("TL0301", 2, &["check", &site.name("none.toml")]);
    let config = site.config("");
    fs::remove_file(site.path("k")).unwrap();
    ends_with("TL0102", 1, &["check", &config]);
}

#[test]
fn what_a_command_ends_with_has_a_code() {
    let site = Site::new();
    site.keygen();
    let (key, config) = (site.name("k"), site.config(""));
    let nowhere = site.name("no.sock");
    ends_with("TL0401", 2, &["status", "--nonsense"]);
    ends_with("TL0401", 2, &["explain", "10.0.0.5:22"]);
    ends_with("TL0403", 1, &["keygen", &key]);
    ends_with("TL0120", 1, &["status", "--socket", &nowhere]);
    ends_with("TL0307", 2, &["explain", "10.0.0.5:22", "-c", &config, "--ingress", "none"]);
    ends_with("TL0412", 1, &["rotate-key", "-c", &config, "--finish"]);
    ends_with("TL0420", 1, &["nc", "--proxy", "127.0.0.1:1", "10.0.0.5", "22"]);
    ends_with("TL0420", 2, &["nc", "-c", &config, "10.0.0.5", "22"]);
    ends_with("TL0403", 1, &["manual", &site.name("no/such")]);
    ends_with("TL0407", 1, &["top", "--socket", &nowhere]);
    ends_with("TL0411", 1, &["join", "tlt1", "--directory", &site.name("new")]);
}
