use std::io::Write;

use super::queue::{MAX_ENDED, MAX_WAITING};
use super::trace::{MAX_HELD, Writer};
use super::*;

const PEER: PeerId = PeerId::from_bytes([1; 32]);
const LANE: (SessionId, LaneId) = (SessionId(9), LaneId(3));

fn ends() -> (SocketAddr, SocketAddr) {
    ("192.0.2.1:1".parse().unwrap(), "198.51.100.1:5443".parse().unwrap())
}

/// Writes a record as quinn does: a few bytes at a time, and the end of the line last.
fn write(writer: &mut Writer, record: &str) {
    for bytes in record.as_bytes().chunks(7) {
        writer.write_all(bytes).unwrap();
    }
    writer.write_all(b"\n").unwrap();
}

fn dial(qlogs: &Qlogs, uplink: &str) -> Trace {
    qlogs.of_dial(PEER, LANE, uplink, ends())
}

/// Returns the only part that waits.
fn only(queue: &Queue) -> QlogPart {
    let parts = queue.take();
    assert_eq!(parts.len(), 1, "{parts:?}");
    parts.into_iter().next().unwrap()
}

#[test]
fn a_connection_of_which_nobody_reads_the_qlog_has_no_writer_and_is_left_alone() {
    let qlogs = Qlogs::default();
    let (before, accepted) = (dial(&qlogs, "isp-a"), qlogs.of_accepted());
    assert!(before.writer().is_none() && accepted.writer().is_none());
    assert!(!qlogs.outdates(&before, PEER, Some("isp-a")));
    // Somebody reads that of lanes over one uplink: over it the lane is to be replaced.
    let queue = qlogs.begin(PEER, Some("isp-a".to_owned())).unwrap();
    assert!(qlogs.begin(PEER, None).is_none(), "somebody reads it already");
    assert!(qlogs.outdates(&before, PEER, Some("isp-a")));
    assert!(!qlogs.outdates(&before, PEER, Some("isp-b")));
    assert!(!qlogs.outdates(&before, PeerId::from_bytes([2; 32]), Some("isp-a")));
    assert!(dial(&qlogs, "isp-b").writer().is_none());
    let during = dial(&qlogs, "isp-a");
    let writer = during.writer();
    assert!(writer.is_some() && !qlogs.outdates(&during, PEER, Some("isp-a")));
    // And when nobody does any more, the one with a writer.
    qlogs.end(&queue);
    assert!(writer.is_some_and(|mut writer| writer.write_all(b"to nobody\n").is_ok()));
    assert!(qlogs.outdates(&during, PEER, Some("isp-a")));
    assert!(!qlogs.outdates(&before, PEER, Some("isp-a")));
    assert!(dial(&qlogs, "isp-a").writer().is_none());
}

#[test]
fn whole_records_are_read_and_the_end_of_the_connection() {
    let qlogs = Qlogs::default();
    let queue = qlogs.begin(PEER, None).unwrap();
    let trace = dial(&qlogs, "isp-a");
    let mut writer = trace.writer().unwrap();
    write(&mut writer, "the first record");
    writer.write_all(b"half of").unwrap();
    let part = only(&queue);
    assert_eq!((part.records.as_slice(), part.is_last), (&b"the first record\n"[..], false));
    assert_eq!((part.lane.lane, part.lane.is_up), (LANE, false));
    assert_eq!(queue.take(), []);
    write(&mut writer, " another");
    qlogs.attached(&trace, PEER, LANE, Some("isp-a"), ends());
    drop(writer);
    let part = only(&queue);
    assert_eq!((part.records.as_slice(), part.is_last), (&b"half of another\n"[..], true));
    assert!(part.lane.is_up && part.dropped == 0);
    assert_eq!(queue.take(), []);
}

#[test]
fn what_is_not_read_in_time_is_dropped_and_counted_and_nothing_follows_before_that_is_told() {
    let qlogs = Qlogs::default();
    let queue = qlogs.begin(PEER, None).unwrap();
    let mut writer = dial(&qlogs, "isp-a").writer().unwrap();
    let record = "x".repeat(999);
    let fitting = MAX_WAITING / 1000;
    for _ in 0..fitting + 5 {
        write(&mut writer, &record);
    }
    write(&mut writer, "a short one, for which there would be room");
    let part = only(&queue);
    assert_eq!((part.records.len(), part.dropped), (fitting * 1000, 6));
    write(&mut writer, "after the gap");
    assert_eq!(only(&queue).records, b"after the gap\n");
}

#[test]
fn an_accepted_connection_is_read_once_it_is_known_whose_it_is() {
    let qlogs = Qlogs::default();
    let queue = qlogs.begin(PEER, None).unwrap();
    let [mine, others, nobodys] = [(); 3].map(|()| qlogs.of_accepted());
    let mut writers = [&mine, &others, &nobodys].map(|trace| trace.writer().unwrap());
    writers.iter_mut().for_each(|writer| write(writer, "handshake"));
    assert_eq!(queue.take(), []);
    let other = PeerId::from_bytes([2; 32]);
    qlogs.attached(&mine, PEER, LANE, None, ends());
    qlogs.attached(&others, other, LANE, None, ends());
    writers.iter_mut().for_each(|writer| write(writer, "lane"));
    drop(writers);
    let part = only(&queue);
    assert_eq!(part.records, b"handshake\nlane\n");
    assert!(!part.lane.dialed && part.lane.is_up && part.is_last);
    // The next one that the other peer dials would have a writer as well.
    assert!(!qlogs.outdates(&others, other, None));
    qlogs.end(&queue);
    assert!(qlogs.outdates(&others, other, None));
}

#[test]
fn little_is_held_of_who_is_not_known() {
    let qlogs = Qlogs::default();
    let queue = qlogs.begin(PEER, None).unwrap();
    let trace = qlogs.of_accepted();
    let mut writer = trace.writer().unwrap();
    let record = "x".repeat(1023);
    for _ in 0..200 {
        write(&mut writer, &record);
    }
    qlogs.attached(&trace, PEER, LANE, None, ends());
    let part = only(&queue);
    assert_eq!((part.records.len(), part.dropped), (MAX_HELD, 200 - (MAX_HELD as u64 >> 10)));
}

#[test]
fn of_connections_that_are_over_and_that_nobody_reads_the_earliest_are_forgotten() {
    let qlogs = Qlogs::default();
    let queue = qlogs.begin(PEER, None).unwrap();
    let lane = dial(&qlogs, "isp-a").writer().unwrap();
    let failing = || {
        let mut writer = dial(&qlogs, "isp-b").writer().unwrap();
        write(&mut writer, "no answer");
    };
    (0..MAX_ENDED + 10).for_each(|_| failing());
    let mut lane = lane;
    write(&mut lane, "it goes on");
    let parts = queue.take();
    assert_eq!(parts.len(), 1 + MAX_ENDED);
    assert_eq!(parts[0].records, b"it goes on\n");
    assert_eq!(parts[1].lane.connection, parts[0].lane.connection + 11);
    // Once they are read there is room for as many again.
    (0..MAX_ENDED).for_each(|_| failing());
    assert_eq!(queue.take().len(), MAX_ENDED);
}
