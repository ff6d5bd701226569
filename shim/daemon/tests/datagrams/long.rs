//! Datagrams that are longer than a packet of the paths: both ways, among losses, while an ISP dies, and with a peer that
//! begins many and ends none.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use throughline_emulator::Way;
use throughline_fixture::{DaemonPair, ProgramPair, Shape};
use tokio::net::UdpSocket;
use tokio::time::{interval, sleep};

use super::site::{Echo, client, receive};

fn forward(to: &str) -> String {
    format!(
        "[ingress.echo]\nkind = 'forward'\nprotocol = 'udp'\nlisten = '127.0.0.1:0'\nto = '{to}'\n\
         via = 'far'\n"
    )
}

/// A datagram that says which one it is, everywhere.
fn numbered(number: u32, len: usize) -> Vec<u8> {
    number.to_be_bytes().into_iter().cycle().take(len).collect()
}

fn number_of(datagram: &[u8]) -> u32 {
    let number = u32::from_be_bytes(datagram[..4].try_into().unwrap());
    assert_eq!(datagram, numbered(number, datagram.len()), "another datagram than was sent");
    number
}

#[tokio::test(flavor = "multi_thread")]
async fn they_pass_both_ways_also_as_the_first_of_their_flow() {
    let echo = Echo::start().await;
    let pair = DaemonPair::builder()
        .allow(["127.0.0.1:*"])
        .near_config(&forward(&echo.addr.to_string()))
        .start()
        .await
        .unwrap();
    for len in [8_000, 60_000, 65_507] {
        let client = client(pair.ingress("echo")).await;
        for number in 0..5 {
            client.send(&numbered(number, len)).await.unwrap();
            let answer = receive(&client).await;
            assert_eq!((number_of(&answer), answer.len()), (number, len));
        }
    }
    pair.shutdown().await;
}

/// Sends a datagram of this length every so often, and counts how often each number comes back, for a second longer.
async fn call(
    client: &UdpSocket,
    len: usize,
    every: Duration,
    duration: Duration,
) -> (u32, BTreeMap<u32, u32>) {
    let (mut sent, mut came) = (0, BTreeMap::new());
    let (mut ticks, mut buffer) = (interval(every), vec![0; 65_535]);
    let begun = Instant::now();
    let over = sleep(duration + Duration::from_secs(3));
    tokio::pin!(over);
    loop {
        tokio::select! {
            _ = ticks.tick(), if begun.elapsed() < duration => {
                client.send(&numbered(sent, len)).await.unwrap();
                sent += 1;
            }
            received = client.recv(&mut buffer) => {
                *came.entry(number_of(&buffer[..received.unwrap()])).or_default() += 1;
            }
            () = &mut over => return (sent, came),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn losses_of_packets_lose_none_and_an_isps_death_few_and_none_comes_twice() {
    let echo = Echo::start().await;
    let (program, config) = (env!("CARGO_BIN_EXE_throughline"), forward(&echo.addr.to_string()));
    let pair =
        ProgramPair::start_program(program.as_ref(), Shape::default(), &config, &[]).unwrap();
    pair.run(async |pair: &ProgramPair| {
        let calling = client(pair.near.ingress("echo")?).await;
        calling.send(&numbered(0, 100)).await?;
        receive(&calling).await;
        // What is lost of packets QUIC repeats.
        pair.isps().iter().for_each(|isp| isp.set_loss(Way::Both, 0.03));
        let lossy = client(pair.near.ingress("echo")?).await;
        let flow = call(&lossy, 8_000, Duration::from_millis(50), Duration::from_secs(3)).await;
        pair.isps().iter().for_each(|isp| isp.set_loss(Way::Both, 0.0));
        let (sent, came) = flow;
        assert_eq!(came.len() as u32, sent, "among losses: {came:?}");
        // A thin flow's are on both ISPs: neither's death loses any.
        let dies = async {
            sleep(Duration::from_millis(1500)).await;
            pair.isps()[0].blackhole(Way::Both);
            sleep(Duration::from_millis(1500)).await;
            pair.isps()[0].heal(Way::Both);
        };
        let thin = call(&calling, 8_000, Duration::from_millis(800), Duration::from_secs(5));
        let ((sent, came), ()) = tokio::join!(thin, dies);
        assert_eq!(came.len() as u32, sent, "of a thin flow: {came:?}");
        assert!(came.values().all(|times| *times == 1), "{came:?}");
        // A thick one's are on one: what is under way until its silence is noticed is lost.
        let thick = client(pair.near.ingress("echo")?).await;
        let dies = async {
            sleep(Duration::from_secs(1)).await;
            for isp in pair.isps() {
                isp.blackhole(Way::Both);
                sleep(Duration::from_secs(1)).await;
                isp.heal(Way::Both);
                sleep(Duration::from_secs(1)).await;
            }
        };
        let flow = call(&thick, 60_000, Duration::from_millis(50), Duration::from_secs(5));
        let ((sent, came), ()) = tokio::join!(flow, dies);
        println!("    60,000 bytes, every 50 ms: {} of {sent} came back", came.len());
        assert!(came.values().all(|times| *times == 1), "{came:?}");
        // Each death may cost those of 300 ms, there and back.
        assert!(came.len() as u32 + 12 >= sent, "{} of {sent}", came.len());
        Ok(())
    })
    .await
    .unwrap();
}
