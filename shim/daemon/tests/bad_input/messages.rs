//! An admitted lane that violates the protocol: each violation closes that lane with a reason of its own.

use throughline::{FailureCode, FlowId, Limits, Mode, Target};
use throughline_proto::wire::control::Message;
use throughline_proto::wire::fact::{FlowState, Open, Outcome};
use throughline_proto::wire::segment::SegmentHeader;

use crate::bystander::Site;
use crate::hostile::{Hostile, Key, hello};
use crate::log;

/// Returns the state of a flow about which nothing is known.
fn state(flow: u64) -> FlowState {
    FlowState {
        flow: FlowId(flow),
        version: 1,
        received: vec![],
        max_offset: 0,
        final_size: None,
        open: None,
        outcome: None,
        reset: None,
    }
}

fn open() -> Option<Open> {
    Some(Open { target: Target::service("echo"), mode: Mode::Single })
}

fn header(flow: u64, offset: u64) -> SegmentHeader {
    SegmentHeader { flow: FlowId(flow), offset, resent: false, open: open() }
}

/// An act of the attacker once it is admitted.
enum Act<'a> {
    SendsMessages(Vec<Message>),
    WritesControl(&'a [u8]),
    SendsSegment(SegmentHeader, usize),
    SendsRawSegment(&'a [u8]),
    SendsDatagram(&'a [u8]),
}

/// Asserts that `acts` make the node close the lane with a reason that contains `expected`.
async fn assert_violation(acts: Vec<Act<'_>>, expected: &str) {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let mut hostile = Hostile::admitted(site.addr(), &key).await;
    let mut streams = Vec::new();
    for act in acts {
        match act {
            Act::SendsMessages(messages) => {
                for message in &messages {
                    hostile.send_message(message).await;
                }
            }
            Act::WritesControl(bytes) => hostile.send.write_all(bytes).await.unwrap(),
            Act::SendsSegment(header, len) => {
                streams.push(hostile.segment(&header, &vec![7; len]).await);
            }
            Act::SendsRawSegment(bytes) => {
                let mut stream = hostile.connection.open_uni().await.unwrap();
                stream.write_all(bytes).await.unwrap();
                stream.finish().unwrap();
                streams.push(Some(stream));
            }
            Act::SendsDatagram(bytes) => {
                hostile.connection.send_datagram(bytes.to_vec().into()).unwrap();
            }
        }
    }
    let (code, reason) = hostile.closed().await;
    assert!(code == 1 && reason.contains(expected), "{code}: {reason}; not {expected}");
    log::expect_line(&["WARN", "lane closed", &key.id().short(), expected]).await;
    site.assert_undisturbed().await;
}

fn sends(state: FlowState) -> Act<'static> {
    Act::SendsMessages(vec![Message::FlowState(state)])
}

macro_rules! violations {
    ($($name:ident: $acts:expr => $expected:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            assert_violation($acts, $expected).await;
        }
    )*};
}

