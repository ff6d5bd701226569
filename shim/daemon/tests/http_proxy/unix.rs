//! Ingresses at Unix sockets: what they serve, whom they tell what, and how a failure looks.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use throughline_fixture::{DEADLINE, DaemonPair, echo_all, origin, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::pair;

/// One of each kind; `PORT` is the forward's destination.
const INGRESSES: &str = "[ingress.u-socks]
     kind = 'socks5'
     listen = 'unix:socks.sock'
     via = 'far'
     [ingress.u-web]
     kind = 'http'
     listen = 'unix:web.sock'
     socket-mode = '0666'
     via = 'far'
     [ingress.u-any]
     kind = 'proxy'
     listen = 'unix:any.sock'
     via = 'far'
     [ingress.u-fwd]
     kind = 'forward'
     listen = 'unix:fwd.sock'
     to = '127.0.0.1:PORT'
     send-proxy-protocol = true
     via = 'far'\n";

fn at(pair: &DaemonPair, name: &str) -> PathBuf {
    pair.directory().join(format!("{name}.sock"))
}

/// Says `says`, ends that direction, and returns all that comes back.
async fn exchange(path: &Path, says: &[u8]) -> Vec<u8> {
    let mut app = UnixStream::connect(path).await.unwrap();
    app.write_all(says).await.unwrap();
    app.shutdown().await.unwrap();
    let mut reply = Vec::new();
    timeout(DEADLINE, app.read_to_end(&mut reply)).await.expect("no reply").unwrap();
    reply
}

