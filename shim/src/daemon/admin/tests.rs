use super::*;
use crate::daemon::report::tests::sample;

async fn serving(path: &Path) -> Tasks {
    let socket = AdminSocket::bind(path).unwrap();
    let tasks = Tasks::default();
    tasks.spawn(socket.answer_with(Arc::new(sample), tasks.clone()));
    tasks
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
    let _tasks = serving(&path).await;
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(status(&path).await.unwrap(), sample());
}

#[tokio::test]
async fn a_request_that_is_none_is_answered_with_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.sock");
    let _tasks = serving(&path).await;
    for request in [&b"\n"[..], b"hello\n", b"{\"command\":\"reboot\"}\n", b"{}", b""] {
        let answer = ask(&path, request).await;
        assert!(answer.starts_with("{\"error\":\"not a request"), "{answer}");
    }
    let long = ask(&path, &vec![b' '; 70_000]).await;
    assert!(long.is_empty() || long.contains("longer than 65536 bytes"), "{long}");
    assert_eq!(status(&path).await.unwrap(), sample());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the file outlives a daemon that dies");
    let _tasks = serving(&path).await;
    assert!(matches!(AdminSocket::bind(&path), Err(AdminError::InUse(_))));
    assert_eq!(status(&path).await.unwrap(), sample());
}

#[tokio::test]
async fn a_socket_goes_with_its_daemon() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.sock");
    let tasks = serving(&path).await;
    tasks.drain();
    tasks.ended().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_in_the_way_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(AdminSocket::bind(&path), Err(AdminError::NoSocket(_))));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_daemon_that_does_not_run_is_told() {
    let error = status(Path::new("/nonexistent/t.sock")).await.unwrap_err();
    assert!(matches!(error, AdminError::NotRunning { .. }), "{error}");
}
