//! Clients that are served over a pipe of a few bytes.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

/// A service that nothing changes.
fn service(stalled: Duration) -> Service {
    let change: ChangeUplink = Arc::new(|_, _| Box::pin(async { Err("no".to_owned()) }));
    let access = Access { is_loopback: true, token: None };
    Service { stalled, ..Service::new(Board::new(), access, change) }
}

/// Begins a connection that asks for the event stream.
async fn viewer(service: &Service) -> (DuplexStream, tokio::task::JoinHandle<()>) {
    let (mut ours, theirs) = duplex(256);
    let place = Places::new(1).take().await;
    let serving = service.clone().connection(theirs, ([127, 0, 0, 1], 1).into(), place);
    let serving = tokio::spawn(serving);
    ours.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    (ours, serving)
}

#[tokio::test]
async fn a_viewer_that_does_not_read_is_dropped_and_one_that_does_is_not() {
    let service = service(Duration::from_millis(200));
    let (mut reader, reading) = viewer(&service).await;
    let (silent, dropped) = viewer(&service).await;
    let (board, stop) = (service.board.clone(), CancellationToken::new());
    // More than fits into the pipe and hyper's buffer.
    let until = stop.clone();
    let frames = tokio::spawn(async move {
        while !until.is_cancelled() {
            board.show_for_test(Bytes::from(vec![b'x'; 8 * 1024]));
            sleep(Duration::from_millis(10)).await;
        }
    });
    let began = Instant::now();
    let mut read = vec![0; 4096];
    tokio::pin!(dropped);
    let mut bytes = 0;
    while began.elapsed() < Duration::from_secs(30) {
        tokio::select! {
            ended = &mut dropped => { ended.unwrap(); break; }
            count = reader.read(&mut read) => bytes += count.unwrap(),
        }
    }
    assert!(dropped.is_finished(), "it is served still");
    assert!(!reading.is_finished() && bytes > 10_000, "{bytes}");
    drop(silent);
    stop.cancel();
    frames.await.unwrap();
    assert_eq!(service.viewers.available_permits(), MAX_VIEWERS - 1);
}

#[tokio::test]
async fn the_seventeenth_viewer_is_told_and_the_place_of_one_that_left_is_free() {
    let service = service(STALLED);
    let mut viewers = Vec::new();
    for _ in 0..MAX_VIEWERS {
        let (mut viewer, serving) = viewer(&service).await;
        let mut status = [0; 12];
        viewer.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        viewers.push((viewer, serving));
    }
    let (mut refused, _serving) = viewer(&service).await;
    let mut answer = String::new();
    refused.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("close one"), "{answer}");
    assert!(answer.to_lowercase().contains("retry-after: 10"), "{answer}");
    let (left, serving) = viewers.remove(0);
    drop(left);
    // What nobody reads is noticed when something is written.
    service.board.show_for_test(Bytes::from_static(b"x"));
    serving.await.unwrap();
    let began = Instant::now();
    while service.viewers.available_permits() == 0 {
        assert!(began.elapsed() < Duration::from_secs(30));
        sleep(Duration::from_millis(10)).await;
    }
}
