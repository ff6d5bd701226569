use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_created_identity_is_loaded_again_and_only_its_owner_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity.key");
    let created = Identity::create(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let loaded = Identity::load(&path).unwrap();
    assert_eq!(created.peer_id(), loaded.peer_id());
    assert_eq!(
        created.derive("throughline stateless reset", "a"),
        loaded.derive("throughline stateless reset", "a"),
        "a restarted node knows its old reset key"
    );
}

#[test]
fn a_key_that_openssl_wrote_is_accepted() {
    // RFC 8410 §10.3, the example without a public key.
    let pem = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
        -----END PRIVATE KEY-----\n";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("k");
    fs::write(&path, pem).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let id = Identity::load(&path).unwrap().peer_id();
    let public = data_encoding::BASE64.decode(b"Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=");
    assert_eq!(id.as_bytes().as_slice(), public.unwrap());
}

#[test]
fn an_identity_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity.key");
    let first = Identity::create(&path).unwrap();
    assert!(matches!(Identity::create(&path), Err(IdentityError::Exists { .. })));
    assert_eq!(Identity::load(&path).unwrap().peer_id(), first.peer_id());
}

#[test]
fn a_missing_file_says_how_to_make_one() {
    let error = Identity::load("/nonexistent/identity.key").unwrap_err().to_string();
    assert!(error.contains("throughline keygen /nonexistent/identity.key"), "{error}");
}

#[test]
fn a_file_that_others_can_read_is_refused_with_the_cure() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity.key");
    Identity::create(&path).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = Identity::load(&path).unwrap_err();
        assert!(matches!(error, IdentityError::Exposed { mode: seen, .. } if seen == mode));
        assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())));
    }
}

#[test]
fn a_file_without_such_a_key_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("identity.key");
    let rsa_like = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    for text in ["", "hello", rsa_like, "-----BEGIN PRIVATE KEY-----\n"] {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = Identity::load(&path).unwrap_err();
        assert!(matches!(error, IdentityError::NotAKey { .. }), "{text:?}: {error}");
    }
    assert!(matches!(Identity::load(dir.path()), Err(IdentityError::NotAKey { .. })));
}

#[test]
fn debug_prints_the_public_half_only() {
    let identity = Identity::generate();
    let text = format!("{identity:?}");
    assert_eq!(text, format!("Identity({})", identity.peer_id().short()));
}

#[test]
fn every_label_and_context_has_a_secret_of_its_own() {
    let identity = Identity::generate();
    let all = [("a", "x"), ("a", "y"), ("b", "x"), ("ax", ""), ("", "ax")];
    let mut seen: Vec<_> = all.iter().map(|(l, c)| identity.derive(l, c)).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), all.len());
}

#[test]
fn a_seed_is_the_private_key_of_rfc_8032() {
    // §7.1, test 1.
    let hex = |text: &str| -> [u8; 32] {
        data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
    };
    let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let public = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    assert_eq!(Identity::from_seed(&seed).peer_id(), PeerId::from_bytes(public));
}
