//! One port that takes every protocol, and ports that take one and say so.

use throughline_fixture::{DEADLINE, echo_all, origin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{exchange, pair, read_head};

#[tokio::test(flavor = "multi_thread")]
async fn one_port_serves_socks5_socks4a_and_http_by_the_first_byte() {
    let pair = pair("").await;
    let ingress = pair.ingress("any");
    for (protocol, reply) in [("socks5", 12), ("socks4", 8), ("socks4a", 8), ("http", 0)] {
        let (listener, port) = origin().await.unwrap();
        let served = tokio::spawn(async move { echo_all(&listener).await.unwrap() });
        let number = port.to_be_bytes();
        let request = match protocol {
            "socks5" => [b"\x05\x01\0\x05\x01\0\x03\x09localhost", &number[..]].concat(),
            "socks4" => [b"\x04\x01", &number[..], &[127, 0, 0, 1], b"user\0"].concat(),
            "socks4a" => [b"\x04\x01", &number[..], b"\0\0\0\x01\0localhost\0"].concat(),
            _ => format!("CONNECT localhost:{port} HTTP/1.1\r\n\r\n").into_bytes(),
        };
        let mut app = TcpStream::connect(ingress).await.unwrap();
        // What follows at once is the flow's; SOCKS5 has a dialogue first.
        let early: &[u8] = if protocol == "socks5" { b"" } else { b"early " };
        app.write_all(&[&request, early].concat()).await.unwrap();
        match reply {
            0 => assert!(read_head(&mut app).await.starts_with("HTTP/1.1 200 ")),
            length => {
                let mut reply = vec![0; length];
                timeout(DEADLINE, app.read_exact(&mut reply)).await.expect("no reply").unwrap();
                let granted = if length == 8 { reply[1] == 90 } else { reply[3] == 0 };
                assert!(granted, "{protocol}: {reply:?}");
            }
        }
        app.write_all(b"hello").await.unwrap();
        app.shutdown().await.unwrap();
        let mut received = Vec::new();
        timeout(DEADLINE, app.read_to_end(&mut received)).await.expect("it hangs").unwrap();
        assert_eq!(received, [early, b"hello"].concat(), "{protocol}");
        served.await.unwrap();
    }
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reaches_the_wrong_port_is_told_in_its_own_protocol() {
    let guarded = "[ingress.guarded]
         kind = 'proxy'
         listen = '127.0.0.1:0'
         username = 'user'
         password = 'secret'";
    let pair = pair(guarded).await;
    let (socks, web) = (pair.socks(), pair.ingress("web"));
    for request in ["CONNECT h:1 HTTP/1.1\r\n\r\n", "GET http://h/ HTTP/1.1\r\n\r\n"] {
        let reply = exchange(socks, request.as_bytes()).await;
        let reply = String::from_utf8(reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
        assert!(reply.contains("SOCKS5 proxy `socks`"), "{reply}");
    }
    let (listener, port) = origin().await.unwrap();
    drop(listener);
    let number = port.to_be_bytes();
    let socks4 = [b"\x04\x01", &number[..], &[127, 0, 0, 1], b"\0"].concat();
    assert_eq!(exchange(web, &[5, 1, 0]).await, [5, 0xff]);
    // Also where the destination refuses, and where a password is wanted.
    for ingress in [web, socks, pair.ingress("any"), pair.ingress("guarded")] {
        assert_eq!(exchange(ingress, &socks4).await[..2], [0, 91]);
    }
    assert_eq!(exchange(pair.ingress("guarded"), &[5, 1, 0]).await, [5, 0xff]);
    pair.shutdown().await;
}

/// A client at 192.0.2.1:5000 that connected to 198.51.100.2:80.
const HEADER: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\x13\x88\0\x50";

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_protocol_goes_in_from_stated_sources_and_out_of_a_forward() {
    let (listener, port) = origin().await.unwrap();
    let tables = format!(
        "[ingress.fwd]
         kind = 'forward'
         listen = '127.0.0.1:0'
         to = '127.0.0.1:{port}'
         accept-proxy-protocol = ['127.0.0.0/8', '2001:db8::1']
         send-proxy-protocol = true
         via = 'far'
         [ingress.balanced]
         kind = 'http'
         listen = '127.0.0.1:0'
         accept-proxy-protocol = '127.0.0.1'
         [ingress.elsewhere]
         kind = 'http'
         listen = '127.0.0.1:0'
         accept-proxy-protocol = '192.0.2.0/24'"
    );
    let pair = pair(&tables).await;
    let mut app = TcpStream::connect(pair.ingress("fwd")).await.unwrap();
    // The header may come in pieces.
    app.write_all(&HEADER[..5]).await.unwrap();
    app.write_all(&[&HEADER[5..], b"hello"].concat()).await.unwrap();
    let (mut served, _) = timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
    let mut received = vec![0; HEADER.len() + 5];
    timeout(DEADLINE, served.read_exact(&mut received)).await.expect("nothing comes").unwrap();
    assert_eq!(received, [HEADER, b"hello"].concat());

    let request = b"GET / HTTP/1.1\r\n\r\n";
    let reply = exchange(pair.ingress("balanced"), &[HEADER, request].concat()).await;
    assert!(reply.starts_with(b"HTTP/1.1 404 "), "{}", String::from_utf8_lossy(&reply));
    // Who is not named sends none, and is a client as ever.
    let reply = exchange(pair.ingress("elsewhere"), request).await;
    assert!(reply.starts_with(b"HTTP/1.1 404 "), "{}", String::from_utf8_lossy(&reply));
    let mut app = TcpStream::connect(pair.ingress("balanced")).await.unwrap();
    app.write_all(request).await.unwrap();
    let read = timeout(DEADLINE, app.read(&mut [0; 1])).await.expect("no reset");
    assert!(matches!(read, Err(_) | Ok(0)), "served without a header: {read:?}");
    pair.shutdown().await;
}
