//! The file is read as it was written, and that of each version for ever.

use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use throughline::handover::PreparedNode;
use throughline::{Identity, Node, PeerConfig};

use super::*;

/// A state of version 1, as a daemon has written it: one flow by the ingress `golden`, whose application has
/// sent 42 bytes, of which the peer acknowledged 17, and received 21; the uplink `spare` is drained. It is
/// never changed.
const V1: &[u8] = include_bytes!("tests/v1.state");

/// A state of version 2: that of version 1, and a direct relay of the same ingress whose application has ended its
/// direction after 7 bytes, and has not taken 15 of the 1015 for it.
const V2: &[u8] = include_bytes!("tests/v2.state");

/// A state of version 3: that of version 2, and a relay of an application at a Unix socket, one of whose bytes is held,
/// which has received the end.
const V3: &[u8] = include_bytes!("tests/v3.state");

/// A state of version 4: that of version 3, and an association and flows of datagrams of each kind.
const V4: &[u8] = include_bytes!("tests/v4.state");

/// The key of that daemon, which exists for this test only, and its peer.
const KEY: &str = "MC4CAQAwBQYDK2VwBCIEIJebrIUiKpl05xKg0DnkAWU0eqlBywaz8bojxzCvYKGb";
const PEER: &str = "tlk1rfxz7dwk5o4qni3wvmnwnykhinjjxf4b3ior7ycadxwokq3aawxq";

/// Returns a file that holds `bytes`.
fn file(bytes: &[u8]) -> OwnedFd {
    let state = memfd_create("a copy", MemfdFlags::CLOEXEC).unwrap();
    File::from(state.try_clone().unwrap()).write_all(bytes).unwrap();
    state
}

/// Reads all of a state.
fn read(bytes: &[u8]) -> io::Result<Vec<Frame>> {
    let (mut reader, _) = StateReader::open(file(bytes))?;
    let mut frames = Vec::new();
    while let Some(frame) = reader.next()? {
        frames.push(frame);
    }
    Ok(frames)
}

/// Returns a node with the key of the daemon whose state is [`V1`].
async fn successor() -> PreparedNode {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{KEY}\n-----END PRIVATE KEY-----\n");
    let mut options = std::fs::OpenOptions::new();
    let mut key = options.write(true).create_new(true).mode(0o600).open(&path).unwrap();
    key.write_all(pem.as_bytes()).unwrap();
    assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let peer = PeerConfig::new(PEER.parse().unwrap(), "far");
    let builder = Node::builder().identity(Identity::load(&path).unwrap()).peer(peer);
    builder.prepare().await.unwrap()
}

