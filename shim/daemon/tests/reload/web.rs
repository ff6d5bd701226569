//! The status page comes, moves and goes with reloads.

use std::os::unix::fs::PermissionsExt;

use throughline_fixture::process::free_tcp_port;
use throughline_fixture::{DEADLINE, Outcome, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::site::Site;

/// Asks for a change that names no uplink; returns the status.
async fn status(port: u16, token: &str) -> Outcome<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = format!(
        "POST /drain HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    timeout(DEADLINE, stream.read_to_string(&mut answer)).await??;
    Ok(answer.split(' ').nth(1).ok_or("no status")?.parse()?)
}

/// Begins to look.
async fn view(port: u16) -> Outcome<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    timeout(DEADLINE, stream.read_u8()).await??;
    Ok(stream)
}

async fn ends(mut stream: TcpStream) -> Outcome {
    timeout(DEADLINE, stream.read_to_end(&mut Vec::new())).await??;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_comes_moves_and_goes_and_its_token_is_read_again() -> Outcome {
    let site = Site::start("").await?;
    let (first, second) = (free_tcp_port()?, free_tcp_port()?);
    let at = |port: u16| format!("web = '127.0.0.1:{port}'");
    site.near.field(&at(first)).write()?;
    site.dry_run("near").await?;
    assert!(TcpStream::connect(("127.0.0.1", first)).await.is_err(), "it was only tried");
    let answer = site.reload("near").await?;
    assert_eq!(answer.changes, [format!("`web` is 127.0.0.1:{first} instead of off")]);
    let viewer = view(first).await?;
    assert_eq!(status(first, "x").await?, 403);

    // Who looks has to look again, and by the new token.
    let token = site.pair.directory().join("token");
    let write = |text: &str, mode| -> Outcome {
        std::fs::write(&token, text)?;
        Ok(std::fs::set_permissions(&token, std::fs::Permissions::from_mode(mode))?)
    };
    let with_token = at(first) + "\nweb-token-file = 'token'";
    write("0123456789abcdef", 0o644)?;
    site.near.field(&with_token).write()?;
    let error = site.reload("near").await.map(|_| ()).expect_err("others read the token");
    assert!(error.to_string().contains("chmod o-rwx"), "{error}");
    write("0123456789abcdef", 0o600)?;
    site.reload("near").await?;
    ends(viewer).await?;
    assert_eq!(status(first, "x").await?, 401);
    assert_eq!(status(first, "0123456789abcdef").await?, 400);
    write("fedcba9876543210", 0o600)?;
    assert_eq!(site.reload("near").await?.changes, Vec::<String>::new());
    assert_eq!(status(first, "0123456789abcdef").await?, 401);
    assert_eq!(status(first, "fedcba9876543210").await?, 400);

    // What changes nothing of it leaves viewers alone.
    let mut viewer = view(first).await?;
    site.reload("near").await?;
    viewer.read_exact(&mut [0; 512]).await?;
    site.near.field(&at(second)).write()?;
    site.reload("near").await?;
    ends(viewer).await?;
    assert!(TcpStream::connect(("127.0.0.1", first)).await.is_err(), "it has moved");
    // An address that is taken changes nothing.
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    site.near.field(&at(taken.local_addr()?.port())).write()?;
    for answer in [site.dry_run("near").await, site.reload("near").await] {
        let error = answer.map(|_| ()).expect_err("the port is taken").to_string();
        assert!(error.contains("write another address in `web`"), "{error}");
    }
    let viewer = view(second).await?;
    site.near.write()?;
    site.reload("near").await?;
    ends(viewer).await?;
    let gone = until(async || TcpStream::connect(("127.0.0.1", second)).await.is_err()).await;
    assert!(gone, "it still listens");
    Ok(())
}
