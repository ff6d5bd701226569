//! A connection of an HTTP client that outlives a reload: its next request finds the ingress as it is now.

use std::net::SocketAddr;

use throughline_fixture::{DEADLINE, Outcome, echo_server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::site::Site;

/// `user:former` and `user:present`.
const FORMER: &str = "dXNlcjpmb3JtZXI=";
const PRESENT: &str = "dXNlcjpwcmVzZW50";

/// Asks for a tunnel and returns the status; that of a refusal leaves the connection as it was.
async fn connect(tcp: &mut TcpStream, target: &str, credentials: &str) -> Outcome<(u16, String)> {
    let request = format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {credentials}\r\n\r\n"
    );
    tcp.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(DEADLINE, tcp.read_u8()).await??);
    }
    let head = String::from_utf8(head)?;
    let status = head.split(' ').nth(1).ok_or("no status")?.parse()?;
    let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.split('\r').next());
    let mut body = vec![0; length.unwrap_or("0").parse()?];
    timeout(DEADLINE, tcp.read_exact(&mut body)).await??;
    Ok((status, String::from_utf8(body)?))
}

async fn echoes(tunnel: &mut TcpStream) -> Outcome {
    tunnel.write_all(b"?").await?;
    timeout(DEADLINE, tunnel.read_exact(&mut [0; 1])).await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_connection_is_asked_for_the_password_of_now() -> Outcome {
    let echo = format!("127.0.0.1:{}", echo_server().await?);
    // One that the peer does not allow: past the password it is a 403.
    let forbidden = "127.0.0.2:1";
    let web = "[ingress.web]\nkind = 'http'\nlisten = '127.0.0.1:0'\nvia = 'far'\nusername = 'user'\n\
               password = 'former'\n";
    let site = Site::start(web).await?;
    let ingress: SocketAddr = site.pair.near.ingress("web")?;
    let mut tunnel = TcpStream::connect(ingress).await?;
    assert_eq!(connect(&mut tunnel, &echo, FORMER).await?.0, 200);
    let mut live = TcpStream::connect(ingress).await?;
    assert_eq!(connect(&mut live, forbidden, FORMER).await?.0, 403);

    site.near.replace("password = 'former'", "password = 'present'").write()?;
    site.reload("near").await?;
    assert_eq!(connect(&mut live, forbidden, FORMER).await?.0, 407);
    assert_eq!(connect(&mut live, forbidden, PRESENT).await?.0, 403);
    echoes(&mut tunnel).await?;

    // A port of another kind has no password for them any more.
    site.near
        .replace("kind = 'http'", &format!("kind = 'forward'\nto = '{echo}'"))
        .replace("username = 'user'\npassword = 'former'", "")
        .write()?;
    site.reload("near").await?;
    let (status, text) = connect(&mut live, forbidden, PRESENT).await?;
    assert!(status == 400 && text.contains("ingress `web` was an HTTP proxy"), "{status} {text}");

    // A connection on which nothing goes on ends with its ingress, and a tunnel goes on.
    site.near.replace(web.trim_end(), "").write()?;
    site.reload("near").await?;
    assert_eq!(timeout(DEADLINE, live.read(&mut [0; 1])).await??, 0);
    echoes(&mut tunnel).await
}
