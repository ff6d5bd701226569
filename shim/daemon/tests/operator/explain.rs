//! Why a flow is where it is: the built program asks a daemon whose ISPs fail and are drained.

use std::process::Command;

use throughline_daemon::admin::{self, UplinkChange};
use throughline_daemon::report::FlowReport;
use throughline_emulator::Way;
use throughline_fixture::{DaemonPair, alone};

use super::flows::Flows;
use super::site::start_pair;

/// Returns what `throughline explain` says of a flow.
async fn explained(pair: &DaemonPair, id: u64) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
    command.args(["explain", &format!("f{id}"), "--socket"]).arg(pair.near_socket());
    // The daemon answers in this process's runtime.
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn near_flows(pair: &DaemonPair) -> Vec<FlowReport> {
    let report = throughline_daemon::report::Report::from(&pair.near.node().status());
    let sessions = report.peers.into_iter().flat_map(|peer| peer.sessions);
    sessions.flat_map(|session| session.flows).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn why_a_flow_is_where_it_is_and_why_it_moved_is_said() {
    let _alone = alone().await;
    let pair = start_pair().await;
    let flows = Flows::start(pair.socks()).await;
    // The upload: what only receives needs no lane of this end's.
    let placed = |flow: &FlowReport| flow.sent_bytes > 1_000_000 && flow.primary_lane.is_some();
    pair.until("the upload has a lane", async |pair| near_flows(pair).iter().any(placed)).await;
    let id = near_flows(&pair).into_iter().find(placed).unwrap().id;
    let moved = |pair: &DaemonPair, reasons: &[&str]| {
        let flow = near_flows(pair).into_iter().find(|flow| flow.id == id);
        flow.and_then(|flow| flow.last_move).is_some_and(|last| reasons.contains(&&*last.reason))
    };
    let text = explained(&pair, id).await;
    assert!(text.starts_with(&format!("f{id} to 127.0.0.1:")), "{text}");
    assert!(text.contains("carries its bytes") && text.contains("over isp-b"), "{text}");

    // All leave a drained uplink, for this reason.
    for uplink in ["isp-a", "isp-b"] {
        admin::change_uplink(&pair.near_socket(), uplink, UplinkChange::Drain).await.unwrap();
        let other = if uplink == "isp-a" { "isp-b" } else { "isp-a" };
        if uplink == "isp-b" {
            // Of both drained ones the flow may stay where it is; resumed, it goes there.
            admin::change_uplink(&pair.near_socket(), other, UplinkChange::Resume).await.unwrap();
        }
    }
    pair.until("it has moved off a drained lane", async |pair| moved(pair, &["draining"])).await;
    let text = explained(&pair, id).await;
    assert!(text.contains("that lane was drained"), "{text}");
    admin::change_uplink(&pair.near_socket(), "isp-b", UplinkChange::Resume).await.unwrap();

    // And one that fails.
    pair.isp("isp-a").blackhole(Way::Both);
    pair.until("it has left the lane that is silent", async |pair| {
        moved(pair, &["suspect", "gone"])
    })
    .await;
    let text = explained(&pair, id).await;
    assert!(text.contains("it moved") && text.contains("over isp-b carries its bytes"), "{text}");
    pair.isp("isp-a").heal(Way::Both);
    flows.end().await;
    pair.shutdown().await;
}
