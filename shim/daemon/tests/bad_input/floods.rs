//! Floods: too many packets, streams and flows.

use std::time::Duration;

use quinn::VarInt;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use throughline::{FlowId, Mode, Target};
use throughline_proto::wire::fact::Open;
use throughline_proto::wire::segment::SegmentHeader;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::bystander::Site;
use crate::hostile::{Hostile, Key, TEST_TIMEOUT};

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_the_udp_port_is_ignored() {
    let site = Site::new(&[]).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut rng = SmallRng::seed_from_u64(2);
    for round in 0..5000u32 {
        let mut packet = vec![0; rng.random_range(0..1500)];
        rng.fill_bytes(&mut packet);
        // Every other one looks like an Initial of QUIC version 1 (RFC 9000 §17.2.2).
        if round % 2 == 0 && packet.len() > 5 {
            packet[..5].copy_from_slice(&[0xc3, 0, 0, 0, 1]);
        }
        socket.send_to(&packet, site.addr()).await.unwrap();
        if round % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    site.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_without_a_header_are_bounded_and_delay_nobody() {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let hostile = Hostile::admitted(site.addr(), &key).await;
    let mut streams = Vec::new();
    for _ in 0..4096 {
        let mut stream = hostile.connection.open_uni().await.unwrap();
        // The first byte of a header, for the stream to exist at the other end.
        stream.write_all(&[1]).await.unwrap();
        streams.push(stream);
    }
    let more = timeout(Duration::from_millis(500), hostile.connection.open_uni()).await;
    assert!(more.is_err(), "a stream above the bound");
    // A reset stream frees its place; quinn extends the limit an eighth at a time.
    for mut stream in streams.drain(..1024) {
        stream.reset(VarInt::from_u32(1)).unwrap();
    }
    timeout(TEST_TIMEOUT, hostile.connection.open_uni()).await.expect("no place is freed").unwrap();
    site.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_control_stream_cannot_be_opened() {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let hostile = Hostile::admitted(site.addr(), &key).await;
    let more = timeout(Duration::from_millis(500), hostile.connection.open_bi()).await;
    assert!(more.is_err(), "a second bidirectional stream");
    site.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_is_opened_a_thousand_times_is_accepted_once() {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let mut served = site.node.serve("once").unwrap();
    let hostile = Hostile::admitted(site.addr(), &key).await;
    let open = Open { target: Target::service("once"), mode: Mode::Single };
    let header = SegmentHeader { flow: FlowId(0), offset: 0, resent: false, open: Some(open) };
    let mut streams = Vec::new();
    for _ in 0..1000 {
        streams.push(hostile.segment(&header, b"x").await);
    }
    let flow = timeout(TEST_TIMEOUT, served.accept()).await.unwrap().unwrap();
    let again = timeout(Duration::from_millis(500), served.accept()).await;
    assert!(again.is_err(), "opened twice");
    drop(flow);
    // It is over: its id does not open it again.
    streams.push(hostile.segment(&header, b"x").await);
    let again = timeout(Duration::from_millis(500), served.accept()).await;
    assert!(again.is_err(), "opened again after its end");
    site.assert_undisturbed().await;
}
