use super::*;
use throughline::Identity;

const TEXTS: [&str; 5] = [
    "identity = \"k\"  # mine\n\n# Berlin\n[peers.berlin]\nkey = \"x\" # theirs\n# allow = []\n",
    "identity = \"k\"\r\n[ingress.a]\r\n# metered = true\r\n",
    "\u{feff}identity = \"k\"\n",
    "identity = \"k\"\n\n\n",
    "",
];

fn key() -> PeerId {
    Identity::generate().peer_id()
}

fn invited(name: &str) -> Section {
    let allow = vec!["127.0.0.1:4000".to_owned()];
    Section { name: name.to_owned(), key: key(), once: None, allow, joined: false }
}

#[test]
fn every_other_byte_stays_as_it_is() {
    for text in TEXTS {
        let section = invited("site");
        let with = section.appended_to(text);
        assert!(with.starts_with(text), "{with}");
        assert_eq!(section.replaced(&with, None).unwrap(), text);
        let joined = Section { once: Some(key()), joined: true, ..invited("site") };
        let with = section.replaced(&with, Some((&joined, false))).unwrap();
        let done = Section { once: None, allow: vec!["localhost:22".to_owned()], ..joined.clone() };
        let with = joined.replaced(&with, Some((&done, true))).unwrap();
        assert_eq!(with, format!("{text}\n{}", done.text()));
        assert!(!with.contains(">>>") && !with.contains("<<<"), "{with}");
    }
    // A last line without its end gets one.
    let section = invited("site");
    assert_eq!(section.replaced(&section.appended_to("a = 1"), None).unwrap(), "a = 1\n");
}

#[test]
fn what_somebody_wrote_meanwhile_stays_and_a_section_that_was_changed_is_left_alone() {
    let section = invited("site");
    let with = section.appended_to(TEXTS[0]);
    let longer = format!("# first\n{with}# last\n");
    let without = section.replaced(&longer, None).unwrap();
    assert_eq!(without, format!("# first\n{}# last\n", TEXTS[0]));
    for changed in [with.replace("127.0.0.1:4000", "10.0.0.1:22"), TEXTS[0].to_owned()] {
        assert!(matches!(section.replaced(&changed, None), Err(EditError::Changed(_))));
        assert_eq!(tidied(&changed), changed);
    }
}

#[test]
fn what_a_killed_invitation_left_is_finished_or_removed() {
    let (one, other) = (invited("one"), invited("other"));
    let half = Section { once: Some(key()), joined: true, ..other.clone() };
    let allow = vec!["a:1".to_owned(), "127.0.0.1:4000".to_owned()];
    let most = Section { allow, joined: true, ..invited("third") };
    let left = most.appended_to(&half.appended_to(&one.appended_to(TEXTS[0])));
    let finished = |section: &Section, allow: &[&str]| {
        let allow = allow.iter().map(|&text| text.to_owned()).collect();
        Section { once: None, allow, ..section.clone() }.text()
    };
    let tidy = format!("{}\n{}\n{}", TEXTS[0], finished(&half, &[]), finished(&most, &["a:1"]));
    assert_eq!(tidied(&left), tidy);
    assert_eq!(tidied(&tidy), tidy);
}

#[test]
fn a_file_keeps_its_mode_and_a_link_stays_one() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let (file, link) = (directory.path().join("file"), directory.path().join("link"));
    fs::write(&file, "a").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    replace(&link, "b").unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "b");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    let lock = Lock::of(&link).unwrap();
    assert!(matches!(Lock::of(&file), Err(EditError::Locked)));
    drop(lock);
    assert!(Lock::of(&file).is_ok());
}
