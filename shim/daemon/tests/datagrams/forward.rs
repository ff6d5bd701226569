//! A UDP forward.

use std::time::{Duration, Instant};

use throughline::EventKind;
use throughline_fixture::{DEADLINE, DaemonPair};

use super::site::{Echo, ask, client, receive, targets};

fn forward(to: &str) -> String {
    format!(
        "[ingress.echo]\nkind = 'forward'\nprotocol = 'udp'\nlisten = '127.0.0.1:0'\nto = '{to}'\n\
         via = 'far'\n"
    )
}

async fn pair(allow: &str, to: &str) -> DaemonPair {
    DaemonPair::builder().allow([allow]).near_config(&forward(to)).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_client_has_a_flow_and_its_own_answers() {
    let echo = Echo::start().await;
    let pair = pair("127.0.0.1:*", &echo.addr.to_string()).await;
    let clients = [client(pair.ingress("echo")).await, client(pair.ingress("echo")).await];
    for number in 0..50u8 {
        for (index, client) in clients.iter().enumerate() {
            client.send(&[number, index as u8]).await.unwrap();
        }
        for (index, client) in clients.iter().enumerate() {
            assert_eq!(receive(client).await, [number, index as u8]);
        }
    }
    // An empty datagram is one, too.
    clients[0].send(&[]).await.unwrap();
    assert!(receive(&clients[0]).await.is_empty());
    assert_eq!(targets(&pair).await, vec![format!("{}/udp", echo.addr); 2]);
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_resolved_where_the_flow_leaves() {
    let echo = Echo::start().await;
    let pair = pair("localhost:*", &format!("localhost:{}", echo.addr.port())).await;
    assert_eq!(ask(&client(pair.ingress("echo")).await, b"name").await, b"name");
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_far_end_does_not_allow_is_dropped_and_said() {
    let echo = Echo::start().await;
    let pair = pair("127.0.0.1:1", &echo.addr.to_string()).await;
    let client = client(pair.ingress("echo")).await;
    client.send(b"not allowed").await.unwrap();
    pair.until("the refusal is an event", async |pair| {
        let events = pair.near.node().events().recent;
        let refused = |event: &EventKind| matches!(event, EventKind::FlowRefused { target, .. } if target.ends_with("/udp"));
        events.iter().any(|event| refused(&event.kind))
    })
    .await;
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_nobody_listens_on_ends_the_flow_and_the_next_one_finds_who_does() {
    // On an address of its own: at 127.0.0.1 another test may take the port as soon as it is free.
    let echo = Echo::at(([127, 0, 53, 1], 0).into()).await;
    let addr = echo.addr;
    let pair = pair("127.0.53.1:*", &addr.to_string()).await;
    let client = client(pair.ingress("echo")).await;
    assert_eq!(ask(&client, b"first").await, b"first");
    drop(echo);
    // It is gone at once, and for a second no question begins another one: several looks in turn find none.
    let mut looks = 0;
    pair.until("the flow is over", async |pair| {
        let _ = client.send(b"anybody?").await;
        looks = if targets(pair).await.is_empty() { looks + 1 } else { 0 };
        looks == 5
    })
    .await;
    let _echo = Echo::at(addr).await;
    // The last of the questions before may have waited, and be answered now.
    let mut answer = ask(&client, b"again").await;
    while answer == b"anybody?" {
        answer = ask(&client, b"again").await;
    }
    assert_eq!(answer, b"again");
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_clients_have_a_flow_each_and_leave_nothing_behind_at_the_end() {
    let echo = Echo::start().await;
    let pair = pair("127.0.0.1:*", &echo.addr.to_string()).await;
    let ingress = pair.ingress("echo");
    // A client that is gone leaves its port, and its flow, to another one.
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut asks = tokio::task::JoinSet::new();
        for number in 0..100u8 {
            asks.spawn(async move {
                let client = client(ingress).await;
                assert_eq!(ask(&client, &[number; 64]).await, [number; 64]);
                client
            });
        }
        clients.extend(asks.join_all().await);
    }
    assert_eq!(targets(&pair).await.len(), 1000);
    // They do not keep the daemon from ending, although it gives what is live its time.
    let begun = Instant::now();
    pair.near.shutdown(DEADLINE).await;
    assert!(begun.elapsed() < DEADLINE / 4, "{:?}", begun.elapsed());
    pair.far.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_clients_than_allowed_get_no_flow() {
    let echo = Echo::start().await;
    let config = format!("{}[limits]\nconnections = 5\n", forward(&echo.addr.to_string()));
    let builder = DaemonPair::builder().allow(["127.0.0.1:*"]).near_config(&config);
    let pair = builder.start().await.unwrap();
    let mut clients = Vec::new();
    for number in 0..8u8 {
        let client = client(pair.ingress("echo")).await;
        if number < 5 {
            assert_eq!(ask(&client, &[number]).await, [number]);
        } else {
            client.send(&[number]).await.unwrap();
        }
        clients.push(client);
    }
    // Those that have a flow keep it.
    assert_eq!(ask(&clients[0], b"still").await, b"still");
    assert_eq!(targets(&pair).await.len(), 5);
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_leave_half_of_the_flows_to_tcp() {
    let echo = Echo::start().await;
    let config = format!("{}[limits]\nflows = 8\n", forward(&echo.addr.to_string()));
    let builder = DaemonPair::builder().allow(["127.0.0.1:*"]).near_config(&config);
    let pair = builder.start().await.unwrap();
    let mut clients = Vec::new();
    for number in 0..8u8 {
        let client = client(pair.ingress("echo")).await;
        match number {
            0..4 => assert_eq!(ask(&client, &[number]).await, [number]),
            _ => drop(client.send(&[number]).await.unwrap()),
        }
        clients.push(client);
    }
    assert_eq!(ask(&clients[0], b"still").await, b"still");
    assert_eq!(targets(&pair).await.len(), 4);
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_flow_loses_not_even_its_first_datagram() {
    let echo = Echo::start().await;
    let config = forward(&echo.addr.to_string()).replace("'far'", "'direct'");
    let pair = DaemonPair::builder().near_config(&config).start().await.unwrap();
    for number in 0..100u8 {
        let client = client(pair.ingress("echo")).await;
        client.send(&[number]).await.unwrap();
        assert_eq!(receive(&client).await, [number]);
    }
    pair.shutdown().await;
}
