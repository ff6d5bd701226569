//! Where a message ends, whatever its fields say: no part of one looks like the whole.

use bytes::Bytes;
use hyper::Request;
use throughline_fixture::{DEADLINE, origin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::http2::{ask, client, read_all};
use crate::{exchange, pair, read_head};

/// Answers each of `count` connections, once its request has ended as `ends` says; returns the requests.
fn serve(
    listener: TcpListener,
    count: usize,
    ends: &'static str,
    answer: &'static str,
) -> JoinHandle<Vec<String>> {
    tokio::spawn(async move {
        let mut requests = Vec::new();
        for _ in 0..count {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut request = read_head(&mut tcp).await;
            while !request.ends_with(ends) {
                let mut more = [0; 1000];
                let read = timeout(DEADLINE, tcp.read(&mut more)).await;
                let read = read.unwrap_or_else(|_| panic!("no more comes after {request}"));
                request.push_str(std::str::from_utf8(&more[..read.unwrap()]).unwrap());
            }
            requests.push(request);
            tcp.write_all(answer.as_bytes()).await.unwrap();
        }
        requests
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_answer_with_a_length_as_well_is_whole() {
    let pair = pair("").await;
    let (listener, port) = origin().await.unwrap();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
                  5\r\nhello\r\n0\r\n\r\n";
    let served = serve(listener, 2, "\r\n\r\n", answer);
    let uri = format!("http://127.0.0.1:{port}/");

    let request = format!("GET {uri} HTTP/1.0\r\n\r\n");
    let reply = exchange(pair.ingress("web"), request.as_bytes()).await;
    let reply = String::from_utf8(reply).unwrap();
    assert!(reply.ends_with("\r\n\r\nhello"), "{reply}");
    assert!(!reply.to_lowercase().contains("content-length"), "{reply}");

    let client = client(pair.ingress("web")).await;
    let request = Request::builder().uri(uri).body(()).unwrap();
    let (response, _) = ask(&client, request, true).await;
    assert_eq!(read_all(&mut response.into_body()).await.unwrap(), b"hello");
    served.await.unwrap();
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_length_reaches_the_origin_whatever_the_method() {
    let pair = pair("").await;
    let client = client(pair.ingress("web")).await;
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "POST"] {
        let (listener, port) = origin().await.unwrap();
        let served = serve(listener, 2, "\r\n0\r\n\r\n", "HTTP/1.1 204 No Content\r\nX: 1\r\n\r\n");
        let uri = format!("http://127.0.0.1:{port}/");

        let request = format!(
            "{method} {uri} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\
             \r\n5\r\nhello\r\n0\r\n\r\n"
        );
        let reply = exchange(pair.ingress("web"), request.as_bytes()).await;
        assert!(reply.starts_with(b"HTTP/1.1 204 "), "{}", String::from_utf8_lossy(&reply));

        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        let (response, mut stream) = client.clone().send_request(request, false).unwrap();
        stream.send_data(Bytes::from_static(b"hello"), true).unwrap();
        let response = timeout(DEADLINE, response).await.expect("no answer").unwrap();
        assert_eq!(response.status(), 204);
        for request in served.await.unwrap() {
            assert!(request.to_lowercase().contains("transfer-encoding: chunked\r\n"), "{request}");
            assert!(request.ends_with("\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), "{request}");
        }
    }
    pair.shutdown().await;
}
