use super::*;

mod table;

fn note(log: &EventLog, bytes: u64) {
    log.emit(Subject::default(), EventKind::Hedged { bytes, instead_of: vec![] });
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
async fn a_follower_that_lags_learns_how_many_it_missed_and_goes_on() {
    let log = EventLog::default();
    let mut live = log.follow().live;
    (0..MAX_BEHIND as u64 + 7).for_each(|i| note(&log, i));
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
    let target = "a:1".parse().unwrap();
    (0..5000).for_each(|_| log.emit_flow_refused(Subject::default(), &target, "no"));
    let recent = log.follow().recent;
    assert!((1..=2 * quota::MAX_REFUSED_PER_SECOND).contains(&recent.len()), "{}", recent.len());
    let next_second = Instant::now() + Duration::from_secs(1);
    let mut ring = log.0.lock();
    let refused = &mut ring.quota(&Subject::default()).refused_flows;
    let suppressed = refused.admit(next_second, Distinct).unwrap();
    let occurrences = |event: &Event| match event.kind {
        EventKind::FlowRefused { suppressed, .. } => suppressed + 1,
        _ => panic!("{event:?}"),
    };
    assert_eq!(recent.iter().map(|event| occurrences(event)).sum::<u64>() + suppressed, 5000);
}

#[test]
fn an_unknown_peer_is_reported_once_a_minute_and_a_flood_of_keys_is_cut_off_and_counted() {
    let (log, remote) = (EventLog::default(), "192.0.2.7:5443".parse().unwrap());
    let key = |i: u16| PeerId::from_bytes(std::array::from_fn(|at| i.to_be_bytes()[at % 2]));
    (0..50).for_each(|_| log.emit_unknown_peer(key(0), remote));
    (0..5000).for_each(|i| log.emit_unknown_peer(key(i), remote));
    let recent = log.follow().recent;
    assert_eq!(recent.len(), MAX_UNKNOWN_PEERS_PER_MINUTE);
    let suppressed = |event: &Event| match event.kind {
        EventKind::UnknownPeerRejected { suppressed, .. } => suppressed,
        _ => panic!("{event:?}"),
    };
    let first = (suppressed(&recent[0]), suppressed(&recent[1]), suppressed(&recent[2]));
    assert_eq!(first, (0, 50, 0));
}

#[test]
fn a_peer_that_causes_a_flood_is_cut_off_counted_and_silences_no_other() {
    let log = EventLog::default();
    let of = |name: &str| Subject { peer: Some(name.into()), ..Subject::default() };
    let target = "a:1".parse().unwrap();
    (0..5000).for_each(|_| log.emit(of("loud"), EventKind::SessionUp));
    (0..100).for_each(|_| log.emit_flow_refused(of("loud"), &target, "no"));
    (0..50).for_each(|_| log.emit(of("quiet"), EventKind::SessionUp));
    log.emit_flow_refused(of("quiet"), &target, "no");
    let recent = log.follow().recent;
    let count = |name: &str| recent.iter().filter(|e| e.peer == of(name).peer).count();
    assert!((256..300).contains(&count("loud")), "{}", count("loud"));
    assert_eq!(count("quiet"), 51);
    let notice = |e: &&Arc<Event>| matches!(e.kind, EventKind::EventsSuppressed { .. });
    assert_eq!(recent.iter().filter(notice).count(), 1);
    let lines = |name: &str| (0..100).filter(|_| log.admits_line(&name.into())).count();
    assert!((32..40).contains(&lines("loud")) && lines("quiet") < 40);
}
