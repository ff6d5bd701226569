//! Ingresses at Unix sockets come, change and go by reloads, or are refused by name.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;

use throughline_fixture::{DEADLINE, Outcome, echo_server, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::site::Site;

async fn echoes(stream: &mut UnixStream) -> Outcome {
    stream.write_all(b"echo").await?;
    let mut heard = [0; 4];
    timeout(DEADLINE, stream.read_exact(&mut heard)).await??;
    assert_eq!(&heard, b"echo");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unix_socket_comes_changes_and_goes_and_its_connections_go_on() -> Outcome {
    let to = echo_server().await?;
    let site = Site::start("").await?;
    let path = site.pair.directory().join("x.sock");
    let table = |more: &str| {
        format!(
            "[ingress.x]\nkind = 'forward'\nlisten = 'unix:x.sock'\nto = '127.0.0.1:{to}'\nvia = 'far'\n{more}"
        )
    };
    // What is in the way is named, and nothing changes.
    std::fs::write(&path, "mine")?;
    site.near.table(&table("")).write()?;
    for refused in [site.dry_run("near").await, site.reload("near").await] {
        let error = refused.expect_err("it is taken over").to_string();
        assert!(
            error.contains("ingress `x` cannot listen at") && error.contains("move it"),
            "{error}"
        );
    }
    assert_eq!(std::fs::read(&path)?, b"mine");
    std::fs::remove_file(&path)?;
    let other = UnixListener::bind(&path)?;
    let error = site.reload("near").await.expect_err("it is taken over").to_string();
    assert!(error.contains("another program answers there"), "{error}");
    drop(other);
    // Nobody answers there now.
    let changes = site.dry_run("near").await?.changes;
    assert!(
        changes.iter().any(|change| change.contains("ingress x added at unix:")),
        "{changes:?}"
    );
    site.reload("near").await?;
    let mut app = UnixStream::connect(&path).await?;
    echoes(&mut app).await?;
    assert_eq!(path.metadata()?.mode() & 0o777, 0o600);

    site.near.table(&table("socket-mode = '0660'")).write()?;
    let changes = site.reload("near").await?.changes;
    assert!(changes.iter().any(|change| change.contains("ingress x changed")), "{changes:?}");
    assert_eq!(path.metadata()?.mode() & 0o777, 0o660);
    echoes(&mut app).await?;
    echoes(&mut UnixStream::connect(&path).await?).await?;

    site.near.write()?;
    site.reload("near").await?;
    assert!(until(async || !path.exists()).await, "its file stays");
    echoes(&mut app).await?;
    Ok(())
}
