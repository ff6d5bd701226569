use super::limit::{REFUSED_A_SECOND, STRANGERS_A_MINUTE};
use super::*;
use std::time::Duration;

fn note(log: &EventLog, bytes: u64) {
    log.tell(Subject::default(), EventKind::Hedged { bytes, instead_of: vec![] });
}

fn seqs(events: &[Arc<Event>]) -> Vec<u64> {
    events.iter().map(|event| event.seq).collect()
}

#[tokio::test]
async fn the_last_thousand_are_kept_and_what_follows_has_no_gap() {
    let log = EventLog::default();
    (0..1234).for_each(|i| note(&log, i));
    let Events { recent, mut live } = log.follow();
    assert_eq!(seqs(&recent), (234..1234).collect::<Vec<_>>());
    note(&log, 1234);
    let Some(Followed::Event(event)) = live.next().await else { panic!() };
    assert_eq!(event.seq, 1234);
}

#[tokio::test]
async fn a_follower_that_lags_is_told_how_many_it_missed_and_goes_on() {
    let log = EventLog::default();
    let mut live = log.follow().live;
    (0..BEHIND as u64 + 7).for_each(|i| note(&log, i));
    assert_eq!(live.next().await, Some(Followed::Missed(7)));
    let Some(Followed::Event(event)) = live.next().await else { panic!() };
    assert_eq!(event.seq, 7);
}

#[tokio::test]
async fn a_stream_ends_with_its_log() {
    let log = EventLog::default();
    let mut live = log.follow().live;
    note(&log, 1);
    drop(log);
    assert!(matches!(live.next().await, Some(Followed::Event(_))));
    assert_eq!(live.next().await, None);
}

#[test]
fn refused_flows_do_not_push_out_the_rest_and_are_counted() {
    let log = EventLog::default();
    (0..5000).for_each(|_| log.refused(Subject::default(), "a:1", "no"));
    assert!(log.follow().recent.len() <= 2 * REFUSED_A_SECOND as usize);
    let mut refusals = Refusals::default();
    let t = Instant::now();
    let told = (0..25).filter(|_| refusals.next(t).is_some()).count();
    assert_eq!(told, REFUSED_A_SECOND as usize);
    assert_eq!(refusals.next(t + Duration::from_secs(1)), Some(15));
    assert_eq!(refusals.next(t + Duration::from_secs(1)), Some(0));
}

#[test]
fn a_stranger_is_told_once_a_minute_and_a_flood_of_new_keys_is_cut_off_and_counted() {
    let (log, remote) = (EventLog::default(), "192.0.2.7:5443".parse().unwrap());
    let key = |i: u16| PeerId::from_bytes(std::array::from_fn(|at| i.to_be_bytes()[at % 2]));
    (0..50).for_each(|_| log.stranger(key(0), remote));
    (0..5000).for_each(|i| log.stranger(key(i), remote));
    let told = log.follow().recent;
    assert_eq!(told.len(), STRANGERS_A_MINUTE);
    let besides = |event: &Event| match event.kind {
        EventKind::StrangerRefused { besides, .. } => besides,
        _ => panic!("{event:?}"),
    };
    assert_eq!((besides(&told[0]), besides(&told[1]), besides(&told[2])), (0, 50, 0));
}

#[test]
fn an_event_reads_like_a_sentence() {
    let ms = Duration::from_millis;
    let by = Suspicion::Ours { rule: throughline_proto::health::Rule::Bulk, silent: ms(12) };
    for (kind, text) in [
        (
            EventKind::LaneSuspected { by, besides: 0 },
            "lane suspected: nothing acknowledged for 12 ms (bulk rule)",
        ),
        (
            EventKind::LaneSuspected { by: Suspicion::Peers, besides: 3 },
            "lane suspected by the peer: it gets no acknowledgement (and 3 times for a moment before)",
        ),
        (
            EventKind::Hedged { bytes: 48_200, instead_of: vec![LaneId(0), LaneId(3)] },
            "hedged: 48.2 kB sent again here instead of on l0, l3",
        ),
        (EventKind::LaneHealed { after: ms(2700) }, "lane answers again after 2.7 s"),
        (
            EventKind::LaneDown { why: "nothing heard for 10 s".into(), after: ms(7_300_000) },
            "lane down after 2 h: nothing heard for 10 s",
        ),
        (
            EventKind::FlowRefused { target: "a:1".into(), why: "no".into(), besides: 2 },
            "flow to a:1 refused: no (and 2 others before it)",
        ),
        (
            EventKind::PeerUnreachable {
                dial: Some(("192.0.2.7".parse().unwrap(), "203.0.113.5:5443".parse().unwrap())),
                why: "no answer within 4s".into(),
                after: ms(4000),
            },
            "peer not reached for 4.0 s; the last dial, from 192.0.2.7 to 203.0.113.5:5443: no answer within 4s",
        ),
        (
            EventKind::PeerUnreachable {
                dial: None,
                why: "no uplink has an address".into(),
                after: ms(0),
            },
            "peer not reached: no uplink has an address",
        ),
    ] {
        assert_eq!(kind.to_string(), text);
    }
}
