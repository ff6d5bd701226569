use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;
use crate::proxy::stream::{Stream, StreamKind};

/// An application, and our end of its connection.
fn connected() -> (UnixStream, Stream) {
    let (app, ours) = UnixStream::pair().unwrap();
    (app, ours.into())
}

/// Reads until the connection ends; returns what came, and whether it was reset.
async fn heard(mut app: UnixStream) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let read = timeout(Duration::from_secs(5), app.read_to_end(&mut bytes)).await;
    let reset = match read.expect("it hangs") {
        Ok(_) => false,
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => true,
        Err(error) => panic!("{error}"),
    };
    (bytes, reset)
}

#[tokio::test]
async fn every_byte_is_read_once_and_in_order_however_it_comes() {
    let (mut app, mut ours) = connected();
    let sent: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    let all = sent.clone();
    let writing = tokio::spawn(async move {
        let mut rest = &all[..];
        for size in [1, 1, 2, 3, 5, 8, 1000, 40_000, 70_000, usize::MAX] {
            let (now, later) = rest.split_at(size.min(rest.len()));
            app.write_all(now).await.unwrap();
            tokio::task::yield_now().await;
            rest = later;
        }
        app.shutdown().await.unwrap();
        app
    });
    let mut received = Vec::new();
    for size in [1, 1, 1, 2, 4, 100].into_iter().chain(std::iter::repeat(100_000)) {
        let mut part = vec![0; size];
        match timeout(Duration::from_secs(5), ours.read(&mut part)).await.unwrap().unwrap() {
            0 => break,
            read => received.extend_from_slice(&part[..read]),
        }
    }
    assert!(received == sent, "{} of {}", received.len(), sent.len());
    // An end stays one.
    assert_eq!(ours.read(&mut [0; 8]).await.unwrap(), 0);
    let app = writing.await.unwrap();
    // In order: the byte that was held is taken.
    ours.write_all(b"answer").await.unwrap();
    drop(ours);
    assert_eq!(heard(app).await, (b"answer".to_vec(), false));
}

#[tokio::test]
async fn a_client_sees_a_reset_whatever_was_read_and_whether_or_not_it_has_ended_its_direction() {
    for ends in [false, true] {
        let (mut app, mut ours) = connected();
        app.write_all(b"request").await.unwrap();
        if ends {
            app.shutdown().await.unwrap();
        }
        ours.reset_on_close();
        let mut request = [0; 7];
        ours.read_exact(&mut request).await.unwrap();
        assert_eq!(&request, b"request");
        ours.write_all(b"half of the answ").await.unwrap();
        drop(ours);
        assert_eq!(heard(app).await, (b"half of the answ".to_vec(), true), "ended: {ends}");
    }
}

#[tokio::test]
async fn a_process_that_is_killed_resets_its_client_and_one_that_hands_over_does_not() {
    let (mut app, mut ours) = connected();
    app.write_all(b"x").await.unwrap();
    assert_eq!(ours.read_u8().await.unwrap(), b'x');
    let kind = ours.kind();
    assert_eq!(kind, StreamKind::Unix { holds_byte: true });
    ours.reset_on_close();
    let copy = ours.as_fd().try_clone_to_owned().unwrap();
    drop(ours);
    let mut successor = Stream::inherit(copy, kind).unwrap();
    app.write_all(b"yz").await.unwrap();
    let mut rest = [0; 2];
    successor.read_exact(&mut rest).await.unwrap();
    assert_eq!(&rest, b"yz");
    // The system closes a descriptor and asks nobody.
    let left = successor.as_fd().try_clone_to_owned().unwrap();
    successor.reset_on_close();
    drop((successor, left));
    assert_eq!(heard(app).await, (Vec::new(), true));
}

#[tokio::test]
async fn nothing_is_read_while_nothing_new_has_come_and_a_reset_of_the_client_is_an_error() {
    let (mut app, mut ours) = connected();
    app.write_all(b"x").await.unwrap();
    assert_eq!(ours.first_byte().await.unwrap(), Some(b'x'));
    assert_eq!(ours.read_u8().await.unwrap(), b'x');
    let waiting = timeout(Duration::from_millis(20), ours.read(&mut [0; 8])).await;
    assert!(waiting.is_err(), "{waiting:?}");
    ours.write_all(b"unread").await.unwrap();
    drop(app);
    let error = timeout(Duration::from_secs(5), ours.read(&mut [0; 8])).await.unwrap();
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_client_that_has_sent_nothing_sees_an_end() {
    let (app, mut ours) = connected();
    ours.write_all(b"banner").await.unwrap();
    ours.reset_on_close();
    drop(ours);
    assert_eq!(heard(app).await, (b"banner".to_vec(), false));
}

#[tokio::test]
async fn who_gives_up_a_hand_over_takes_no_byte_from_who_goes_on() {
    let (mut app, mut ours) = connected();
    app.write_all(b"x").await.unwrap();
    assert_eq!(ours.read_u8().await.unwrap(), b'x');
    ours.reset_on_close();
    let copy = ours.as_fd().try_clone_to_owned().unwrap();
    drop(Stream::inherit(copy, ours.kind()).unwrap());
    app.write_all(b"y").await.unwrap();
    let next = timeout(Duration::from_secs(5), ours.read_u8()).await.expect("it was lost");
    assert_eq!(next.unwrap(), b'y');
}
