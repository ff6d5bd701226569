use std::time::Duration;

use throughline_proto::session::{LaneInfo, SessionConfig};
use throughline_proto::wire::VERSION;
use throughline_proto::wire::control::Message;
use throughline_proto::wire::fact::Locators;
use throughline_proto::wire::hello::SessionParams;

use super::*;
use crate::config::PeerConfig;
use throughline_proto::types::LaneId;

struct NoFlows;

impl IncomingFlows for NoFlows {
    fn flow_opened(&self, _: &SessionHandle, _: FlowId) {}
}

fn acceptor() -> SessionHandle {
    let params =
        SessionParams { linger: Duration::from_secs(60), initial_window: 1 << 16, max_flows: 16 };
    let config = SessionConfig {
        side: Side::Acceptor,
        params,
        max_flows: 16,
        first_window: 1 << 16,
        memory: Arc::new(throughline_proto::flow::memory::Memory::new(1 << 24)),
    };
    let context = SessionContext {
        incoming: Arc::new(NoFlows),
        changes: watch::Sender::new(0),
        lane_changes: watch::Sender::new(0),
        events: EventLog::default(),
        drains: Drains::default(),
        allowances: Allowances::default(),
        totals: Totals::default(),
        qlogs: Qlogs::default(),
    };
    let peer = crate::Identity::generate().peer_id();
    SessionHandle::new(
        SessionId(1),
        peer,
        Arc::new(PeerLabel::new(&PeerConfig::new(peer, "peer"))),
        Session::new(config, params),
        context,
    )
}

/// Whether the driver has been woken since the last call.
fn woken(session: &SessionHandle) -> bool {
    let alarm = session.driver_alarm();
    let mut notified = std::pin::pin!(alarm.notified());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    notified.as_mut().poll(&mut context).is_ready()
}

#[test]
fn locators_that_nobody_takes_wake_the_driver_once() {
    let session = acceptor();
    let lane = LaneId(1);
    session.with(|core, now| {
        let info = LaneInfo {
            local_risk: 1,
            remote_risk: 1,
            cost: Cost::default(),
            order: 0,
            version: VERSION,
        };
        core.session.handle_lane_attached(now, lane, info);
        let list = vec!["192.0.2.1:5443".parse().unwrap()];
        let locators = Message::Locators(Locators { generation: 1, list });
        core.session.handle_control(now, lane, locators).unwrap();
    });
    assert!(woken(&session), "a dialer would want to know");
    for _ in 0..3 {
        session.with(|_, _| ());
        assert!(!woken(&session), "an acceptor has no dialer to take them");
    }
}
