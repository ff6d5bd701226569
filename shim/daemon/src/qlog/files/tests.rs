use std::path::Path;

use serde_json::Value;

use super::*;

const HEADER: &str =
    "\u{1e}{\"qlog_version\":\"0.3\",\"trace\":{\"vantage_point\":{\"type\":\"unknown\"}}}\n";

fn event(time: u32) -> String {
    format!("\u{1e}{{\"time\":{time}.0,\"name\":\"transport:packet_sent\",\"data\":{{}}}}\n")
}

fn part(connection: u64, records: String) -> QlogAnswer {
    QlogAnswer {
        connection,
        session: "1".repeat(32),
        lane: 3,
        uplink: Some("isp/a".to_owned()),
        local: "192.0.2.1:1".parse().unwrap(),
        remote: "198.51.100.1:5443".parse().unwrap(),
        dialed: true,
        began_ms: 1_764_510_000_000,
        is_up: true,
        records,
        dropped: 0,
        is_last: false,
    }
}

fn files(home: &Path, bounds: Bounds) -> LaneFiles {
    LaneFiles::new(Directory::open(home).unwrap(), "../of\u{7f}fice", bounds)
}

/// Returns the records of the only file.
fn read(home: &Path) -> Vec<Value> {
    let file = std::fs::read_dir(home).unwrap().next().unwrap().unwrap();
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert!(text.starts_with('\u{1e}') && text.ends_with('\n'));
    text.split('\u{1e}').skip(1).map(|record| serde_json::from_str(record).unwrap()).collect()
}

const LARGE: Bounds = Bounds { file: 1 << 20, files: 2 };

#[test]
fn a_file_says_which_lane_it_is_of_and_no_name_leads_out_of_its_directory() {
    let home = tempfile::tempdir().unwrap();
    let mut files = files(home.path(), LARGE);
    let notices = files.write(&part(7, HEADER.to_owned() + &event(1))).unwrap();
    let path = home.path().join("_of_fice-isp_a-l3-20251130T134000Z.sqlog");
    assert_eq!(notices, [Notice::Begun { lane: "l3 over isp/a".to_owned(), path }]);
    let records = read(home.path());
    assert_eq!(records.len(), 2);
    let trace = &records[0]["trace"];
    assert_eq!(trace["vantage_point"]["type"], "client");
    assert_eq!(trace["common_fields"]["reference_time"], 1_764_510_000_000_u64);
    assert!(records[0]["title"].as_str().unwrap().starts_with("lane l3 to "));
}

#[test]
fn what_is_no_header_is_written_as_it_is() {
    for first in ["\u{1e}5\n", "\u{1e}[]\n", "\u{1e}{\"trace\"\n", ""] {
        assert_eq!(header::complete(first, "office", &part(0, String::new())), first);
    }
}

#[test]
fn a_file_ends_whole_at_its_bound_and_says_so() {
    let home = tempfile::tempdir().unwrap();
    let mut files = files(home.path(), Bounds { file: 4096, files: 1 });
    files.write(&part(0, HEADER.to_owned())).unwrap();
    let many: String = (0..200).map(event).collect();
    let notices = files.write(&part(0, many.clone())).unwrap();
    assert!(matches!(&notices[..], [Notice::AtBound(_)]), "{notices:?}");
    // Nothing more is written, and nothing more is said.
    assert_eq!(files.write(&part(0, many.clone())).unwrap(), []);
    let records = read(home.path());
    let (last, before) = (records.last().unwrap(), &records[records.len() - 2]);
    assert_eq!(last["name"], "loglevel:warning");
    assert_eq!(last["time"], before["time"]);
    let (count, bytes) = files.written();
    assert!(count == 1 && (3000..=4096).contains(&bytes), "{bytes}");
    // And no other file is begun.
    let notices = files.write(&part(1, HEADER.to_owned() + &many)).unwrap();
    assert_eq!(notices, [Notice::NoMoreFiles("l3 over isp/a".to_owned())]);
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn dials_that_fail_leave_half_of_the_files_to_lanes() {
    let home = tempfile::tempdir().unwrap();
    let mut files = files(home.path(), Bounds { file: 1 << 20, files: 4 });
    let mut said = Vec::new();
    for connection in 0..50 {
        let begun = QlogAnswer { is_up: false, ..part(connection, HEADER.to_owned()) };
        assert_eq!(files.write(&begun).unwrap(), [], "nobody knows yet");
        said.extend(
            files.write(&QlogAnswer { is_last: true, records: event(1), ..begun }).unwrap(),
        );
    }
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 2);
    let is_of = |kind: fn(&Notice) -> bool| said.iter().filter(|notice| kind(notice)).count();
    assert_eq!(is_of(|notice| matches!(notice, Notice::NeverUp(_))), 2);
    assert_eq!(is_of(|notice| *notice == Notice::NoMoreDials(2)), 1, "{said:?}");
    // What follows has a file from its handshake on.
    let dial = QlogAnswer { is_up: false, ..part(90, HEADER.to_owned() + &event(1)) };
    assert_eq!(files.write(&dial).unwrap(), []);
    let notices = files.write(&part(90, event(2))).unwrap();
    let [Notice::Begun { path, .. }] = &notices[..] else { panic!("{notices:?}") };
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text.matches("packet_sent").count(), 2, "{text}");
}

#[test]
fn what_is_missing_is_said_where_it_is_missing() {
    let home = tempfile::tempdir().unwrap();
    let mut files = files(home.path(), LARGE);
    files.write(&part(0, HEADER.to_owned())).unwrap();
    let gap = QlogAnswer { dropped: 17, ..part(0, event(5)) };
    assert!(matches!(&files.write(&gap).unwrap()[..], [Notice::Dropped(_, 17)]));
    files.write(&QlogAnswer { is_last: true, ..part(0, event(9)) }).unwrap();
    let times: Vec<_> = read(home.path()).iter().skip(1).map(|r| r["time"].clone()).collect();
    assert_eq!(times, [5.0, 5.0, 9.0]);
    assert_eq!(read(home.path())[2]["data"]["message"], "17 events are missing here");
}

#[test]
fn a_full_disk_leaves_a_whole_file() {
    // What takes nothing more, as a full disk; only root can make one of a few bytes.
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/full", home.path().join("full")).unwrap();
    let path = home.path().join("full");
    let full = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let mut file = LaneFile::new((full, path), 1 << 20);
    let error = file.append(&event(1)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.length(), 0);
    assert!(!file.append(&event(2)).unwrap(), "it has ended");
}
