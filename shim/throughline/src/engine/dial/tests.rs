//! What a dialer takes of its session.

use super::*;
use crate::config::{Limits, PeerConfig};
use crate::engine::peers::Peers;
use crate::engine::quic::transport::LaneTransport;
use crate::engine::session::IncomingFlows;
use crate::engine::sessions::Sessions;
use crate::identity::Identity;
use throughline_proto::types::FlowId;
use throughline_uplinks::Uplinks;

struct NoFlows;

impl IncomingFlows for NoFlows {
    fn flow_opened(&self, _: &SessionHandle, _: FlowId) {}
}

/// A session with a peer that does not answer, and a dialer of it besides its own, which has no uplink.
async fn session_and_dialer() -> (SessionHandle, Dialer) {
    let (identity, peer) = (Identity::generate(), Identity::generate().peer_id());
    let locator: SocketAddr = ([127, 0, 15, 2], 9).into();
    let uplinks = Uplinks::start(Vec::new(), false).await.unwrap();
    let peers = Peers::new([PeerConfig::new(peer, "unanswering").locator(locator)].into());
    let limits = Limits::default();
    let transport = LaneTransport::of_memory(limits.memory);
    let context = NodeContext::new(identity, uplinks, peers, transport);
    let sessions = Sessions::new(context.clone(), Arc::new(NoFlows), limits);
    let peer = context.peers.resolve(peer);
    assert!(sessions.initiate(peer));
    let session = sessions.with_peer(peer).remove(0);
    (session, Dialer::new(context, peer, Side::Initiator))
}

#[tokio::test]
async fn a_dial_that_was_decided_before_a_freeze_takes_no_number_after_it() {
    let (session, mut dialer) = session_and_dialer().await;
    let path = Path {
        uplink: "isp".to_owned(),
        order: 0,
        class: Default::default(),
        metered: false,
        draining: false,
        local: [127, 0, 15, 1].into(),
        remote: ([127, 0, 15, 2], 9).into(),
    };
    let taken = |dialer: &Dialer| {
        let next = session.with(|core, _| core.next_lane);
        (next, dialer.attempts.paths().len())
    };
    dialer.dial(&session, path.clone());
    assert_eq!(taken(&dialer), (1, 1));
    session.freeze();
    dialer.dial(&session, path.clone());
    assert_eq!(taken(&dialer), (1, 1), "the number is another process's");
    session.thaw();
    dialer.dial(&session, path);
    assert_eq!(taken(&dialer), (2, 2));
}
