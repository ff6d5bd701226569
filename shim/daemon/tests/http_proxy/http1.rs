//! HTTP/1: tunnels, plain requests, and what is neither.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::SockRef;
use throughline::EventKind;
use throughline_fixture::{DEADLINE, echo_all, origin, pattern};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{GUARDED, pair, read_head};

/// As [`crate::exchange`], of text.
async fn exchange(ingress: SocketAddr, says: &[u8]) -> String {
    String::from_utf8_lossy(&crate::exchange(ingress, says).await).into_owned()
}

async fn connect(ingress: SocketAddr, target: &str) -> (TcpStream, String) {
    let mut tcp = TcpStream::connect(ingress).await.unwrap();
    let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let head = read_head(&mut tcp).await;
    (tcp, head)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_is_byte_exact_and_closes_each_direction_alone() {
    let pair = pair("").await;
    let (listener, port) = origin().await.unwrap();
    let served = tokio::spawn(async move { echo_all(&listener).await.unwrap() });
    let mut app = TcpStream::connect(pair.ingress("web")).await.unwrap();
    let sent = pattern(3_000_000);
    // What follows the request in the same packet is the tunnel's.
    let request = format!("CONNECT localhost:{port} HTTP/1.1\r\nHost: x\r\n\r\n");
    app.write_all(&[request.as_bytes(), &sent[..1000]].concat()).await.unwrap();
    let head = read_head(&mut app).await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(!head.to_lowercase().contains("content-length"), "{head}");
    let received = timeout(DEADLINE, async {
        app.write_all(&sent[1000..]).await.unwrap();
        app.shutdown().await.unwrap();
        let mut received = Vec::new();
        app.read_to_end(&mut received).await.unwrap();
        received
    });
    assert!(received.await.expect("the tunnel hangs") == sent, "the bytes differ");
    served.await.unwrap();
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_passes_resets_both_ways() {
    let pair = pair("").await;
    let (listener, port) = origin().await.unwrap();
    let reset = |tcp: TcpStream| {
        SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
        drop(tcp);
    };
    for application_resets in [true, false] {
        let (mut app, _) = connect(pair.ingress("web"), &format!("127.0.0.1:{port}")).await;
        app.write_all(b"hello").await.unwrap();
        let (mut served, _) = timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
        let mut hello = [0; 5];
        served.read_exact(&mut hello).await.unwrap();
        let (mut alive, dead) = if application_resets { (served, app) } else { (app, served) };
        reset(dead);
        let error = timeout(DEADLINE, alive.read(&mut hello)).await.expect("no reset").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_at_the_far_end_is_a_status_and_a_sentence() {
    let pair = pair("[[rule]]\nto = 'rejected.example'\nvia = 'reject'").await;
    let ingress = pair.ingress("web");
    let (listener, closed) = origin().await.unwrap();
    drop(listener);
    for (target, status, error, text) in [
        (format!("127.0.0.1:{closed}"), 502, "connection_refused", "listens on that port."),
        (format!("127.0.0.2:{closed}"), 403, "destination_ip_prohibited", "`allow`"),
        ("no-such-host.invalid:80".to_owned(), 502, "dns_error", "how the name is written"),
        ("rejected.example:80".to_owned(), 403, "http_request_denied", "[[rule]]"),
    ] {
        for request in [
            format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"),
            format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n"),
        ] {
            let reply = exchange(ingress, request.as_bytes()).await;
            assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {reply}");
            assert!(reply.contains(&format!("throughline; error={error};")), "{reply}");
            let (_, body) = reply.split_once("\r\n\r\n").unwrap();
            assert!(body.contains(text) && body.ends_with(".\n"), "{body}");
        }
    }
    let events = pair.near.node().events().recent;
    let refused = events.iter().filter(|event| matches!(event.kind, EventKind::FlowRefused { .. }));
    assert_eq!(refused.count(), 8, "refusals are events, as with SOCKS5");
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_and_a_wrong_one_costs_a_second() {
    let pair = pair(GUARDED).await;
    let (listener, port) = origin().await.unwrap();
    let served = tokio::spawn(async move { listener.accept().await.unwrap() });
    let mut app = TcpStream::connect(pair.ingress("guarded")).await.unwrap();
    let request = |credentials: &str| {
        format!(
            "CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: x\r\n\
             Proxy-Authorization: Basic {credentials}\r\n\r\n"
        )
    };
    // All three on one connection, as browsers do.
    for (credentials, status, delay) in [
        ("", "407", Duration::ZERO),
        ("dXNlcjp3cm9uZw==", "407", Duration::from_millis(900)),
        ("dXNlcjpzZWNyZXQ=", "200", Duration::ZERO),
    ] {
        let began = Instant::now();
        app.write_all(request(credentials).as_bytes()).await.unwrap();
        let head = read_head(&mut app).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(began.elapsed() >= delay, "{:?}", began.elapsed());
        if status == "407" {
            assert!(head.contains("Proxy-Authenticate: Basic"), "{head}");
            let length = head.split("Content-Length: ").nth(1).unwrap();
            let length = length.split("\r\n").next().unwrap().parse().unwrap();
            let mut body = vec![0; length];
            app.read_exact(&mut body).await.unwrap();
        }
    }
    served.await.unwrap();
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_request_is_forwarded_without_what_was_for_the_proxy() {
    let pair = pair("").await;
    let (listener, port) = origin().await.unwrap();
    let served = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut heads = Vec::new();
        for body in ["one", "two"] {
            heads.push(read_head(&mut tcp).await);
            let mut upload = [0; 5];
            tcp.read_exact(&mut upload).await.unwrap();
            assert_eq!(&upload, b"12345");
            let reply = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-Hop: 1\r\nConnection: X-Hop\r\n\
                 X-End: 1\r\n\r\n{body}"
            );
            tcp.write_all(reply.as_bytes()).await.unwrap();
        }
        heads
    });
    let mut app = TcpStream::connect(pair.ingress("web")).await.unwrap();
    for body in ["one", "two"] {
        let request = format!(
            "POST http://localhost:{port}/a?b HTTP/1.1\r\nHost: other.example\r\n\
             Proxy-Authorization: Basic c2VjcmV0\r\nProxy-Connection: keep-alive\r\n\
             Connection: X-Mine\r\nX-Mine: 1\r\nX-Origin: 1\r\nContent-Length: 5\r\n\r\n12345"
        );
        app.write_all(request.as_bytes()).await.unwrap();
        let head = read_head(&mut app).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("X-End: 1\r\n") && !head.contains("X-Hop"), "{head}");
        assert!(head.to_lowercase().contains("via: 1.1 throughline\r\n"), "{head}");
        let mut received = [0; 3];
        app.read_exact(&mut received).await.unwrap();
        assert_eq!(&received, body.as_bytes());
    }
    // Both came on one connection to the origin.
    for head in served.await.unwrap() {
        assert!(head.starts_with("POST /a?b HTTP/1.1\r\n"), "{head}");
        assert!(head.to_lowercase().contains(&format!("host: localhost:{port}\r\n")), "{head}");
        assert!(head.contains("X-Origin: 1\r\n") && !head.contains("X-Mine"), "{head}");
        assert!(!head.contains("Proxy-") && !head.contains("other.example"), "{head}");
    }
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_off_does_not_look_whole() {
    let pair = pair("").await;
    let (listener, port) = origin().await.unwrap();
    let served = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        read_head(&mut tcp).await;
        // Its body ends with the connection.
        tcp.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbeginning").await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let mut app = TcpStream::connect(pair.ingress("web")).await.unwrap();
    let request = format!("GET http://127.0.0.1:{port}/ HTTP/1.0\r\n\r\n");
    app.write_all(request.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let read = timeout(DEADLINE, app.read_to_end(&mut received)).await.expect("it hangs");
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert!(received.ends_with(b"beginning"), "{}", String::from_utf8_lossy(&received));
    served.await.unwrap();
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_gone_ends_its_exchange_with_a_silent_origin() {
    let pair = pair("").await;
    let (listener, port) = origin().await.unwrap();
    let mut app = TcpStream::connect(pair.ingress("web")).await.unwrap();
    let request = format!("GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n");
    app.write_all(request.as_bytes()).await.unwrap();
    let (mut served, _) = timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
    read_head(&mut served).await;
    SockRef::from(&app).set_linger(Some(Duration::ZERO)).unwrap();
    drop(app);
    let read = timeout(DEADLINE, served.read(&mut [0; 1])).await.expect("the exchange goes on");
    assert!(matches!(read, Err(_) | Ok(0)), "{read:?}");
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_that_does_not_answer_in_http_is_a_bad_gateway() {
    let pair = pair("").await;
    let (listener, port) = origin().await.unwrap();
    let served = tokio::spawn(async move {
        for says in [&b"SSH-2.0-OpenSSH_9.2\r\n"[..], b""] {
            let (mut tcp, _) = listener.accept().await.unwrap();
            read_head(&mut tcp).await;
            tcp.write_all(says).await.unwrap();
        }
    });
    for error in ["http_protocol_error", "connection_terminated"] {
        let request = format!("GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: x\r\n\r\n");
        let reply = exchange(pair.ingress("web"), request.as_bytes()).await;
        assert!(reply.starts_with("HTTP/1.1 502 ") && reply.contains(error), "{reply}");
    }
    served.await.unwrap();
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_something_else_is_told_what_this_is() {
    let pair = pair("").await;
    let ingress = pair.ingress("web");
    let long = [b"GET http://h/ HTTP/1.1\r\nCookie: ", &[b'a'; 70_000][..]].concat();
    for (says, starts, contains) in [
        (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], "HTTP/1.1 404 ", "HTTP proxy `web`"),
        (b"GET https://h/ HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 ", "CONNECT"),
        (b"CONNECT h HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 ", "HOST:PORT"),
        (b"GET http://u:p@h/ HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 400 ", "user name"),
        (b"EHLO example\r\n", "HTTP/1.1 400 ", "this is an HTTP proxy"),
        (b"\x16\x03\x01\x02\x00\x01", "HTTP/1.1 400 ", "without TLS"),
        (&long, "HTTP/1.1 431 ", "cookies"),
        (b"\x05\x01\x00", "\x05", ""),
        (b"\x04\x01\x00\x50\x01\x02\x03\x04\x00", "\0[", ""),
        (b"GET http://h/ HTT", "", ""),
        (b"", "", ""),
    ] {
        let reply = exchange(ingress, says).await;
        let says = String::from_utf8_lossy(&says[..says.len().min(40)]);
        assert!(reply.starts_with(starts) && reply.contains(contains), "{says}: {reply:?}");
        assert!(!starts.is_empty() || reply.is_empty(), "{says}: {reply:?}");
    }
    pair.shutdown().await;
}