#[tokio::test]
async fn a_state_of_version_1_is_still_read() {
    let mut node = successor().await;
    let mut relays = Vec::new();
    for frame in read(V1).unwrap() {
        match frame {
            Frame::Node(record) => node.restore(&record).unwrap(),
            Frame::Relay(relay) => relays.push(relay),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((node.live_flows(), relays.len()), (1, 1));
    let RelayRecord { key: Some(key), ingress, kind: StreamKind::Tcp, progress } = &relays[0]
    else {
        panic!("no flow")
    };
    assert_eq!(ingress.as_deref(), Some("golden"));
    assert_eq!((progress.up.moved, progress.down.moved), (42, 21));
    assert!(!progress.up.ended && !progress.down.ended && progress.up.unsent.is_empty());
    let (node, mut flows) = node.start();
    let status = node.status();
    let session = &status.peers[0].sessions[0];
    assert_eq!((session.id, FlowId(session.flows[0].id)), *key);
    assert!(session.flows[0].target.starts_with("127.0.0.1:"));
    assert_eq!((session.flows[0].sent, session.flows[0].received), (42, 21));
    let (_flow, target) = flows.claim(*key).unwrap();
    assert_eq!(target.to_string(), session.flows[0].target);
    assert!(flows.claim(*key).is_none(), "once");
}

#[test]
fn a_state_of_version_2_is_that_of_version_1_with_a_direct_relay() {
    let (mut frames, of_v1) = (read(V2).unwrap(), read(V1).unwrap());
    let Some(Frame::Relay(direct)) = frames.pop() else { panic!("no relay") };
    assert_eq!(frames, of_v1);
    let RelayRecord { key, ingress, kind, progress: Progress { up, down } } = direct;
    assert_eq!(kind, StreamKind::Tcp);
    assert_eq!((key, ingress.as_deref()), (None, Some("golden")));
    assert!(up.ended && up.unsent.is_empty() && !down.ended);
    assert_eq!((up.moved, down.moved), (7, 1000));
    assert_eq!(down.unwritten.concat(), b"not yet written");
}

#[test]
fn a_state_of_version_3_is_that_of_version_2_with_a_relay_of_a_unix_socket() {
    let (mut frames, of_v2) = (read(V3).unwrap(), read(V2).unwrap());
    let Some(Frame::Relay(unix)) = frames.pop() else { panic!("no relay") };
    assert_eq!(frames, of_v2);
    let RelayRecord { key, ingress, kind, progress: Progress { up, down } } = unix;
    assert_eq!(kind, StreamKind::Unix { holds_byte: true });
    assert_eq!((key.unwrap().1, ingress.as_deref()), (FlowId(10), Some("local")));
    assert!(!up.ended && up.unsent == b"read, not sent"[..] && down.ended);
    assert_eq!((up.moved, down.moved), (34, 21));
}

/// Returns so many sockets.
fn sockets(count: usize) -> impl Iterator<Item = OwnedFd> {
    let socket = || std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into();
    (0..count).map(move |_| socket()).collect::<Vec<_>>().into_iter()
}

#[tokio::test]
async fn a_state_of_version_4_has_associations_and_flows_of_datagrams_besides() {
    let (mut frames, of_v3) = (read(V4).unwrap(), read(V3).unwrap());
    let datagrams = frames.split_off(of_v3.len());
    assert_eq!(frames, of_v3);
    let [Frame::Association(association), flows @ ..] = &datagrams[..] else { panic!("none") };
    // Written anew they are the same.
    let mut state = StateWriter::create(4).unwrap();
    state.association(association).unwrap();
    for flow in flows {
        let Frame::Datagrams(record) = flow else { panic!("{flow:?}") };
        state.datagrams(record).unwrap();
    }
    let written = File::from(state.finish().unwrap());
    let mut bytes = Vec::new();
    { &written }.rewind().unwrap();
    { &written }.read_to_end(&mut bytes).unwrap();
    assert_eq!(read(&bytes).unwrap(), datagrams);
    let origins = flows.iter().zip([1, 0, 1, 1]).map(|(flow, of_its_own)| {
        let Frame::Datagrams(record) = flow else { panic!("{flow:?}") };
        assert!(of_its_own == 0 || record.clone().handed(&mut sockets(of_its_own - 1)).is_err());
        let mut all = sockets(of_its_own + 1);
        let flow = record.clone().handed(&mut all).unwrap();
        assert_eq!(all.count(), 1, "it takes its own");
        format!("{:?} {:?}", flow.out, flow.origin)
    });
    let origins: Vec<_> = origins.collect();
    assert!(origins[0].contains("f6)") && origins[0].contains("Egress"), "{origins:?}");
    assert!(origins[1].contains("192.0.2.1:5000") && origins[1].contains("golden"), "{origins:?}");
    assert!(origins[2].contains("10s") && origins[2].contains("700ms"), "{origins:?}");
    assert!(origins[2].contains("name.example"), "{origins:?}");
    assert!(origins[3].contains("[2001:db8::1]:53"), "{origins:?}");
}

#[tokio::test]
async fn a_state_of_another_identity_is_refused() {
    let mut node = Node::builder().prepare().await.unwrap();
    let Frame::Node(record) = read(V1).unwrap().remove(0) else { panic!("no record") };
    assert!(node.restore(&record).unwrap_err().to_string().contains("another identity"));
}

#[test]
fn a_relay_is_read_as_it_was_written() {
    let up = Up { unsent: Bytes::from_static(b"read, not sent"), ended: true, moved: 34 };
    let unwritten = [&b"taken, "[..], b"", b"not written"].map(Bytes::from_static).into();
    let down = Down { unwritten, ended: false, moved: 21 };
    let key = (SessionId(7 << 100), FlowId(5));
    let relay = |key, ingress: Option<&str>| {
        let progress = Progress { up: up.clone(), down: down.clone() };
        let ingress = ingress.map(str::to_owned);
        RelayRecord { key, ingress, kind: StreamKind::Tcp, progress }
    };
    let of_flows = [None, Some(""), Some("socks")].map(|ingress| relay(Some(key), ingress));
    let of_unix = [true, false].map(|holds_byte| RelayRecord {
        kind: StreamKind::Unix { holds_byte },
        ..relay(Some(key), Some("local"))
    });
    let written = [&of_flows[..], &[relay(None, Some("socks"))], &of_unix].concat();
    let mut state = StateWriter::create(*FORMATS.end()).unwrap();
    for relay in &written {
        state.relay(relay).unwrap();
    }
    let mut bytes = Vec::new();
    let mut finished = File::from(state.finish().unwrap());
    finished.rewind().unwrap();
    finished.read_to_end(&mut bytes).unwrap();
    let frames = read(&bytes).unwrap();
    let written: Vec<_> = written.into_iter().map(Frame::Relay).collect();
    assert_eq!(frames, written);
    let Frame::Relay(relay) = &frames[0] else { panic!() };
    assert_eq!(relay.progress.down.unwritten.concat(), b"taken, not written");
}

#[test]
fn a_state_that_is_cut_off_is_refused() {
    for state in [V1, V4] {
        for len in 0..state.len() {
            assert!(read(&state[..len]).is_err(), "cut off after {len} bytes");
        }
    }
}
