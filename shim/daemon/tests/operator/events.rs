//! What `throughline events` shows while things happen.

use std::time::Duration;

use throughline_daemon::admin::{self, EventReport, EventUpdate, UplinkChange};
use throughline_emulator::Way;
use throughline_fixture::{DEADLINE, alone};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::flows::{Flows, connect};
use super::site::start_pair;

/// Bounds an outage: lanes that migrate from one dead path to another end at QUIC's idle timeout, 30 s.
const OUTAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the events so far.
async fn recent_events(socket: &std::path::Path) -> Vec<EventReport> {
    let mut events = admin::events(socket, false).await.unwrap();
    let mut all = Vec::new();
    while let Some(EventUpdate::Event(event)) = events.next().await.unwrap() {
        all.push(*event);
    }
    all
}

fn find<'a>(events: &'a [EventReport], kind: &str) -> Vec<&'a EventReport> {
    events.iter().filter(|event| event.event == kind).collect()
}

fn text(events: &[EventReport]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_set_up_of_a_session_emits_events_with_names_and_times() {
    let _alone = alone().await;
    let pair = start_pair().await;
    for (socket, peer, dialed) in
        [(pair.near_socket(), "far", true), (pair.far_socket(), "near", false)]
    {
        let events = recent_events(&socket).await;
        let up = find(&events, "lane-up");
        assert!(up.len() >= 2, "{}", text(&events));
        for event in &up {
            assert_eq!(event.peer.as_deref(), Some(peer));
            assert_eq!(*event.field("dialed"), dialed);
            let setup = event.field("setup_ms").as_f64().unwrap();
            // At least the round trips of a handshake over 20 ms.
            assert!((20.0..10_000.0).contains(&setup), "{event}");
            assert_eq!(event.session.as_ref().unwrap().len(), 32);
            assert!(!event.field("local").as_str().unwrap().ends_with(":0"), "{event}");
        }
        if dialed {
            let mut uplinks: Vec<_> = up.iter().filter_map(|e| e.uplink.as_deref()).collect();
            uplinks.sort_unstable();
            uplinks.dedup();
            assert_eq!(uplinks, ["isp-a", "isp-b"]);
        }
        assert_eq!(find(&events, "session-up").len(), 1, "{}", text(&events));
        let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (0..events.len() as u64).collect::<Vec<_>>());
    }
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blackhole_emits_events_from_suspicion_to_recovery() {
    let _alone = alone().await;
    let pair = start_pair().await;
    let flows = Flows::start(pair.socks()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    pair.isp("isp-a").blackhole(Way::Both);
    // The dial beside the lane begins after a second and sends its packets again after 0.3 and 0.9 s: in between
    // only the lane's own probes, ten a second, can find the path well.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    pair.isp("isp-a").heal(Way::Both);
    let recovered = |events: &[EventReport]| {
        find(events, "lane-recovered").iter().any(|e| {
            e.uplink.as_deref() == Some("isp-a")
                && e.field("duration_ms").as_f64().is_some_and(|ms| ms > 1000.0)
        })
    };
    pair.until("the near end reports the recovery", async |pair| {
        recovered(&recent_events(&pair.near_socket()).await)
    })
    .await;
    flows.end().await;

    let events = recent_events(&pair.near_socket()).await;
    let is_suspicion =
        |e: &&EventReport| e.uplink.as_deref() == Some("isp-a") && *e.field("detected_by") == "us";
    let suspected = events.iter().find(is_suspicion).unwrap_or_else(|| panic!("{}", text(&events)));
    assert_eq!(suspected.event, "lane-suspected");
    assert!(suspected.field("silence_ms").as_f64().unwrap() >= 9.0, "{suspected}");
    assert!(["bulk", "thin"].contains(&suspected.field("rule").as_str().unwrap()));
    // The upload's bytes went over the other lane.
    let hedged = find(&events, "hedged");
    let over_b = hedged.iter().find(|e| e.uplink.as_deref() == Some("isp-b"));
    let over_b = over_b.unwrap_or_else(|| panic!("{}", text(&events)));
    assert!(over_b.field("bytes").as_u64().unwrap() > 0);
    let instead_of = over_b.field("instead_of").as_array().unwrap();
    assert!(instead_of.contains(&suspected.lane.unwrap().into()), "{over_b}");
    assert!(!instead_of.contains(&over_b.lane.unwrap().into()), "{over_b}");
    // It failed while the other answered, for longer than a spurious suspicion lasts.
    let held = find(&events, "hold-down-started");
    let held_a = held.iter().find(|e| e.uplink.as_deref() == Some("isp-a"));
    let held_a = held_a.unwrap_or_else(|| panic!("{}", text(&events)));
    // How long the failure lasts, and so the hold (twice that, up to ten seconds), is not known when it begins:
    // the event says the least, a second at the first failure.
    assert_eq!(*held_a.field("duration_ms"), 1_000.0, "{held_a}");
    assert!(!held.iter().any(|e| e.uplink.as_deref() == Some("isp-b")), "{}", text(&events));
    println!("{}", text(&events));
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_way_failure_is_reported_at_both_ends() {
    let _alone = alone().await;
    let pair = start_pair().await;
    let flows = Flows::start(pair.socks()).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    // The near end's packets are lost; the far end's arrive.
    pair.isp("isp-a").blackhole(Way::Up);
    pair.until("the near end reports it", async |pair| {
        let events = recent_events(&pair.near_socket()).await;
        let reported = find(&events, "lane-one-way");
        assert!(reported.iter().all(|e| *e.field("detected_by") == "us"), "{}", text(&events));
        reported.iter().any(|e| e.uplink.as_deref() == Some("isp-a"))
    })
    .await;
    pair.until("the far end reports it too, as the near end does", async |pair| {
        let events = recent_events(&pair.far_socket()).await;
        let reported = find(&events, "lane-one-way");
        assert!(reported.iter().all(|e| *e.field("detected_by") == "peer"), "{}", text(&events));
        !reported.is_empty()
    })
    .await;
    flows.end().await;
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_lanes_is_detached_and_resumed_and_followers_see_it() {
    let pair = start_pair().await;
    let mut followed = admin::events(&pair.near_socket(), true).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut app = connect(pair.socks(), listener.local_addr().unwrap()).await.unwrap();
    let (mut served, _) = listener.accept().await.unwrap();
    for isp in ["isp-a", "isp-b"] {
        pair.isp(isp).blackhole(Way::Both);
    }
    app.write_all(b"hello").await.unwrap();
    let mut wait_for = async |kind: &str| {
        let found = async {
            loop {
                match followed.next().await.unwrap().expect("the stream ended") {
                    EventUpdate::Event(event) if event.event == kind => return event,
                    EventUpdate::Event(_) => {}
                    EventUpdate::Missed(missed) => panic!("missed {missed}"),
                }
            }
        };
        timeout(OUTAGE_TIMEOUT, found).await.unwrap_or_else(|_| panic!("no {kind}"))
    };
    let down = wait_for("lane-down").await;
    assert!(!down.field("reason").as_str().unwrap().is_empty(), "{down}");
    let detached = wait_for("session-detached").await;
    assert_eq!(*detached.field("linger_ms"), 12.0 * 3600.0 * 1e3);
    let report = pair.near_report().await;
    let failure = report.peers[0].dial_failure.as_ref().expect("why there is no lane");
    assert!(failure.reason.contains("no answer within"), "{failure:?}");
    assert!(report.to_string().contains("no answer within"), "{report}");
    for isp in ["isp-a", "isp-b"] {
        pair.isp(isp).heal(Way::Both);
    }
    let resumed = wait_for("session-resumed").await;
    assert!(resumed.field("duration_ms").as_f64().unwrap() > 0.0, "{resumed}");
    pair.until("no dial fails any more", async |pair| {
        pair.near_report().await.peers[0].dial_failure.is_none()
    })
    .await;
    let mut hello = [0; 5];
    timeout(DEADLINE, served.read_exact(&mut hello)).await.expect("lost").unwrap();
    assert_eq!(&hello, b"hello");
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_flow_is_reported_at_both_ends() {
    let _alone = alone().await;
    let pair = start_pair().await;
    // Only 127.0.0.1 is allowed.
    let target = "127.0.0.2:1".parse().unwrap();
    assert_eq!(connect(pair.socks(), target).await.unwrap_err(), 2);
    for socket in [pair.near_socket(), pair.far_socket()] {
        let events = recent_events(&socket).await;
        let refused = find(&events, "flow-refused");
        assert_eq!(refused.len(), 1, "{}", text(&events));
        assert_eq!(*refused[0].field("target"), "127.0.0.2:1");
        assert!(
            refused[0].field("reason").as_str().unwrap().contains("not allowed"),
            "{}",
            refused[0]
        );
    }
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_that_has_drained_is_said_to_end_for_that() {
    let _alone = alone().await;
    let pair = start_pair().await;
    admin::change_uplink(&pair.near_socket(), "isp-a", UplinkChange::Drain).await.unwrap();
    let ends = async |socket: std::path::PathBuf| -> Vec<String> {
        let events = recent_events(&socket).await;
        let down = find(&events, "lane-down").into_iter();
        let by_plan = down.map(|e| e.field("reason").as_str().unwrap().to_owned());
        // Of the dials at the begin one was first.
        by_plan.filter(|reason| reason.contains("drained") || reason.contains("replaced")).collect()
    };
    pair.until("both ends have lost the lane", async |pair| {
        !ends(pair.near_socket()).await.is_empty() && !ends(pair.far_socket()).await.is_empty()
    })
    .await;
    let near = ends(pair.near_socket()).await;
    assert!(near.iter().all(|reason| reason == "drained"), "{near:?}");
    let far = ends(pair.far_socket()).await;
    assert!(far.iter().all(|reason| reason.contains("closed by peer: drained")), "{far:?}");
    pair.shutdown().await;
}
