use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::protocol::{EXCHANGE_TIMEOUT, MAX_CONNECTIONS};
use super::*;
use crate::handover::{Bundle, Giver};
use crate::proxy::freezer::Freezer;
use crate::proxy::tasks::Tasks;
use crate::report::{Detail, Report};
use throughline::{Node, UplinkConfig};

/// Longer than anything takes that works.
const TEST_TIMEOUT: Duration = Duration::from_secs(10);

async fn node() -> Node {
    let uplink = |name: &str, address: [u8; 4]| {
        UplinkConfig::new(name).prefix(std::net::IpAddr::from(address))
    };
    let builder = Node::builder().uplink(uplink("isp-a", [127, 0, 11, 1]));
    builder.uplink(uplink("isp-b", [127, 0, 12, 1])).build().await.unwrap()
}

fn no_reload() -> ReloadRequest {
    std::sync::Arc::new(|_| Box::pin(async { Err("not in this test".to_owned()) }))
}

async fn nothing_to_offer() -> io::Result<Bundle> {
    let settle = Box::new(|| Ok(()));
    Ok(Bundle { sockets: Vec::new(), settle, unchanged: Box::new(()) })
}

async fn serving(path: &Path) -> (Node, Tasks) {
    let (node, socket) = (node().await, AdminSocket::bind(path).unwrap());
    let tasks = Tasks::default();
    let reported = node.clone();
    let report = std::sync::Arc::new(move |detail: Detail| Report::from(&detail.of(&reported)));
    let giver =
        Giver::new(node.clone(), Freezer::default(), Box::new(|| Box::pin(nothing_to_offer())));
    tasks.spawn(socket.serve(node.clone(), report, no_reload(), giver, tasks.clone()));
    (node, tasks)
}

async fn ask(path: &Path, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    // A request that is too long is not read to its end, which resets the connection.
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test]
async fn the_socket_is_private_and_answers() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.sock");
    let (node, _tasks) = serving(&path).await;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(status(&path).await.unwrap().id, node.id().to_string());
}

#[tokio::test]
async fn an_invalid_request_is_answered_with_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.sock");
    let (node, _tasks) = serving(&path).await;
    for request in [&b"\n"[..], b"hello\n", b"{\"command\":\"reboot\"}\n", b"{}", b""] {
        let answer = ask(&path, request).await;
        assert!(answer.starts_with("{\"error\":\"not a valid request"), "{answer}");
    }
    let long = ask(&path, &vec![b' '; 70_000]).await;
    assert!(long.is_empty() || long.contains("longer than 65536 bytes"), "{long}");
    assert_eq!(status(&path).await.unwrap().id, node.id().to_string());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the file outlives a daemon that dies");
    let (node, _tasks) = serving(&path).await;
    assert!(matches!(AdminSocket::bind(&path), Err(AdminError::InUse(_))));
    assert_eq!(status(&path).await.unwrap().id, node.id().to_string());
}

#[tokio::test]
async fn the_socket_is_removed_with_its_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.sock");
    let (_, tasks) = serving(&path).await;
    tasks.drain();
    tasks.ended().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_not_a_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(AdminSocket::bind(&path), Err(AdminError::NotASocket(_))));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_daemon_that_does_not_run_has_its_own_error() {
    let error = status(Path::new("/nonexistent/t.sock")).await.unwrap_err();
    assert!(matches!(error, AdminError::NotRunning { .. }), "{error}");
}

#[test]
fn an_inaccessible_socket_says_who_may_connect() {
    let source = io::Error::from(io::ErrorKind::PermissionDenied);
    let error = AdminError::PermissionDenied { path: "/run/throughline.sock".into(), source };
    assert_eq!(
        error.to_string(),
        "cannot open /run/throughline.sock: permission denied; run this as the daemon's user or as \
         root"
    );
}

#[tokio::test]
async fn an_uplink_is_drained_and_resumed_and_draining_the_last_one_warns() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.sock");
    let (_node, _tasks) = serving(&path).await;
    let state = async || {
        let uplinks = status(&path).await.unwrap().uplinks;
        uplinks.iter().map(|u| u.draining).collect::<Vec<_>>()
    };
    let first = change_uplink(&path, "isp-a", UplinkChange::Drain).await.unwrap();
    assert!(first.draining && first.changed && first.warning.is_none(), "{first:?}");
    assert_eq!(state().await, [true, false]);
    let again = change_uplink(&path, "isp-a", UplinkChange::Drain).await.unwrap();
    assert!(again.draining && !again.changed);
    let last = change_uplink(&path, "isp-b", UplinkChange::Drain).await.unwrap();
    assert!(last.warning.unwrap().contains("No other uplink is left"));
    let resumed = change_uplink(&path, "isp-a", UplinkChange::Resume).await.unwrap();
    assert!(!resumed.draining && resumed.changed);
    assert_eq!(state().await, [false, true]);
}

