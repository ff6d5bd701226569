//! A socket that reads the native protocol as journald does, and one that does not read.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Instant;

use tracing::{error, info, warn};
use tracing_subscriber::layer::SubscriberExt;

use super::*;

/// Somebody who listens as journald does.
struct Journald {
    socket: UnixDatagram,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

impl Journald {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { socket, path, _directory: directory }
    }

    /// Logs to it as the daemon does.
    fn of(&self, log: impl FnOnce(&Outlet)) {
        let outlet = Arc::new(Outlet::open(&self.path).unwrap());
        let subscriber = tracing_subscriber::registry().with(Journal(outlet.clone()));
        tracing::subscriber::with_default(subscriber, || log(&outlet));
    }

    /// Reads the next entry; each field is there once.
    fn entry(&self) -> HashMap<String, String> {
        let mut buffer = vec![0; 1 << 17];
        let length = loop {
            match self.socket.recv(&mut buffer).unwrap() {
                0 => {}
                length => break length,
            }
        };
        let (mut rest, mut fields) = (&buffer[..length], HashMap::new());
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let name = String::from_utf8(rest[..end].to_vec()).unwrap();
            assert!(name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
            let (size, after) = rest[end + 1..].split_first_chunk::<8>().unwrap();
            let size = usize::try_from(u64::from_le_bytes(*size)).unwrap();
            let value = String::from_utf8(after[..size].to_vec()).unwrap();
            assert_eq!(after[size], b'\n', "{name}");
            assert_eq!(fields.insert(name, value), None);
            rest = &after[size + 1..];
        }
        assert!(rest.is_empty(), "{rest:?}");
        fields
    }
}

#[test]
fn an_event_is_an_entry_with_its_fields() {
    let journald = Journald::start();
    journald.of(|_| {
        let peer = "branch";
        warn!(%peer, event = "lane-down", lane = 3, none = None::<u64>, "lane {} down", 3);
        info!("up");
        error!("bad");
    });
    let entry = journald.entry();
    for (name, value) in [
        ("PRIORITY", "4"),
        ("MESSAGE", "lane 3 down peer=branch event=lane-down lane=3"),
        ("SYSLOG_IDENTIFIER", "throughline"),
        ("TARGET", "throughline_daemon::journal::tests"),
        ("THROUGHLINE_PEER", "branch"),
        ("THROUGHLINE_EVENT", "lane-down"),
        ("THROUGHLINE_LANE", "3"),
    ] {
        assert_eq!(entry[name], value, "{name}");
    }
    assert!(entry["CODE_FILE"].ends_with("tests.rs") && entry["CODE_LINE"].parse::<u32>().is_ok());
    assert_eq!(entry.len(), 9, "{entry:?}");
    assert_eq!(["6", "3"].map(|_| journald.entry()["PRIORITY"].clone()), ["6", "3"]);
}

#[test]
fn a_value_can_forge_neither_a_field_nor_a_line() {
    let journald = Journald::start();
    let forged = "x\nPRIORITY=0\nMESSAGE=all is well\u{1b}[2J\0";
    journald.of(|_| info!(%forged, "bad: {forged}"));
    let entry = journald.entry();
    assert_eq!(entry["PRIORITY"], "6");
    let shown = "x\u{fffd}PRIORITY=0\u{fffd}MESSAGE=all is well\u{fffd}[2J\u{fffd}";
    assert_eq!(entry["THROUGHLINE_FORGED"], shown);
    assert_eq!(entry["MESSAGE"], format!("bad: {shown} forged={shown}"));
}

#[test]
fn a_long_value_is_shortened_and_a_long_entry_has_fewer_fields() {
    let journald = Journald::start();
    // What is shown of a line feed is three bytes.
    for long in ["ä".repeat(40_000), "\n".repeat(2_700)] {
        journald.of(|_| {
            let l = &long;
            info!(a = l, b = l, c = l, d = l, e = l, f = l, g = l, h = l, i = l, "long");
        });
        let entry = journald.entry();
        assert!(entry["MESSAGE"].len() <= entry::MAX_VALUE && entry["MESSAGE"].ends_with('…'));
        let length: usize = entry.iter().map(|(name, value)| name.len() + value.len() + 10).sum();
        assert!(length <= entry::MAX_ENTRY, "{length}");
        assert!(entry.contains_key("THROUGHLINE_A") && !entry.contains_key("THROUGHLINE_I"));
    }
}

#[test]
fn where_journald_is_stuck_whoever_logs_goes_on_and_what_is_lost_is_told_where_it_is_missing() {
    const LINES: u64 = 20_000;
    let journald = Journald::start();
    journald.of(|outlet| {
        let began = Instant::now();
        for line in 0..LINES {
            info!(line, "{}", "x".repeat(200));
        }
        let took = began.elapsed();
        assert!(took < Duration::from_secs(10), "{took:?}");
        // Nor does the end of the process wait for long.
        let began = Instant::now();
        outlet.flush(Duration::from_millis(50));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        let mut expected = 0;
        let lost: u64 = loop {
            let entry = journald.entry();
            if let Some(lost) = entry.get("THROUGHLINE_LOST") {
                assert_eq!(entry["PRIORITY"], "4");
                break lost.parse().unwrap();
            }
            assert_eq!(entry["THROUGHLINE_LINE"], expected.to_string());
            expected += 1;
        };
        assert_eq!(expected + lost, LINES);
        // A mebibyte of them has waited, no more.
        assert!((1_000..4_000).contains(&expected), "{expected}");
        outlet.flush(Duration::from_secs(10));
        info!(line = LINES, "again");
        assert_eq!(journald.entry()["THROUGHLINE_LINE"], LINES.to_string());
    });
}

#[test]
fn a_journald_that_starts_anew_gets_what_was_logged_meanwhile() {
    let mut journald = Journald::start();
    let outlet = Arc::new(Outlet::open(&journald.path).unwrap());
    let subscriber = tracing_subscriber::registry().with(Journal(outlet.clone()));
    std::fs::remove_file(&journald.path).unwrap();
    tracing::subscriber::with_default(subscriber, || info!(line = 1, "meanwhile"));
    journald.socket = UnixDatagram::bind(&journald.path).unwrap();
    journald.socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    assert_eq!(journald.entry()["THROUGHLINE_LINE"], "1");
}

#[test]
fn without_journald_it_cannot_be_opened() {
    let directory = tempfile::tempdir().unwrap();
    assert!(Outlet::open(&directory.path().join("socket")).is_err());
}

#[test]
fn stderr_is_the_journal_where_device_and_inode_say_so() {
    let file = tempfile::tempfile().unwrap();
    let metadata = file.metadata().unwrap();
    let (device, inode) = (metadata.dev(), metadata.ino());
    assert!(is_file(&file, &format!("{device}:{inode}")));
    for other in [format!("{device}:{}", inode + 1), format!("{inode}"), String::new()] {
        assert!(!is_file(&file, &other), "{other}");
    }
}
