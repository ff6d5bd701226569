//! Two daemons with two emulated ISPs between them, as these tests use them.

use std::time::Duration;

use throughline::Identity;
use throughline_daemon::config::{Admin, Config, IdentitySource};
use throughline_daemon::report::{LaneReport, Report};
use throughline_daemon::run::{Daemon, start};
use throughline_emulator::Profile;
use throughline_fixture::{DaemonPair, Shape};

/// The round-trip time of either ISP.
pub(crate) const RTT: Duration = Duration::from_millis(20);

/// The rate of either ISP, in bit/s: two cores that run everything keep up with it.
const RATE: u64 = 50_000_000;

/// Starts two daemons and waits until a lane over each ISP is up at both ends.
pub(crate) async fn start_pair() -> DaemonPair {
    let shape = Shape { profile: Profile::new(RATE, RTT / 2), ..Shape::default() };
    DaemonPair::builder().over(shape).start().await.unwrap()
}

/// Starts one daemon, without an admin socket.
pub(crate) async fn daemon(identity: Identity, text: &str) -> Daemon {
    let mut config = Config::parse("test.toml", &format!("identity = 'given'\n{text}")).unwrap();
    config.identity = IdentitySource::Given(identity);
    config.admin = Admin::Off;
    start(config).await.unwrap()
}

/// Returns the lanes of a daemon with all its peers.
pub(crate) fn lanes(report: &Report) -> Vec<LaneReport> {
    let sessions = report.peers.iter().flat_map(|peer| &peer.sessions);
    sessions.flat_map(|session| session.lanes.clone()).collect()
}
