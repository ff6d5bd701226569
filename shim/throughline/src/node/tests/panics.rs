//! What a panic ends, and what goes on.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::engine::lane;
use crate::stream::FlowStream;
use throughline_proto::types::Target;

/// Serves `echo` until the node ends.
fn serve_echo(node: &Node) {
    let mut listener = node.serve("echo").unwrap();
    tokio::spawn(async move {
        while let Ok(flow) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = tokio::io::split(flow.accept());
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
}

async fn echo(flow: &mut FlowStream) -> std::io::Result<()> {
    flow.write_all(b"hello").await?;
    flow.read_exact(&mut [0; 5]).await.map(drop)
}

/// Two nodes with two lanes, and an echo from left to right.
async fn echoing_pair() -> (Node, Node, FlowStream) {
    let (left, right) = pair().await;
    serve_echo(&right);
    until("two lanes", || pings(&left, right.id()).len() == 2).await;
    let mut flow = left.connect(right.id(), Target::service("echo")).await.unwrap();
    echo(&mut flow).await.unwrap();
    (left, right, flow)
}

#[tokio::test]
async fn a_panic_within_a_session_ends_that_session_at_both_ends_and_another_begins() {
    let (left, right, mut flow) = echoing_pair().await;
    let session = left.sessions().with_peer(right.id()).remove(0);
    let there = right.sessions().with_peer(left.id()).remove(0);
    let reading = tokio::spawn(async move { flow.read(&mut [0; 1]).await });
    let panicking = session.clone();
    let panicked = tokio::spawn(async move { panicking.with(|_, _| panic!("a fault")) }).await;
    assert!(panicked.unwrap_err().is_panic());
    let error = tokio::time::timeout(SOON, reading).await.unwrap().unwrap().unwrap_err();
    assert!(error.to_string().contains("internal error"), "{error}");
    until("the session's end here", || session.is_over()).await;
    until("its lanes' end there", || there.with(|core, _| core.lanes.is_empty())).await;
    let again = left.connect(right.id(), Target::service("echo"));
    let mut fresh = tokio::time::timeout(SOON, again).await.unwrap().unwrap();
    echo(&mut fresh).await.unwrap();
    let over = |e: &std::sync::Arc<crate::Event>| match &e.kind {
        EventKind::SessionOver { reason } => reason.contains("internal error"),
        _ => false,
    };
    assert!(left.events().recent.iter().any(over), "nobody says so");
}

#[tokio::test]
async fn a_lane_whose_task_panics_ends_and_its_flow_goes_on_over_another() {
    let (left, right, mut flow) = echoing_pair().await;
    let session = left.sessions().with_peer(right.id()).remove(0);
    for _ in 0..2 {
        let (id, connection) = session.with(|core, _| {
            let (id, entry) = core.lanes.iter().next().unwrap();
            (*id, entry.connection.clone())
        });
        lane::contain(&session, id, &connection, async { panic!("a fault") }).await;
        assert!(connection.close_reason().is_some());
        assert!(session.with(|core, _| !core.lanes.contains_key(&id)));
        tokio::time::timeout(SOON, echo(&mut flow)).await.unwrap().unwrap();
        until("another lane", || pings(&left, right.id()).len() == 2).await;
    }
    assert!(!session.is_over());
}
