//! A peer that names other people's addresses, to have us send to them.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use throughline::Node;
use throughline_proto::wire::control::{Decoder, Message};
use throughline_proto::wire::fact::{Locators, MAX_LOCATORS};
use throughline_proto::wire::hello::Welcome;
use tokio::net::UdpSocket;

use crate::bystander::peer;
use crate::hostile::{self, Key};
use crate::log;

/// How long the attacker has a session before it ends it, so that another one begins.
const SESSION_LIFE: Duration = Duration::from_millis(700);

/// Lists of addresses a second.
const LISTS: Duration = Duration::from_millis(8);

/// Lets each connection be a lane, and names new addresses until it ends it.
async fn name_addresses(key: Key, listener: quinn::Endpoint, port: u16, sent: Arc<AtomicU64>) {
    drop(key);
    let number = Arc::new(AtomicU64::new(0));
    while let Some(incoming) = listener.accept().await {
        let (sent, number) = (sent.clone(), number.clone());
        tokio::spawn(async move {
            let connection = incoming.await.ok()?;
            let (mut send, mut recv) = connection.accept_bi().await.ok()?;
            let mut decoder = Decoder::default();
            let hello = loop {
                if let Ok(Some(Message::Hello(hello))) = decoder.next_message() {
                    break hello;
                }
                decoder.push(&recv.read_chunk(4096, true).await.ok()??.bytes);
            };
            let welcome = Welcome { version: hello.version, params: hello.params };
            send.write_all(&Message::Welcome(welcome).to_bytes()).await.ok()?;
            let until = Instant::now() + SESSION_LIFE;
            for generation in 1.. {
                let mut list = Vec::new();
                for _ in 0..MAX_LOCATORS {
                    let n = number.fetch_add(1, Ordering::Relaxed) as u32;
                    let ip = Ipv4Addr::from(0x7f10_0000 + n);
                    list.push(SocketAddr::from((ip, port)).into());
                }
                let message = Message::Locators(Locators { generation, list });
                send.write_all(&message.to_bytes()).await.ok()?;
                tokio::time::sleep(LISTS).await;
                if Instant::now() > until {
                    break;
                }
            }
            let close = Message::Close { code: 0, detail: "again".to_owned() };
            send.write_all(&close.to_bytes()).await.ok()?;
            tokio::time::sleep(Duration::from_millis(20)).await;
            sent.fetch_add(connection.stats().udp_tx.bytes, Ordering::Relaxed);
            Some(())
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_names_a_hundred_thousand_addresses_has_few_packets_sent_to_few_of_them() {
    log::capture();
    let key = Key::new();
    // Every address of 127.0.0.0/8 leads here.
    let everywhere = UdpSocket::bind("0.0.0.0:0").await.unwrap();
    let port = everywhere.local_addr().unwrap().port();
    let listener = hostile::listen(&key);
    let there = peer(key.id(), "reflector", &[listener.local_addr().unwrap()]);
    let sent = Arc::new(AtomicU64::new(0));
    let attacker = tokio::spawn(name_addresses(key, listener, port, sent.clone()));
    let node = Node::builder().peer(there).build().await.unwrap();
    let (mut packets, mut bytes, mut from) = (0u64, 0, HashSet::new());
    let mut buffer = [0; 2000];
    let until = tokio::time::Instant::now() + Duration::from_secs(5);
    while let Ok(received) = tokio::time::timeout_at(until, everywhere.recv_from(&mut buffer)).await
    {
        let (len, source) = received.unwrap();
        packets += 1;
        bytes += len as u64;
        from.insert(source);
    }
    let sent = sent.load(Ordering::Relaxed);
    println!("{packets} packets, {bytes} bytes from {} sockets for {sent} bytes", from.len());
    assert!(packets > 0, "nothing is dialed: the test shows nothing");
    assert!(sent > 0 && bytes < 2 * sent, "{bytes} bytes sent for {sent} received");
    assert!(packets < 400, "{packets} packets in five seconds");
    node.shutdown(Duration::ZERO).await;
    attacker.abort();
}
