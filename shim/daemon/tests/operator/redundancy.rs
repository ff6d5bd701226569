//! Who looks after a host learns that one failure more would stop it, before that failure.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use throughline_daemon::admin::{self, EventUpdate};
use throughline_emulator::{Profile, Way};
use throughline_fixture::{DaemonPair, Shape, alone};

use super::flows::Flows;
use super::site::start_pair;

/// Runs the built program against a daemon.
async fn throughline(arguments: &[&str], socket: &Path) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_throughline"));
    command.args(arguments).arg("--socket").arg(socket).kill_on_drop(true);
    command.output().await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Returns the events of a kind at the near end: the uplink and the text of each.
async fn events(pair: &DaemonPair, kind: &str) -> Vec<(String, String)> {
    let mut events = admin::events(&pair.near_socket(), false).await.unwrap();
    let mut found = Vec::new();
    while let Some(EventUpdate::Event(event)) = events.next().await.unwrap() {
        if event.event == kind {
            found.push((event.uplink.clone().unwrap_or_default(), event.text));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_uplink_is_told_while_flows_go_on_and_so_is_its_return() {
    let _alone = alone().await;
    let pair = start_pair().await;
    let socket = pair.near_socket();
    let well = throughline(&["status", "--check"], &socket).await;
    assert!(well.status.success(), "{well:?}");
    assert_eq!(text(&well.stdout), "All is well.\n");

    let flows = Flows::start(pair.socks()).await;
    pair.isp("isp-b").blackhole(Way::Both);
    pair.until("the loss is told", async |pair| !events(pair, "redundancy-lost").await.is_empty())
        .await;
    let lost = events(&pair, "redundancy-lost").await;
    // Behind each emulated ISP the far end has an address of its own, which is lost with it.
    assert!(lost.iter().any(|(uplink, _)| uplink == "isp-b"), "{lost:?}");
    assert!(lost.iter().all(|(uplink, _)| uplink != "isp-a"), "{lost:?}");
    assert!(lost[0].1.contains("one way is left"), "{lost:?}");
    let ill = throughline(&["status", "--check"], &socket).await;
    assert_eq!(ill.status.code(), Some(1), "{ill:?}");
    assert!(text(&ill.stdout).contains("Peer far lost its redundancy"), "{}", text(&ill.stdout));
    assert!(text(&ill.stdout).contains("isp-b"), "{}", text(&ill.stdout));
    let shown = throughline(&["status"], &socket).await;
    assert!(text(&shown.stdout).contains("! redundancy lost for"), "{}", text(&shown.stdout));

    pair.isp("isp-b").heal(Way::Both);
    pair.until("the return is told", async |pair| {
        events(pair, "redundancy-restored").await.len() == lost.len()
    })
    .await;
    assert_eq!(events(&pair, "redundancy-lost").await.len(), lost.len(), "each is told once");
    let well = throughline(&["status", "--check"], &socket).await;
    assert!(well.status.success(), "{well:?}");
    flows.end().await;
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_for_the_metered_standby_to_take_over() {
    let _alone = alone().await;
    let profile = Profile::new(50_000_000, Duration::from_millis(10));
    let shape = Shape { profile, standby: true, ..Shape::default() };
    let pair = DaemonPair::builder().over(shape).start().await.unwrap();
    let socket = pair.near_socket();
    let lanes = pair.near_report().await.uplinks.iter().map(|u| u.lanes).collect::<Vec<_>>();
    assert_eq!(lanes[1], 0, "the standby is cold: {lanes:?}");
    let drained = throughline(&["uplink", "drain", "isp-a"], &socket).await;
    assert!(drained.status.success(), "{drained:?}");
    assert_eq!(text(&drained.stderr), "");
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uplink_is_not_called_drained_while_the_other_is_dead() {
    let _alone = alone().await;
    let pair = start_pair().await;
    let socket = pair.near_socket();
    // The lanes are idle: by itself neither end would notice for seconds.
    pair.isp("isp-b").blackhole(Way::Both);
    let refused = throughline(&["uplink", "drain", "isp-a"], &socket).await;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(
        text(&refused.stderr),
        "warning: No lane over another uplink answers to far, so flows stay on isp-a; do not cut it.\n"
    );
    assert!(!text(&refused.stdout).contains("is drained"), "{refused:?}");
    pair.isp("isp-b").heal(Way::Both);
    let resumed = throughline(&["uplink", "resume", "isp-a"], &socket).await;
    assert!(resumed.status.success(), "{resumed:?}");
    pair.until("a lane over each", async |pair| pair.near_lanes_up().await >= 2).await;
    let drained = throughline(&["uplink", "drain", "isp-a"], &socket).await;
    assert!(drained.status.success(), "{drained:?}");
    assert!(text(&drained.stdout).starts_with("Uplink isp-a is drained"), "{drained:?}");
    pair.shutdown().await;
}
