//! What two nodes do for each other.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use throughline::{FailureCode, LaneState, OpenFailure, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::pair::{open, pair, pair_at, soon};

#[tokio::test]
async fn bytes_go_both_ways_and_each_direction_ends_by_itself() {
    let (left, right) = pair().await;
    let mut echo = right.serve("echo").unwrap();
    tokio::spawn(async move {
        let mut flow = echo.accept().await.unwrap().accept();
        let mut all = Vec::new();
        flow.read_to_end(&mut all).await.unwrap();
        flow.write_all(&all).await.unwrap();
        flow.shutdown().await.unwrap();
    });
    let mut flow = left.connect(right.id(), Target::service("echo")).await.unwrap();
    let sent: Vec<u8> = (0..5_000_000u32).map(|i| ((i * 7) >> 3) as u8).collect();
    flow.write_all(&sent).await.unwrap();
    flow.shutdown().await.unwrap();
    let mut got = Vec::new();
    flow.read_to_end(&mut got).await.unwrap();
    assert!(got == sent);
}

#[tokio::test]
async fn two_uplinks_make_two_lanes() {
    let (left, _right) = pair().await;
    for _ in 0..100 {
        let status = left.status();
        let lanes: usize = status.peers[0].sessions.iter().map(|s| s.lanes.len()).sum();
        if lanes == 2 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:#?}", left.status());
}

#[tokio::test]
async fn a_locator_that_the_peer_advertises_gets_its_lane() {
    let port = std::net::UdpSocket::bind("127.0.32.1:0").unwrap().local_addr().unwrap().port();
    let other = SocketAddr::from(([127, 0, 32, 1], port));
    let (left, _right) = pair_at(vec![other]).await;
    for _ in 0..300 {
        let lanes: Vec<_> =
            left.status().peers[0].sessions.iter().flat_map(|s| s.lanes.clone()).collect();
        let uplinks: std::collections::HashSet<_> =
            lanes.iter().map(|l| l.uplink.clone()).collect();
        let remotes: std::collections::HashSet<_> = lanes.iter().map(|l| l.remote).collect();
        // The lanes of the start share the only locator that was known; one of them gives way.
        if lanes.len() == 2 && uplinks.len() == 2 && remotes.contains(&other) && remotes.len() == 2
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{:#?}", left.status());
}

#[tokio::test]
async fn a_drill_cuts_each_uplink_off_for_a_time_and_no_byte_is_lost() {
    let (left, right) = pair().await;
    let up = || {
        let status = left.status();
        let all = status.peers[0].sessions.iter().flat_map(|s| s.lanes.clone());
        let up = all.filter(|lane| lane.state == LaneState::Up);
        up.filter_map(|lane| lane.uplink).collect::<BTreeSet<String>>()
    };
    let both = async || {
        while up().len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let error = left.cut_uplink("isp-x", Duration::from_secs(1), "a test").unwrap_err();
    assert!(error.to_string().contains("`isp-a`, `isp-b`"), "{error}");
    let (mut flow, mut far) = open(&left, &right).await;
    tokio::spawn(async move {
        let (mut from, mut to) = tokio::io::split(&mut far);
        tokio::io::copy(&mut from, &mut to).await
    });
    let mut number = 0;
    for uplink in ["isp-a", "isp-b"] {
        soon(both()).await;
        assert_eq!(left.peers_only_over(uplink), Vec::<String>::new());
        let (length, began) = (Duration::from_millis(1500), Instant::now());
        left.cut_uplink(uplink, length, "a test").unwrap();
        let mut is_seen = false;
        while began.elapsed() < length {
            flow.write_u32(number).await.unwrap();
            assert_eq!(soon(flow.read_u32()).await.unwrap(), number);
            number += 1;
            is_seen |= !up().contains(uplink);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(is_seen, "{uplink} was not cut off: {:#?}", left.status());
    }
    soon(both()).await;
}

#[tokio::test]
async fn a_refusal_reaches_the_opener_with_its_reason() {
    let (left, right) = pair().await;
    let error = left.connect(right.id(), Target::service("none")).await.unwrap_err();
    assert!(error.to_string().contains("nobody serves none"), "{error}");
    let mut picky = right.serve("picky").unwrap();
    tokio::spawn(async move {
        let flow = picky.accept().await.unwrap();
        flow.refuse(OpenFailure::new(FailureCode::NotAllowed, "not today"));
    });
    let error = left.connect(right.id(), Target::service("picky")).await.unwrap_err();
    assert_eq!(error.to_string(), "not today");
}