violations! {
    a_message_with_a_wrong_field_is_a_violation:
        vec![Act::WritesControl(&[4, 2, 0, 1])] => "bad FlowState message: max offset is truncated";
    a_message_that_is_too_long_is_a_violation:
        vec![Act::WritesControl(&[4, 0x80, 1, 0, 0])] => "control message of 65536 bytes; at most 16384";
    a_second_hello_is_a_violation:
        vec![Act::SendsMessages(vec![Message::Hello(hello())])] => "Hello message out of place";
    a_flow_that_the_node_never_opened_is_a_violation:
        vec![sends(state(1))] => "flow f1 was never opened by us";
    a_new_flow_without_an_open_request_is_a_violation:
        vec![sends(state(0))] => "flow f0 is new but carries no open request";
    a_flow_id_far_above_those_seen_is_a_violation:
        vec![sends(FlowState { open: open(), ..state(1 << 40) })] => "skips more than 32768 ids";
    bytes_beyond_the_window_are_a_violation:
        // The node's window is 256 KiB.
        vec![Act::SendsSegment(header(0, (256 << 10) - 5), 6)]
            => "flow f0: bytes up to 262145, but only 262144 were granted";
    an_offset_beyond_all_bounds_is_a_violation:
        vec![Act::SendsSegment(header(0, (1 << 62) - 2), 1)] => "segment offset is";
    two_final_sizes_are_a_violation:
        vec![
            sends(FlowState { open: open(), final_size: Some(10), ..state(0) }),
            sends(FlowState { version: 2, final_size: Some(11), ..state(0) }),
        ] => "flow f0: contradicting final size";
    bytes_beyond_the_final_size_are_a_violation:
        vec![
            sends(FlowState { open: open(), final_size: Some(10), ..state(0) }),
            // The echo service writes up to the final size before anything else arrives.
            Act::SendsSegment(header(0, 5), 6),
        ] => "flow f0: contradicting final size";
    a_final_size_below_what_was_sent_is_a_violation:
        vec![
            Act::SendsSegment(header(0, 0), 100),
            Act::SendsSegment(header(0, 1000), 24),
            sends(FlowState { open: open(), final_size: Some(10), ..state(0) }),
            Act::SendsSegment(header(0, 500), 24),
        ] => "flow f0: contradicting final size";
    the_receipt_of_bytes_never_sent_is_a_violation:
        vec![sends(FlowState { open: open(), received: std::iter::once(0..1 << 40).collect(), ..state(0) })]
            => "flow f0: 1099511627776 bytes acknowledged, 0 were sent";
    a_segment_of_another_kind_is_a_violation:
        vec![Act::SendsRawSegment(&[9, 0, 0, 0])] => "bad segment header: segment kind has the value 9";
    a_segment_that_ends_in_its_header_is_a_violation:
        vec![Act::SendsRawSegment(&[1, 2, 0])] => "bad segment header: segment header is truncated";
    a_long_datagram_that_ends_in_its_header_is_a_violation:
        vec![Act::SendsRawSegment(&[2, 2, 0])] => "bad segment header: datagram header is truncated";
    a_long_datagram_with_an_unknown_flag_is_a_violation:
        vec![Act::SendsRawSegment(&[2, 8, 0, 0])] => "bad segment header: datagram flags has the value 8";
    a_long_datagram_of_a_flow_of_bytes_is_a_violation:
        vec![sends(FlowState { open: open(), ..state(0) }), Act::SendsRawSegment(&[2, 0, 0, 0, 7])]
            => "flow f0: a datagram, but the flow is one of bytes";
    a_datagram_that_is_longer_than_udps_is_a_violation:
        vec![Act::SendsRawSegment(&[&[2, 0, 0x40, 0x40, 0][..], &[7; 65_508]].concat())]
            => "bad datagram: datagram is 65508, more than the 65507";
    an_invalid_datagram_is_a_violation:
        vec![Act::SendsDatagram(&[1])] => "bad datagram";
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_control_stream_is_a_violation() {
    let key = Key::new();
    let site = Site::new(&[key.id()]).await;
    let mut hostile = Hostile::admitted(site.addr(), &key).await;
    hostile.send.finish().unwrap();
    let (code, reason) = hostile.closed().await;
    assert!(code == 1 && reason.contains("control stream ended"), "{code}: {reason}");
    log::expect_line(&["WARN", &key.id().short(), "control stream ended"]).await;
    site.assert_undisturbed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_flows_than_allowed_are_refused_and_then_a_violation() {
    let key = Key::new();
    let limits = Limits::default().flows_per_session(4);
    let site = Site::with_limits(&[key.id()], limits).await;
    let mut hostile = Hostile::admitted(site.addr(), &key).await;
    assert_eq!(hostile.welcome.unwrap().params.max_flows, 4);
    for flow in 0..5 {
        hostile
            .send_message(&Message::FlowState(FlowState { open: open(), ..state(2 * flow) }))
            .await;
    }
    let refusal = loop {
        if let Message::FlowState(FlowState {
            flow, outcome: Some(Outcome::Failed(failure)), ..
        }) = hostile.receive().await
        {
            assert_eq!(flow, FlowId(8));
            break failure;
        }
    };
    assert_eq!(refusal.code, FailureCode::LimitReached);
    assert_eq!(refusal.detail, "4 flows are open, the limit");
    // Refused flows whose refusal is not acknowledged count as well, beyond 64 that may be on their way to their end.
    for flow in 5..73 {
        hostile
            .send_message(&Message::FlowState(FlowState { open: open(), ..state(2 * flow) }))
            .await;
    }
    let (code, reason) = hostile.closed().await;
    assert!(code == 1 && reason.contains("more than 72 flows"), "{code}: {reason}");
    log::expect_line(&["WARN", &key.id().short(), "more than 72 flows, refused ones included"])
        .await;
    site.assert_undisturbed().await;
}
