//! HTTP/2 with prior knowledge, by a client that knows what a reset is.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{SendRequest, handshake};
use h2::{Reason, RecvStream, SendStream};
use hyper::{Request, Response};
use socket2::SockRef;
use throughline_fixture::{DEADLINE, echo_all, origin, pattern};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{GUARDED, pair, read_head};

pub(crate) async fn client(ingress: SocketAddr) -> SendRequest<Bytes> {
    let tcp = TcpStream::connect(ingress).await.unwrap();
    let (sender, connection) = handshake(tcp).await.unwrap();
    tokio::spawn(connection);
    sender.ready().await.unwrap()
}

/// Sends a request; its body goes on, unless it `ends`.
pub(crate) async fn ask(
    client: &SendRequest<Bytes>,
    request: Request<()>,
    ends: bool,
) -> (Response<RecvStream>, SendStream<Bytes>) {
    let (response, stream) = client.clone().send_request(request, ends).unwrap();
    (timeout(DEADLINE, response).await.expect("no answer").unwrap(), stream)
}

fn connect(target: &str) -> Request<()> {
    Request::builder().method("CONNECT").uri(target).body(()).unwrap()
}

pub(crate) async fn read_all(stream: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut bytes = Vec::new();
    while let Some(data) = timeout(DEADLINE, stream.data()).await.expect("it hangs") {
        let data = data?;
        bytes.extend_from_slice(&data);
        stream.flow_control().release_capacity(data.len())?;
    }
    Ok(bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_tunnels_that_close_each_direction_alone() {
    let pair = pair("").await;
    let client = client(pair.ingress("web")).await;
    let mut tunnels = Vec::new();
    for _ in 0..4 {
        let (listener, port) = origin().await.unwrap();
        let served = tokio::spawn(async move { echo_all(&listener).await.unwrap() });
        let (response, stream) = ask(&client, connect(&format!("localhost:{port}")), false).await;
        assert_eq!(response.status(), 200);
        tunnels.push((response.into_body(), stream, served));
    }
    let sent = pattern(700_000);
    for (_, stream, _) in &mut tunnels {
        stream.send_data(Bytes::from(sent.clone()), true).unwrap();
    }
    // All at once: what one leaves unread takes room from the others, at the client.
    let reading = tunnels.into_iter().map(|(mut received, stream, served)| {
        tokio::spawn(async move {
            let bytes = read_all(&mut received).await.unwrap();
            served.await.unwrap();
            drop(stream);
            bytes
        })
    });
    for bytes in reading.collect::<Vec<_>>() {
        assert!(bytes.await.unwrap() == sent, "the bytes differ");
    }
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_of_either_side_is_a_reset_and_no_end() {
    let pair = pair("").await;
    let client = client(pair.ingress("web")).await;
    let (listener, port) = origin().await.unwrap();
    let target = format!("127.0.0.1:{port}");
    for client_resets in [true, false] {
        let (response, mut stream) = ask(&client, connect(&target), false).await;
        stream.send_data(Bytes::from_static(b"hello"), false).unwrap();
        let (mut served, _) = timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
        let mut hello = [0; 5];
        served.read_exact(&mut hello).await.unwrap();
        if client_resets {
            stream.send_reset(Reason::CANCEL);
            let read = timeout(DEADLINE, served.read(&mut hello)).await.expect("no reset");
            assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
        } else {
            SockRef::from(&served).set_linger(Some(Duration::ZERO)).unwrap();
            drop(served);
            let error = read_all(&mut response.into_body()).await.unwrap_err();
            assert_eq!(error.reason(), Some(Reason::CONNECT_ERROR));
        }
    }
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_request_and_a_refusal_are_answered() {
    let pair = pair("").await;
    let client = client(pair.ingress("any")).await;
    let (listener, port) = origin().await.unwrap();
    let served = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let head = read_head(&mut tcp).await;
        let mut body = [0; 5];
        tcp.read_exact(&mut body).await.unwrap();
        tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: x\r\n\r\none")
            .await
            .unwrap();
        (head, body)
    });
    let request = Request::builder().method("PUT").uri(format!("http://localhost:{port}/a?b"));
    let request = request.header("content-length", "5").body(()).unwrap();
    let (response, mut stream) = client.clone().send_request(request, false).unwrap();
    stream.send_data(Bytes::from_static(b"12345"), true).unwrap();
    let response = timeout(DEADLINE, response).await.expect("no answer").unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["via"]),
        (200, &"1.1 throughline".parse().unwrap())
    );
    assert_eq!(read_all(&mut response.into_body()).await.unwrap(), b"one");
    let (head, body) = served.await.unwrap();
    assert!(head.starts_with("PUT /a?b HTTP/1.1\r\n") && &body == b"12345", "{head}");
    assert!(head.to_lowercase().contains(&format!("host: localhost:{port}\r\n")), "{head}");

    let (response, _) = ask(&client, connect(&format!("127.0.0.2:{port}")), false).await;
    assert_eq!(response.status(), 403);
    assert!(
        response.headers()["proxy-status"].to_str().unwrap().contains("destination_ip_prohibited")
    );
    let text = read_all(&mut response.into_body()).await.unwrap();
    assert!(String::from_utf8(text).unwrap().contains("`allow`"));
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_cut_off_resets_its_stream() {
    let pair = pair("").await;
    let client = client(pair.ingress("web")).await;
    let (listener, port) = origin().await.unwrap();
    let served = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        read_head(&mut tcp).await;
        tcp.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbeginning").await.unwrap();
        SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let request = Request::builder().uri(format!("http://127.0.0.1:{port}/")).body(()).unwrap();
    let (response, _) = client.clone().send_request(request, true).unwrap();
    // The reset may overtake the head.
    match timeout(DEADLINE, response).await.expect("no answer") {
        Ok(response) if response.status() == 200 => {
            read_all(&mut response.into_body()).await.unwrap_err();
        }
        Ok(response) => assert_eq!(response.status(), 502),
        Err(error) => assert!(error.is_reset(), "{error}"),
    }
    served.await.unwrap();
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_cost_a_second_each_although_all_are_tried_at_once() {
    let pair = pair(GUARDED).await;
    let client = client(pair.ingress("guarded")).await;
    // Its target is one that `allow` does not have.
    let request = |credentials: &str| {
        let request = Request::builder().method("CONNECT").uri("127.0.0.2:1");
        request.header("proxy-authorization", format!("Basic {credentials}")).body(()).unwrap()
    };
    let began = Instant::now();
    let wrong = (0..3).map(|_| {
        let (response, _) = client.clone().send_request(request("dXNlcjp3cm9uZw=="), true).unwrap();
        tokio::spawn(async move { response.await.unwrap().status().as_u16() })
    });
    for status in wrong.collect::<Vec<_>>() {
        assert_eq!(timeout(DEADLINE, status).await.expect("no answer").unwrap(), 407);
    }
    assert!(began.elapsed() >= Duration::from_secs(3), "{:?}", began.elapsed());
    let (response, _) = ask(&client, request("dXNlcjpzZWNyZXQ="), true).await;
    assert_eq!(response.status(), 403);
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_head_has_no_body() {
    let pair = pair("").await;
    let client = client(pair.ingress("web")).await;
    let ingress = pair.ingress("web");
    for (uri, status) in [
        (format!("http://{ingress}/proxy.pac"), 0),
        ("http://127.0.0.2:1/".to_owned(), 403),
        ("ftp://127.0.0.1/".to_owned(), 400),
    ] {
        let request = Request::builder().method("HEAD").uri(&uri).body(()).unwrap();
        let (response, _) = ask(&client, request, true).await;
        assert!([0, response.status().as_u16()].contains(&status), "{uri}: {response:?}");
        let body = read_all(&mut response.into_body()).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&body), "", "{uri}");
    }
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_are_joined_for_the_origin_and_too_many_fields_are_refused() {
    let pair = pair("").await;
    let client = client(pair.ingress("web")).await;
    let (listener, port) = origin().await.unwrap();
    let served = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let head = read_head(&mut tcp).await;
        tcp.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        head
    });
    let request = || Request::builder().uri(format!("http://127.0.0.1:{port}/"));
    // Each cookie in a field of its own, as browsers send them: those count as one.
    let cookies =
        (0..120).fold(request(), |request, n| request.header("cookie", format!("c{n}=v")));
    let (response, _) = ask(&client, cookies.body(()).unwrap(), true).await;
    assert_eq!(response.status(), 204);
    let head = served.await.unwrap().to_lowercase();
    assert!(head.contains("cookie: c0=v; c1=v; ") && head.contains("; c119=v\r\n"), "{head}");
    assert_eq!(head.matches("cookie:").count(), 1, "{head}");

    let many = (0..101).fold(request(), |request, n| request.header(format!("x-{n}"), "v"));
    let (response, _) = ask(&client, many.body(()).unwrap(), true).await;
    assert_eq!(response.status(), 431);
    let text = read_all(&mut response.into_body()).await.unwrap();
    assert!(String::from_utf8(text).unwrap().contains("more than 100 header fields"));
    pair.shutdown().await;
}
