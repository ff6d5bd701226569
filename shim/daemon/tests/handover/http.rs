//! What becomes of HTTP, whose state is in a library: requests are answered first, and tunnels are handed over.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use throughline_emulator::Profile;
use throughline_fixture::{DEADLINE, Outcome, ProgramPair, Shape, alone};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::program;
use throughline_fixture::flows::{self, Idle};

const INGRESS: &str = "[ingress.web]\nkind = 'http'\nlisten = '127.0.0.1:0'\nvia = 'far'\n";

/// Says `request` and reads up to and with `until`.
async fn ask(ingress: SocketAddr, request: &str, until: &str) -> Outcome<TcpStream> {
    let mut stream = TcpStream::connect(ingress).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut heard = Vec::new();
    while !heard.ends_with(until.as_bytes()) {
        let byte = timeout(DEADLINE, stream.read_u8()).await?;
        let heard_so_far = String::from_utf8_lossy(&heard).into_owned();
        heard.push(byte.map_err(|error| format!("{error} after {heard_so_far}"))?);
    }
    Ok(stream)
}

/// Accepts a request of `client`, and begins an answer with these fields.
async fn begin_answer(origin: &TcpListener, fields: &str) -> Outcome<TcpStream> {
    let (mut served, _) = timeout(DEADLINE, origin.accept()).await??;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(served.read_u8().await?);
    }
    served.write_all(format!("HTTP/1.1 200 OK\r\n{fields}\r\nhello").as_bytes()).await?;
    Ok(served)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_are_answered_tunnels_go_on_and_what_takes_long_is_cut_visibly()
-> Outcome {
    let _alone = alone().await;
    let shape =
        Shape { profile: Profile::new(20_000_000, Duration::from_millis(5)), ..Shape::default() };
    let mut pair = ProgramPair::start_program(program(), shape, INGRESS, &[])?;
    let (ingress, echo) = (pair.near.ingress("web")?, flows::echo_server().await?);
    let connect = format!("CONNECT 127.0.0.1:{echo} HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut tunnel = Idle::over(ask(ingress, &connect, "\r\n\r\n").await?, 7);
    tunnel.speak().await?;

    let origin = TcpListener::bind("127.0.0.1:0").await?;
    let get = format!("GET http://{}/ HTTP/1.1\r\nHost: x\r\n\r\n", origin.local_addr()?);
    let (client, served) =
        tokio::join!(ask(ingress, &get, "hello"), begin_answer(&origin, "Content-Length: 10\r\n"));
    let (mut client, mut served) = (client?, served?);
    let short = begin_answer(&origin, "Content-Length: 5\r\n");
    let (idle, _idle_served) = tokio::join!(ask(ingress, &get, "hello"), short);
    let mut idle = idle?;
    let successor = pair.begin_hand_over("near")?;
    // An idle connection is closed when requests come to their end, which the other one holds up.
    assert_eq!(timeout(DEADLINE, idle.read(&mut [0])).await??, 0);
    served.write_all(b"world").await?;
    let mut rest = String::new();
    timeout(DEADLINE, client.read_to_string(&mut rest)).await??;
    assert_eq!(rest, "world");
    let former = pair.end_hand_over("near", successor)?;
    assert!(former.contains("cut=0"), "{former}");
    tunnel.speak().await?;

    // An answer that has no length would look whole if its connection just ended.
    let (client, served) =
        tokio::join!(ask(ingress, &get, "hello"), begin_answer(&origin, "Connection: close\r\n"));
    let (mut client, _served) = (client?, served?);
    let former = pair.hand_over("near")?;
    assert!(former.contains("cut=1"), "{former}");
    let read = timeout(DEADLINE, client.read_to_string(&mut rest)).await?;
    // Its chunked framing says so, or the reset does.
    match read {
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        Ok(_) => assert!(!rest.ends_with("0\r\n\r\n"), "{rest}"),
    }
    tunnel.speak().await?;
    Ok(())
}
