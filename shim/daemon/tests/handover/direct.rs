//! Connections that lead to their destination without a peer, and such that are not set up yet.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use throughline_emulator::Profile;
use throughline_fixture::{DEADLINE, Outcome, ProgramPair, Shape, alone};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::program;
use super::refused::Successor;
use throughline_fixture::flows::{self, Echo};

fn shape() -> Shape {
    Shape { profile: Profile::new(20_000_000, Duration::from_millis(5)), ..Shape::default() }
}

fn direct(name: &str, port: u16) -> String {
    format!(
        "[ingress.{name}]\nkind = 'forward'\nlisten = '127.0.0.1:0'\nto = '127.0.0.1:{port}'\n\
         via = 'direct'\n"
    )
}

/// Reads until the connection ends; returns whether it was reset.
async fn is_reset(stream: &mut TcpStream) -> Outcome<bool> {
    loop {
        match timeout(DEADLINE, stream.read(&mut [0; 1024])).await? {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn direct_connections_are_handed_over_and_no_byte_of_them_is_wrong() -> Outcome {
    let _alone = alone().await;
    let extras = direct("direct", flows::echo_server().await?);
    let mut pair = ProgramPair::start_program(program(), shape(), &extras, &[])?;
    let ingress = pair.near.ingress("direct")?;
    let mut bulk = Vec::new();
    for flow in 0..3 {
        bulk.push(flows::bulk(ingress, flow).await?);
    }
    let echo = Echo::begin(ingress, 100).await?;
    for _ in 0..5 {
        echo.further(20).await?;
        let former = pair.hand_over("near")?;
        assert!(former.contains("flows=4") && former.contains("cut=0"), "{former}");
    }
    echo.further(20).await?;
    for flow in bulk {
        assert!(flow.finish().await? > 0);
    }
    echo.finish().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_knows_no_direct_connections_gets_the_others_and_these_are_reset()
-> Outcome {
    let _alone = alone().await;
    let port = flows::echo_server().await?;
    let extras = [direct("direct", port), throughline_fixture::forward("echo", port)].concat();
    let mut pair = ProgramPair::start_program(program(), shape(), &extras, &[])?;
    let [direct, echo] = ["direct", "echo"].map(|name| pair.near.ingress(name));
    let (mut direct, mut echo) =
        (TcpStream::connect(direct?).await?, TcpStream::connect(echo?).await?);
    for stream in [&mut direct, &mut echo] {
        stream.write_all(b"echo").await?;
        stream.read_exact(&mut [0; 4]).await?;
    }
    let mut successor = Successor::ask(&pair, "near", "[1]")?;
    assert!(successor.hear()?.contains("\"format\":1"));
    successor.say("\"proceed\"")?;
    assert!(successor.hear()?.contains("{\"state\":{\"connections\":1}}"));
    successor.say("\"ready\"")?;
    assert!(successor.hear()?.contains("yours"));
    assert!(pair.near.ended()?.success());
    assert!(pair.near.log().contains("flows=1 cut=1"), "{}", pair.near.log());
    assert!(is_reset(&mut direct).await?);
    Ok(())
}

/// Clients of the ingresses of which none has a way out, each after it has said that.
async fn clients(ingresses: &[(SocketAddr, &[u8])]) -> Outcome<Vec<TcpStream>> {
    let mut clients = Vec::new();
    for (ingress, says) in ingresses {
        let mut client = TcpStream::connect(ingress).await?;
        client.write_all(says).await?;
        clients.push(client);
    }
    Ok(clients)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_set_up_too_late_are_reset_and_none_looks_whole() -> Outcome {
    let _alone = alone().await;
    let origin = TcpListener::bind("127.0.0.1:0").await?;
    let port = origin.local_addr()?.port();
    let extras = [
        throughline_fixture::forward("late", port),
        "[ingress.proxy]\nkind = 'proxy'\nlisten = '127.0.0.1:0'\nvia = 'far'\n".to_owned(),
    ]
    .concat();
    let mut pair = ProgramPair::start_program(program(), shape(), &extras, &[])?;
    let (late, proxy) = (pair.near.ingress("late")?, pair.near.ingress("proxy")?);
    // The far end stands still: it answers no open.
    pair.far.signal("STOP")?;
    let [high, low] = port.to_be_bytes();
    let socks5 = [&[5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1][..], &[high, low]].concat();
    let socks4 = [&[4, 1][..], &[high, low, 127, 0, 0, 1, 0]].concat();
    let mut clients = clients(&[
        (late, b"what is said first"),
        (proxy, &socks5),
        (proxy, &socks4),
        (proxy, b""),
        (proxy, &[5]),
        (proxy, b"GET http://"),
    ])
    .await?;
    let former = pair.hand_over("near")?;
    assert!(former.contains("flows=0 cut=6"), "{former}");
    for (at, client) in clients.iter_mut().enumerate() {
        assert!(is_reset(client).await?, "client {at} takes it for the end");
    }
    pair.far.signal("CONT")?;
    // Whoever comes now is served.
    let mut client = TcpStream::connect(late).await?;
    client.write_all(b"hello").await?;
    let mut heard = [0; 5];
    loop {
        let (mut served, _) = timeout(DEADLINE, origin.accept()).await??;
        // The far end may dial for the others before it learns that they are gone.
        if timeout(DEADLINE, served.read_exact(&mut heard)).await?.is_ok() {
            assert_eq!(&heard, b"hello");
            return Ok(());
        }
    }
}
