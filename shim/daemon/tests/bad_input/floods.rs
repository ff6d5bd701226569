//! Floods: too many packets, streams and flows.

use std::time::Duration;

use quinn::{VarInt, WriteError};
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use throughline::{FlowId, LaneId, Mode, Target, TrafficClass};
use throughline_proto::wire::control::Message;
use throughline_proto::wire::fact::{FlowState, LaneUse, Open};
use throughline_proto::wire::hello::Hello;
use throughline_proto::wire::long_datagram::LongDatagramHeader;
use throughline_proto::wire::segment::SegmentHeader;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::bystander::Site;
use crate::hostile::{Hostile, Key, TEST_TIMEOUT, hello};

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
    // The spare ones; there are more as there are flows (`throughline_congestion::peer_streams`).
    for _ in 0..64 {
        let mut stream = hostile.connection.open_uni().await.unwrap();
        // The first byte of a header, for the stream to exist at the other end.
        stream.write_all(&[1]).await.unwrap();
        streams.push(stream);
    }
    let more = timeout(Duration::from_millis(500), hostile.connection.open_uni()).await;
    assert!(more.is_err(), "a stream above the bound");
    // A reset stream frees its place; quinn extends the limit an eighth at a time.
    for mut stream in streams.drain(..16) {
        stream.reset(VarInt::from_u32(1)).unwrap();
    }
    timeout(TEST_TIMEOUT, hostile.connection.open_uni()).await.expect("no place is freed").unwrap();
    site.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_datagrams_that_never_end_are_given_up_and_keep_neither_memory_nor_others() {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let mut served = site.node.serve_datagrams("long").unwrap();
    let hostile = Hostile::admitted(site.addr(), &key).await;
    let open = Open { target: Target::datagram_service("long"), mode: Mode::Single };
    let (flow, class) = (FlowId(0), TrafficClass::DEFAULT);
    let header = |seq| LongDatagramHeader { flow, seq, open: Some(open.clone()), class };
    let begin = async |seq| {
        let mut stream = hostile.connection.open_uni().await.unwrap();
        let begun = stream.write_all(&[&header(seq).to_bytes()[..], &[7; 60_000]].concat()).await;
        // One beyond the bound may be stopped while it is written.
        assert!(matches!(begun, Ok(()) | Err(WriteError::Stopped(_))), "{begun:?}");
        stream
    };
    let mut streams = Vec::new();
    for seq in 0..60 {
        streams.push(begin(seq).await);
    }
    let flow = timeout(TEST_TIMEOUT, served.accept()).await.unwrap().unwrap().accept();
    // Those beyond the bound are stopped at once, and the others in time.
    let mut at_once = 0;
    for stream in &mut streams {
        at_once += usize::from(timeout(Duration::from_millis(50), stream.stopped()).await.is_ok());
    }
    assert!((20..30).contains(&at_once), "{at_once} of 60 were stopped at once");
    for stream in &mut streams {
        let stopped = timeout(TEST_TIMEOUT, stream.stopped()).await.expect("it is kept");
        assert_eq!(stopped.unwrap(), Some(VarInt::from_u32(0)));
    }
    drop(streams);
    // One that ends is delivered still.
    let mut whole = begin(60).await;
    whole.finish().unwrap();
    assert_eq!(timeout(TEST_TIMEOUT, flow.recv()).await.unwrap().unwrap(), vec![7; 60_000]);
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
        // Fewer at once than a peer with one flow is granted; they end when they are dropped.
        if streams.len() == 32 {
            streams.clear();
        }
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

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_control_messages_on_three_lanes_delays_nobody() {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let mut served = site.node.serve("held").unwrap();
    let held = tokio::spawn(async move {
        let mut flows = Vec::new();
        while let Ok(flow) = served.accept().await {
            flows.push(flow.accept());
        }
    });
    let session = hello().session;
    let mut lanes = Vec::new();
    for lane in 0..3 {
        let mut hostile = Hostile::connect(site.addr(), &key).await;
        hostile
            .send_message(&Message::Hello(Hello { session, lane: LaneId(lane), ..hello() }))
            .await;
        assert!(matches!(hostile.receive().await, Message::Welcome(_)));
        lanes.push(hostile);
    }
    for flow in 0..1000 {
        let open = Some(Open { target: Target::service("held"), mode: Mode::Auto });
        let state = FlowState {
            flow: FlowId(2 * flow),
            version: 1,
            received: vec![],
            max_offset: 1 << 20,
            final_size: None,
            open,
            outcome: None,
            reset: None,
        };
        lanes[0].send_message(&Message::FlowState(state)).await;
    }
    let mut flood = Message::EndOfSync.to_bytes().repeat(10_000);
    for version in 1..10_000 {
        let lane_use =
            LaneUse { lane: LaneId(1), version, cost: (version % 2) as u8, draining: false };
        flood.extend(Message::LaneUse(lane_use).to_bytes());
    }
    for lane in &mut lanes {
        lane.send.write_all(&flood).await.unwrap();
    }
    site.assert_undisturbed().await;
    held.abort();
}
