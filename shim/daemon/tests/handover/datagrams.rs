//! Flows of datagrams are handed over: calls of 50 packets a second each way, by a forward, by an association of SOCKS5
//! and without a peer, while either end is handed over again and again, or nearly.

mod call;

use std::net::SocketAddr;
use std::time::Duration;

use throughline_emulator::Profile;
use throughline_fixture::{DEADLINE, Outcome, ProgramPair, Shape, alone};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};

use self::call::{Call, INTERVAL, VOICE};
use super::refused::Successor;
use super::{number, program};

/// What goes over each lane as a stream of its own.
const LONG: usize = 8_000;

fn shape() -> Shape {
    Shape { profile: Profile::new(20_000_000, Duration::from_millis(5)), ..Shape::default() }
}

fn forward(name: &str, to: SocketAddr, via: &str) -> String {
    format!(
        "[ingress.{name}]\nkind = 'forward'\nprotocol = 'udp'\nlisten = '127.0.0.1:0'\nto = '{to}'\n\
         via = '{via}'\n"
    )
}

async fn socket(connect: Option<SocketAddr>) -> Outcome<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    if let Some(addr) = connect {
        socket.connect(addr).await?;
    }
    Ok(socket)
}

/// Begins a call by an association.
async fn by_association(socks: SocketAddr) -> Outcome<Call> {
    let mut tcp = TcpStream::connect(socks).await?;
    tcp.write_all(b"\x05\x01\x00\x05\x03\x00\x01\0\0\0\0\0\0").await?;
    let mut reply = [0; 12];
    tcp.read_exact(&mut reply).await?;
    let at = SocketAddr::from(([127, 0, 0, 1], u16::from_be_bytes([reply[10], reply[11]])));
    let destination = socket(None).await?;
    let port = destination.local_addr()?.port().to_be_bytes();
    let header = [&[0, 0, 0, 1, 127, 0, 0, 1][..], &port].concat();
    let client = (socket(Some(at)).await?, header);
    let mut call = Call::begin("association", client, destination, VOICE).await?;
    call.tcp = Some(tcp);
    Ok(call)
}

/// Starts two daemons, and a call of each kind, with one of long datagrams.
async fn start() -> Outcome<(ProgramPair, Vec<Call>)> {
    let [voice, long, directly] = [socket(None).await?, socket(None).await?, socket(None).await?];
    let extras = [
        forward("voice", voice.local_addr()?, "far"),
        forward("long", long.local_addr()?, "far"),
        forward("direct", directly.local_addr()?, "direct"),
    ];
    let pair = ProgramPair::start_program(program(), shape(), &extras.concat(), &[])?;
    let client =
        async |name: &str| Outcome::Ok((socket(Some(pair.near.ingress(name)?)).await?, Vec::new()));
    let calls = vec![
        Call::begin("forward", client("voice").await?, voice, VOICE).await?,
        Call::begin("long", client("long").await?, long, LONG).await?,
        Call::begin("direct", client("direct").await?, directly, VOICE).await?,
        by_association(pair.socks()?).await?,
    ];
    go_on(&calls).await?;
    Ok((pair, calls))
}

async fn go_on(calls: &[Call]) -> Outcome {
    for call in calls {
        call.goes_on().await?;
    }
    Ok(())
}

/// `THROUGHLINE_HANDOVERS=20` hands each end over twenty times.
#[tokio::test(flavor = "multi_thread")]
async fn calls_go_on_from_the_same_port_and_lose_at_most_what_was_under_way() -> Outcome {
    let _alone = alone().await;
    let rounds = number("THROUGHLINE_HANDOVERS", 2);
    let (mut pair, calls) = start().await?;
    for round in 0..2 * rounds {
        go_on(&calls).await?;
        sleep(Duration::from_millis(300)).await;
        let former = pair.hand_over(["near", "far"][round % 2])?;
        println!("{}", former.lines().rfind(|line| line.contains("handed over")).unwrap_or(""));
        let flows = ["flows=4", "flows=3"][round % 2];
        assert!(former.contains(flows) && former.contains("cut=0"), "{former}");
    }
    go_on(&calls).await?;
    for call in calls {
        call.finish(2 * rounds as u64).await?;
    }
    // Flows that were handed over hold up the end no longer than others.
    pair.near.signal("TERM")?;
    assert!(pair.near.ended()?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_successor_dies_at_any_step_calls_go_on_and_lose_nothing() -> Outcome {
    let _alone = alone().await;
    let (mut pair, mut calls) = start().await?;
    for end in ["near", "far"] {
        for step in 0..4 {
            Successor::die(&pair, end, step, "[1,2,3,4]", "\"format\":4")?;
            go_on(&calls).await?;
        }
    }
    // What has stood still so often can still be handed over.
    let last = calls.pop().expect("four calls");
    for call in calls {
        call.finish(0).await?;
    }
    pair.hand_over("near")?;
    last.goes_on().await?;
    last.finish(1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_association_ends_with_its_connection_also_at_the_successor() -> Outcome {
    let _alone = alone().await;
    let mut pair = ProgramPair::start_program(program(), shape(), "", &[])?;
    let mut call = by_association(pair.socks()?).await?;
    call.goes_on().await?;
    pair.hand_over("near")?;
    call.goes_on().await?;
    drop(call.tcp.take());
    let ended = async {
        while pair.status().await?.contains("/udp") {
            sleep(INTERVAL).await;
        }
        Outcome::Ok(())
    };
    timeout(DEADLINE, ended).await.map_err(|_| "its flow is still there")?
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_that_knows_no_datagrams_gets_the_rest_and_their_flows_begin_anew() -> Outcome {
    let _alone = alone().await;
    let (pair, calls) = start().await?;
    for (formats, format) in [("[1,2,3]", "\"format\":3"), ("[1,2]", "\"format\":2")] {
        let mut successor = Successor::ask(&pair, "near", formats)?;
        assert!(successor.hear()?.contains(format));
        successor.say("\"proceed\"")?;
        // The state comes without them, and where the successor does not take over, they go on.
        assert!(successor.hear()?.contains("\"connections\":0"));
        drop(successor);
        go_on(&calls).await?;
    }
    Ok(())
}