#[tokio::test]
async fn an_unknown_uplink_is_refused_with_the_known_names() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.sock");
    let (_node, _tasks) = serving(&path).await;
    for change in [UplinkChange::Drain, UplinkChange::Resume] {
        let error = change_uplink(&path, "isp-c", change).await.unwrap_err().to_string();
        assert_eq!(error, "there is no uplink `isp-c`; there are `isp-a`, `isp-b`");
    }
}

#[tokio::test]
async fn recent_events_are_returned_and_new_ones_followed_until_the_daemon_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.sock");
    let (node, tasks) = serving(&path).await;
    node.drain_uplink("isp-a").unwrap();
    let mut kept = events(&path, false).await.unwrap();
    let Some(EventUpdate::Event(event)) = kept.next().await.unwrap() else { panic!() };
    assert_eq!((event.event.as_str(), event.uplink.as_deref()), ("drain-started", Some("isp-a")));
    assert_eq!(kept.next().await.unwrap(), None);

    let mut followed = events(&path, true).await.unwrap();
    assert!(matches!(followed.next().await.unwrap(), Some(EventUpdate::Event(_))));
    timeout(Duration::from_millis(100), followed.next()).await.expect_err("an unexpected event");
    node.resume_uplink("isp-a").unwrap();
    let next = timeout(TEST_TIMEOUT, followed.next()).await.expect("no event").unwrap();
    let Some(EventUpdate::Event(event)) = next else { panic!("{next:?}") };
    assert_eq!((event.seq, event.event.as_str()), (1, "drain-ended"));
    tasks.drain();
    assert_eq!(timeout(TEST_TIMEOUT, followed.next()).await.expect("not ended").unwrap(), None);
}

#[tokio::test]
async fn clients_that_ask_nothing_or_half_do_not_keep_others_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.sock");
    let (node, _tasks) = serving(&path).await;
    let mut silent = Vec::new();
    // All places, one that waits for a place, and the whole queue of the kernel.
    while silent.len() <= 3 * MAX_CONNECTIONS {
        let connecting = crate::unix_socket::connect(&path, Duration::ZERO);
        let Ok(mut stream) = connecting.await else { break };
        if silent.len().is_multiple_of(2) {
            stream.write_all(b"{\"command\":\"events\"}").await.unwrap();
        }
        silent.push(stream);
    }
    assert!(
        (2 * MAX_CONNECTIONS..=3 * MAX_CONNECTIONS).contains(&silent.len()),
        "{}",
        silent.len()
    );
    let report = timeout(EXCHANGE_TIMEOUT / 2, status(&path)).await.expect("kept out").unwrap();
    assert_eq!(report.id, node.id().to_string());
}

#[tokio::test]
async fn a_daemon_that_lets_nobody_in_is_called_busy_and_not_absent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.sock");
    let socket = AdminSocket::bind(&path).unwrap();
    let mut queued = Vec::new();
    let error = loop {
        match crate::unix_socket::connect(&path, Duration::ZERO).await {
            Ok(stream) => queued.push(stream),
            Err(error) => break AdminError::unreachable(&path, error),
        }
        assert!(queued.len() < 100);
    };
    assert!(matches!(error, AdminError::Busy(_)), "{error}");
    // Once there is room a client that has waited is let in.
    let waiting = crate::unix_socket::connect(&path, TEST_TIMEOUT);
    let (waited, _) = tokio::join!(waiting, socket.listener.accept());
    waited.unwrap();
}

#[tokio::test]
async fn followers_are_bounded_and_do_not_keep_other_requests_out() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.sock");
    let (node, _tasks) = serving(&path).await;
    let mut followers = Vec::new();
    let refused = loop {
        let mut events = events(&path, true).await.unwrap();
        // Waits until the daemon has taken it, or has not.
        match timeout(Duration::from_millis(50), events.next()).await {
            Err(_) => followers.push(events),
            Ok(answer) => break answer.unwrap_err(),
        }
        assert!(followers.len() < 100);
    };
    assert!(matches!(refused, AdminError::Refused(_)), "{refused}");
    assert!(followers.len() >= MAX_CONNECTIONS);
    let report =
        timeout(TEST_TIMEOUT, status(&path)).await.expect("status is not answered").unwrap();
    assert_eq!(report.id, node.id().to_string());
    // A place is free again when its follower has gone.
    followers.pop();
    let again = async {
        loop {
            let mut events = events(&path, true).await.unwrap();
            if timeout(Duration::from_millis(50), events.next()).await.is_err() {
                return;
            }
        }
    };
    timeout(TEST_TIMEOUT, again).await.expect("the place is not freed");
}
