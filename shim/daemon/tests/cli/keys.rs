//! Keys: made, shown, refused.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use super::program::*;

#[test]
fn keygen_writes_a_private_file_and_id_prints_the_same_key() {
    let site = Site::new();
    let key = site.keygen();
    assert!(key.starts_with("tlk1") && key.len() == 56, "{key}");
    let mode = fs::metadata(site.path("k")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(outcome(&["id", &site.name("k")], 0).0.trim(), key);
}

#[test]
fn keygen_reports_a_missing_directory_with_a_hint() {
    let site = Site::new();
    let (_, stderr) = outcome(&["keygen", &site.name("nodir/x.key")], 1);
    let expected = format!("There is no directory {}", site.name("nodir"));
    assert!(stderr.contains(&expected) && stderr.contains("mkdir -p"), "{stderr}");
}

#[test]
fn keygen_never_overwrites_a_file() {
    let site = Site::new();
    let key = site.keygen();
    let (stdout, stderr) = outcome(&["keygen", &site.name("k")], 1);
    assert!(stdout.is_empty() && stderr.contains(&site.name("k")), "{stderr}");
    assert_eq!(outcome(&["id", &site.name("k")], 0).0.trim(), key);
}

#[test]
fn an_identity_file_that_others_can_read_is_refused() {
    let site = Site::new();
    site.keygen();
    fs::set_permissions(site.path("k"), fs::Permissions::from_mode(0o644)).unwrap();
    let config = site.config("");
    for arguments in [&["id", &site.name("k")][..], &["check", &config], &["run", "-c", &config]] {
        let (_, stderr) = outcome(arguments, 1);
        assert!(stderr.contains(&site.name("k")), "{stderr}");
    }
}

#[test]
fn a_missing_or_invalid_identity_file_is_reported_with_a_hint() {
    let site = Site::new();
    let config = site.config("");
    let key = site.name("k");
    let hint = format!("make one with `throughline keygen {key}`");
    for arguments in [&["id", &key][..], &["check", &config], &["run", "-c", &config]] {
        let (_, stderr) = outcome(arguments, 1);
        assert!(stderr.contains(&format!("error: No identity file at {key}; {hint}")), "{stderr}");
    }
    fs::write(site.path("k"), "not a key").unwrap();
    fs::set_permissions(site.path("k"), fs::Permissions::from_mode(0o600)).unwrap();
    for arguments in [&["id", &key][..], &["check", &config], &["run", "-c", &config]] {
        let (_, stderr) = outcome(arguments, 1);
        assert!(stderr.contains(&format!("{key} is not an Ed25519 private key")), "{stderr}");
        assert!(stderr.contains("throughline keygen"), "{stderr}");
    }
}

#[test]
fn an_unreadable_identity_file_is_reported() {
    let site = Site::new();
    site.keygen();
    fs::set_permissions(site.path("k"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(site.path("k")).is_ok() {
        let reason = "this user (root) can read every file; run the tests as another user";
        // Not through libtest, which hides the output of tests that pass.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: an_unreadable_identity_file_is_reported: {reason}"
        );
        return;
    }
    let (_, stderr) = outcome(&["id", &site.name("k")], 1);
    assert!(
        stderr.contains(&format!("error: Cannot read identity file {}", site.name("k"))),
        "{stderr}"
    );
}

#[test]
fn a_key_that_is_a_credential_is_not_replaced_where_it_is() {
    let site = Site::new();
    let key = "/run/credentials/throughline.service/identity.key";
    fs::write(site.path("t.toml"), format!("identity = '{key}'\n")).unwrap();
    for finish in [&[][..], &["--finish"]] {
        let (_, stderr) =
            outcome(&[&["rotate-key", "-c", &site.name("t.toml")], finish].concat(), 1);
        assert!(stderr.contains(&format!("The key {key} is a systemd credential")), "{stderr}");
        assert!(stderr.contains("LoadCredential= names"), "{stderr}");
    }
}

#[test]
fn a_key_is_not_changed_where_no_daemon_answers() {
    let site = Site::new();
    let key = site.keygen();
    let config = site.config("");
    outcome(&["rotate-key", "-c", &config], 0);
    let other = site.name("other.sock");
    let elsewhere = ["rotate-key", "-c", &config, "--finish", "--socket", &other];
    for (arguments, socket) in [(&elsewhere[..4], site.name("t.sock")), (&elsewhere, other.clone())]
    {
        let (_, stderr) = outcome(arguments, 1);
        assert!(stderr.contains(&format!("no daemon answers at {socket}")), "{stderr}");
        assert!(stderr.contains("--socket PATH"), "{stderr}");
    }
    assert_eq!(outcome(&["id", &site.name("k")], 0).0.trim(), key);
    assert!(site.path("k.next").exists());
}