/// The requests for `localhost:port` in each protocol, and the length of the answer; 0 is a head.
fn requests(port: u16) -> [(&'static str, Vec<u8>, usize); 4] {
    let number = port.to_be_bytes();
    [
        ("any", [b"\x05\x01\0\x05\x01\0\x03\x09localhost", &number[..]].concat(), 12),
        ("socks", [b"\x05\x01\0\x05\x01\0\x03\x09localhost", &number[..]].concat(), 12),
        ("any", [b"\x04\x01", &number[..], b"\0\0\0\x01\0localhost\0"].concat(), 8),
        ("web", format!("CONNECT localhost:{port} HTTP/1.1\r\n\r\n").into_bytes(), 0),
    ]
}

/// Opens a connection through an ingress, up to its answer.
async fn opened(pair: &DaemonPair, request: &(&str, Vec<u8>, usize)) -> UnixStream {
    let (ingress, request, length) = request;
    let mut app = UnixStream::connect(at(pair, ingress)).await.unwrap();
    app.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    while (*length == 0 && !answer.ends_with(b"\r\n\r\n")) || answer.len() < *length {
        answer.push(timeout(DEADLINE, app.read_u8()).await.expect("no answer").unwrap());
    }
    let granted = match length {
        0 => answer.starts_with(b"HTTP/1.1 200 "),
        8 => answer[1] == 90,
        _ => answer[3] == 0,
    };
    assert!(granted, "{ingress}: {answer:?}");
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_served_and_its_end_is_one() {
    let (listener, port) = origin().await.unwrap();
    let pair = pair(&INGRESSES.replace("PORT", &port.to_string())).await;
    for request in requests(port) {
        let served = echo_all(&listener);
        let client = async {
            let mut app = opened(&pair, &request).await;
            app.write_all(b"hello").await.unwrap();
            app.shutdown().await.unwrap();
            let mut received = Vec::new();
            timeout(DEADLINE, app.read_to_end(&mut received)).await.expect("it hangs").unwrap();
            assert_eq!(received, b"hello", "{request:?}");
        };
        let (served, ()) = tokio::join!(served, client);
        served.unwrap();
    }
    // A forward; its client has no address to say.
    let forward = at(&pair, "fwd");
    let (served, received) = tokio::join!(echo_all(&listener), exchange(&forward, b"hello"));
    served.unwrap();
    assert_eq!(received, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0hello");
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_flow_is_a_reset_and_no_end_whether_or_not_the_client_has_ended_its_direction() {
    let (listener, port) = origin().await.unwrap();
    let pair = pair(&INGRESSES.replace("PORT", &port.to_string())).await;
    for request in requests(port) {
        for ends in [false, true] {
            let mut app = opened(&pair, &request).await;
            let (mut destination, _) = listener.accept().await.unwrap();
            if ends {
                app.write_all(b"give").await.unwrap();
                app.shutdown().await.unwrap();
                timeout(DEADLINE, destination.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
            }
            destination.write_all(b"half of it").await.unwrap();
            let mut half = [0; 10];
            timeout(DEADLINE, app.read_exact(&mut half)).await.expect("nothing comes").unwrap();
            destination.set_zero_linger().unwrap();
            drop(destination);
            let read = timeout(DEADLINE, app.read(&mut [0; 1])).await.expect("it hangs");
            let error = read.expect_err("it looks whole");
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{request:?}, ended: {ends}");
        }
    }
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reaches_the_wrong_socket_is_told_in_its_own_protocol() {
    let (listener, port) = origin().await.unwrap();
    drop(listener);
    let pair = pair(&INGRESSES.replace("PORT", &port.to_string())).await;
    let reply = exchange(&at(&pair, "socks"), b"GET http://h/ HTTP/1.1\r\n\r\n").await;
    let reply = String::from_utf8(reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 400 ") && reply.contains("proxy `u-socks`"), "{reply}");
    assert_eq!(exchange(&at(&pair, "web"), &[5, 1, 0]).await, [5, 0xff]);
    assert_eq!(exchange(&at(&pair, "socks"), b"\x04\x01\0\x16\x7f\0\0\x01\0").await[..2], [0, 91]);
    let tls = exchange(&at(&pair, "any"), b"\x16\x03\x01\0\x05hello").await;
    assert!(tls.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&tls));
    // UDP ASSOCIATE: nobody would know whose datagrams they are.
    let associate = exchange(&at(&pair, "any"), b"\x05\x01\0\x05\x03\0\x01\0\0\0\0\0\0").await;
    assert_eq!(associate[..4], [5, 0, 5, 7]);
    // Nobody listens at the forward's destination. What the client said is unread, so it is a reset; the end is all
    // that one is given that has said nothing before it is known.
    let said = async {
        loop {
            let mut app = UnixStream::connect(at(&pair, "fwd")).await.unwrap();
            match app.write_all(b"hello").await {
                Ok(()) => break app,
                Err(error) => assert_eq!(error.kind(), ErrorKind::BrokenPipe),
            }
        }
    };
    let mut app = timeout(DEADLINE, said).await.expect("the refusal always comes first");
    let read = timeout(DEADLINE, app.read(&mut [0; 1])).await.expect("it hangs");
    assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_file_has_its_mode_and_goes_with_the_daemon() {
    let pair = pair(&INGRESSES.replace("PORT", "1")).await;
    let mode = |name: &str| at(&pair, name).metadata().unwrap().mode() & 0o777;
    assert_eq!([mode("socks"), mode("web")], [0o600, 0o666]);
    // Requests that follow each other on one connection, and its end, are as by TCP.
    let one = "GET / HTTP/1.1\r\nHost: h\r\n\r\n".repeat(2);
    let replies = String::from_utf8(exchange(&at(&pair, "web"), one.as_bytes()).await).unwrap();
    assert_eq!(replies.matches("HTTP/1.1 404 ").count(), 2, "{replies}");
    let paths = ["socks", "web", "any", "fwd"].map(|name| at(&pair, name));
    pair.near.shutdown(std::time::Duration::ZERO).await;
    assert!(until(async || paths.iter().all(|path| !path.exists())).await, "{paths:?}");
    pair.far.shutdown(std::time::Duration::ZERO).await;
}
