//! Many short flows, as a resolver's: each from a port of its own, asked once, and over by itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use throughline_fixture::DaemonPair;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::site::{Echo, targets};

/// How many flows are begun, at 10,000 a minute. `THROUGHLINE_FLOWS=10000` takes the whole minute.
fn flows() -> u64 {
    std::env::var("THROUGHLINE_FLOWS").ok().and_then(|text| text.parse().ok()).unwrap_or(2_500)
}

/// Between two flows.
const PACE: Duration = Duration::from_millis(6);

/// How long a flow to port 53 is kept when nothing is said on it, and what a busy machine takes besides.
const OVER_WITHIN: Duration = Duration::from_secs(10 + 20);

/// What there is: asynchronous tasks of both daemons, and the descriptors that each has given out.
async fn in_use(pair: &DaemonPair) -> [usize; 3] {
    let (near, far) = (pair.near_report().await, pair.far_report().await);
    [near.tasks, near.descriptors.connections, far.descriptors.connections]
}

/// Asks one question from a port of its own, again after a second as resolvers do.
async fn ask_once(ingress: SocketAddr, number: u64) -> bool {
    let socket = UdpSocket::bind("127.0.54.2:0").await.unwrap();
    socket.connect(ingress).await.unwrap();
    let (question, mut answer) = (number.to_be_bytes(), [0; 64]);
    for _ in 0..5 {
        socket.send(&question).await.unwrap();
        if let Ok(Ok(len)) = timeout(Duration::from_secs(1), socket.recv(&mut answer)).await {
            return answer[..len] == question;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_flows_a_minute_are_answered_and_leave_nothing_behind() {
    // On an address of its own: port 53 of 127.0.0.1 may be a resolver's.
    let addr = SocketAddr::from(([127, 0, 54, 1], 53));
    if UdpSocket::bind(addr).await.is_err() {
        eprintln!("SKIPPED: flows to port 53 (this user may not listen there)");
        return;
    }
    let echo = Echo::at(addr).await;
    let config = format!(
        "[ingress.dns]\nkind = 'forward'\nprotocol = 'udp'\nlisten = '127.0.0.1:0'\nto = '{}'\nvia = 'far'\n",
        echo.addr
    );
    let builder = DaemonPair::builder().allow(["127.0.54.1:53"]).near_config(&config);
    let pair = builder.start().await.unwrap();
    let ingress = pair.ingress("dns");
    assert!(ask_once(ingress, 0).await);
    let before = in_use(&pair).await;
    let (count, mut asks, mut ticks) = (flows(), JoinSet::new(), interval(PACE));
    for number in 0..count {
        ticks.tick().await;
        asks.spawn(ask_once(ingress, number));
    }
    let answered = asks.join_all().await.into_iter().filter(|answered| *answered).count();
    assert_eq!(answered as u64, count, "questions were not answered");
    let begun = Instant::now();
    while !targets(&pair).await.is_empty() {
        assert!(begun.elapsed() < OVER_WITHIN, "{} flows are left", targets(&pair).await.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The first flow, which was there before, is over as well.
    let [tasks, near, far] = before;
    pair.until("nothing is left of the flows", async |pair| {
        let after = in_use(pair).await;
        after[0] < tasks && after[1] <= near && after[2] < far
    })
    .await;
    pair.shutdown().await;
}
