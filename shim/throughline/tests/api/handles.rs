//! What dropping each handle does.

use std::io::ErrorKind;
use std::time::Duration;

use throughline::{ConnectError, EventKind, FailureCode, Followed, Node};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::pair::{accept, connect, open, open_to, pair, soon};

/// Less than a flow's first window, so that it is written whether or not anybody reads.
const SMALL: usize = 200_000;

/// More than any window.
const LARGE: usize = 3_000_000;

fn kind<T>(result: std::io::Result<T>) -> Result<T, ErrorKind> {
    result.map_err(|error| error.kind())
}

/// Waits until the node has no flow any more.
async fn is_without_flows(node: &Node) {
    soon(async {
        while node.live_flows() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_flow_dropped_before_its_end_is_reset_after_what_was_written() {
    let (left, right) = pair().await;
    let (mut near, mut far) = open(&left, &right).await;
    near.write_all(b"all of this arrives").await.unwrap();
    drop(near);
    let mut text = Vec::new();
    let end = soon(far.read_to_end(&mut text)).await;
    assert_eq!(kind(end), Err(ErrorKind::ConnectionReset));
    assert_eq!(text, b"all of this arrives");
    drop(far);
    is_without_flows(&left).await;
    is_without_flows(&right).await;
}

#[tokio::test]
async fn a_flow_dropped_after_both_ends_is_delivered_and_forgotten() {
    let (left, right) = pair().await;
    let (mut near, mut far) = open(&left, &right).await;
    far.shutdown().await.unwrap();
    assert_eq!(soon(near.read(&mut [0])).await.unwrap(), 0);
    soon(near.write_all(&[7; SMALL])).await.unwrap();
    near.shutdown().await.unwrap();
    drop(near);
    let mut all = Vec::new();
    soon(far.read_to_end(&mut all)).await.unwrap();
    assert_eq!(all.len(), SMALL);
    drop(far);
    is_without_flows(&left).await;
    is_without_flows(&right).await;
}

#[tokio::test]
async fn a_dropped_reader_throws_away_and_the_writer_goes_on() {
    let (left, right) = pair().await;
    let (near, mut far) = open(&left, &right).await;
    let (reader, mut writer) = near.into_split();
    drop(reader);
    // The peer is not held up by what nobody reads.
    soon(far.write_all(&vec![1; LARGE])).await.unwrap();
    far.shutdown().await.unwrap();
    writer.write_all(b"goes on").await.unwrap();
    writer.finish().unwrap();
    let mut text = String::new();
    soon(far.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "goes on");
    soon(writer.closed()).await.unwrap();
}

#[tokio::test]
async fn a_writer_dropped_before_it_has_finished_resets_the_flow() {
    let (left, right) = pair().await;
    let (near, mut far) = open(&left, &right).await;
    let (mut reader, writer) = near.into_split();
    drop(writer);
    assert_eq!(kind(soon(far.read(&mut [0])).await), Err(ErrorKind::ConnectionReset));
    assert_eq!(kind(soon(reader.read(&mut [0])).await), Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_writer_dropped_after_it_has_finished_leaves_the_reader_its_direction() {
    let (left, right) = pair().await;
    let (near, mut far) = open(&left, &right).await;
    let (mut reader, mut writer) = near.into_split();
    writer.write_all(b"question").await.unwrap();
    writer.finish().unwrap();
    drop(writer);
    let mut text = String::new();
    soon(far.read_to_string(&mut text)).await.unwrap();
    far.write_all(b"answer").await.unwrap();
    far.shutdown().await.unwrap();
    soon(reader.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "questionanswer");
}

#[tokio::test]
async fn an_incoming_flow_that_is_dropped_is_refused() {
    let (left, right) = pair().await;
    let mut listener = right.serve("test").unwrap();
    let (opened, ()) = tokio::join!(connect(&left, &right), async {
        drop(accept(&mut listener).await);
    });
    let error = opened.unwrap_err();
    assert!(matches!(error, ConnectError::Refused(_)), "{error}");
}

#[tokio::test]
async fn a_dropped_listener_refuses_what_waits_and_leaves_what_was_accepted() {
    let (left, right) = pair().await;
    let mut listener = right.serve("test").unwrap();
    let (mut near, mut far) = open_to(&mut listener, &left, &right).await;
    let (waiting, ()) = tokio::join!(connect(&left, &right), async {
        soon(async {
            while right.live_flows() < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        drop(listener);
    });
    assert!(matches!(waiting.unwrap_err(), ConnectError::Refused(_)));
    let later = connect(&left, &right).await.unwrap_err();
    let ConnectError::Refused(failure) = later else { panic!("{later}") };
    assert_eq!(failure.code, FailureCode::NoService);
    near.write_all(b"goes on").await.unwrap();
    near.shutdown().await.unwrap();
    let mut text = String::new();
    soon(far.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "goes on");
    // The name is free again.
    let _again = right.serve("test").unwrap();
}

#[tokio::test]
async fn a_node_lives_as_long_as_a_flow_of_it() {
    let (left, right) = pair().await;
    let (mut near, mut far) = open(&left, &right).await;
    drop((left, right));
    soon(near.write_all(&[7; SMALL])).await.unwrap();
    near.shutdown().await.unwrap();
    let mut all = Vec::new();
    soon(far.read_to_end(&mut all)).await.unwrap();
    assert_eq!(all.len(), SMALL);
}

#[tokio::test]
async fn a_node_whose_last_handle_is_dropped_delivers_and_ends() {
    let (left, right) = pair().await;
    let (mut near, mut far) = open(&left, &right).await;
    let mut events = left.events().live;
    far.shutdown().await.unwrap();
    assert_eq!(soon(near.read(&mut [0])).await.unwrap(), 0);
    soon(near.write_all(&[7; SMALL])).await.unwrap();
    near.shutdown().await.unwrap();
    drop(left);
    drop(near);
    let mut all = Vec::new();
    soon(far.read_to_end(&mut all)).await.unwrap();
    assert_eq!(all.len(), SMALL);
    drop(far);
    // The followers see the end of the session, and then that of the node.
    let mut over = false;
    while let Some(followed) = soon(events.next()).await {
        over |= matches!(followed, Followed::Event(e) if e.kind.name() == "session-over");
    }
    assert!(over, "no session-over");
    // The peer heard it.
    soon(async {
        while !right.status().peers[0].sessions.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_follower_of_events_that_is_dropped_disturbs_nobody() {
    let (left, right) = pair().await;
    let (dropped, mut kept) = (left.events(), left.events());
    drop(dropped);
    let (_near, _far) = open(&left, &right).await;
    loop {
        match soon(kept.live.next()).await.expect("the node is there") {
            Followed::Event(event) if matches!(event.kind, EventKind::SessionUp { .. }) => return,
            _ => {}
        }
    }
}

#[tokio::test]
async fn acknowledged_waits_until_the_peer_has_all_whether_or_not_it_is_read() {
    let (left, right) = pair().await;
    let (mut near, mut far) = open(&left, &right).await;
    near.acknowledged().await.unwrap();
    soon(near.write_all(&[7; SMALL])).await.unwrap();
    soon(near.acknowledged()).await.unwrap();
    let mut all = vec![0; SMALL];
    soon(far.read_exact(&mut all)).await.unwrap();
    let (sent, read) = tokio::join!(
        async {
            near.write_all(&vec![7; LARGE]).await?;
            near.acknowledged().await
        },
        async {
            let mut all = vec![0; LARGE];
            far.read_exact(&mut all).await
        }
    );
    sent.unwrap();
    read.unwrap();
}

#[tokio::test]
async fn acknowledged_fails_with_the_flow() {
    let (left, right) = pair().await;
    let (mut near, far) = open(&left, &right).await;
    right.shutdown(Duration::ZERO).await;
    drop(far);
    let _ = near.write_all(b"lost").await;
    assert_eq!(kind(soon(near.acknowledged()).await), Err(ErrorKind::ConnectionAborted));
}
