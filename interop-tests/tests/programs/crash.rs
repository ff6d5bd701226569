//! The far daemon crashes under an application's connection.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use interop_tests::support::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::turn;
use throughline_fixture::{ProgramPair, Shape};

const RESET_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects through the SOCKS5 ingress (RFC 1928).
async fn socks(ingress: SocketAddr, to: SocketAddr) -> Outcome<TcpStream> {
    let SocketAddr::V4(to) = to else { return Err("not IPv4".into()) };
    let mut tcp = TcpStream::connect(ingress).await?;
    let mut request = vec![5, 1, 0, 5, 1, 0, 1];
    request.extend(to.ip().octets());
    request.extend(to.port().to_be_bytes());
    tcp.write_all(&request).await?;
    let mut reply = [0; 12];
    timeout(RESET_TIMEOUT, tcp.read_exact(&mut reply)).await??;
    if reply[3] == 0 { Ok(tcp) } else { Err(format!("reply {}", reply[3]).into()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_reset_soon_after_the_far_daemon_crashed_and_a_new_one_works() -> Outcome {
    let _alone = turn::alone().await;
    let mut pair = ProgramPair::start(Shape::default(), "")?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = tcp.split();
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    let mut buffer = [0; 5];
    let mut app = socks(pair.socks()?, origin).await?;
    app.write_all(b"hello").await?;
    app.read_exact(&mut buffer).await?;

    pair.crash_and_restart_far()?;
    let restarted = Instant::now();
    let read = timeout(RESET_TIMEOUT, app.read(&mut buffer)).await.map_err(|_| "the flow hangs")?;
    let error = read.expect_err("an honest-looking end");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    let took = restarted.elapsed();
    println!("    reset {took:?} after the restart");
    assert!(took <= Duration::from_secs(2), "{took:?}");
    pair.near.says("peer restarted")?;

    let mut app = socks(pair.socks()?, origin).await?;
    app.write_all(b"again").await?;
    app.read_exact(&mut buffer).await?;
    assert_eq!(&buffer, b"again");
    Ok(())
}
