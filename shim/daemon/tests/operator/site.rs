//! Two daemons in this process, with two emulated ISPs between them.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use throughline::Identity;
use throughline_daemon::admin;
use throughline_daemon::config::{Admin, Config, IdentitySource};
use throughline_daemon::report::{LaneReport, Report};
use throughline_daemon::run::{Daemon, start};
use throughline_emulator::{Emulator, IspHandle, Profile};
use tokio::sync::{Mutex, MutexGuard};

/// Bounds every wait: longer than anything takes that works.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// The round-trip time of either ISP.
pub(crate) const RTT: Duration = Duration::from_millis(20);

/// Held by tests that measure time, so that they run one after the other.
static MACHINE: Mutex<()> = Mutex::const_new(());

/// An ISP's name, the near side's address in it, how the far side sees that, and a locator.
type Isp = (&'static str, [u8; 4], [u8; 4], [u8; 4]);

const ISPS: [Isp; 2] = [
    ("isp-a", [127, 0, 11, 1], [127, 0, 21, 1], [127, 0, 31, 1]),
    ("isp-b", [127, 0, 12, 1], [127, 0, 22, 1], [127, 0, 32, 1]),
];

/// Two daemons and what is between them.
pub(crate) struct Site {
    /// Where applications are: two uplinks, one for each ISP. It dials.
    pub(crate) near: Daemon,
    /// Where destinations are.
    pub(crate) far: Daemon,
    pub(crate) internet: Emulator,
    pub(crate) directory: tempfile::TempDir,
    _machine: Option<MutexGuard<'static, ()>>,
}

pub(crate) async fn daemon(identity: Identity, text: &str) -> Daemon {
    let mut config = Config::parse("test.toml", &format!("identity = 'given'\n{text}")).unwrap();
    config.identity = IdentitySource::Given(identity);
    if config.admin == Admin::Default {
        config.admin = Admin::Off;
    }
    start(config).await.unwrap()
}

impl Site {
    /// Starts both and waits until a lane over each ISP is up at both ends.
    pub(crate) async fn start() -> Self {
        let machine = MACHINE.lock().await;
        Self::begin(Some(machine)).await
    }

    /// Starts a site for a test that measures nothing and moves little.
    pub(crate) async fn start_beside_others() -> Self {
        Self::begin(None).await
    }

    async fn begin(machine: Option<MutexGuard<'static, ()>>) -> Self {
        let profile = Profile::new(50_000_000, RTT / 2);
        let mut builder = Emulator::builder();
        for (name, client, seen, _) in ISPS {
            builder =
                builder.isp(name, &profile).client(name, IpAddr::from(client), IpAddr::from(seen));
        }
        let internet = builder.start().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let socket = |name: &str| directory.path().join(name).display().to_string();
        let (near_id, far_id) = (Identity::generate(), Identity::generate());
        let far = daemon(
            far_id.clone(),
            &format!(
                "listen = '127.0.0.1:0'
                 admin = '{}'
                 [peers.branch]
                 key = '{}'
                 allow = '127.0.0.1:*'",
                socket("far.sock"),
                near_id.peer_id()
            ),
        )
        .await;
        let server = far.node().local_addrs()[0];
        let mut uplinks = String::new();
        let mut locators = Vec::new();
        for (name, client, _, locator) in ISPS {
            let listen = SocketAddr::from((locator, 0));
            locators.push(internet.udp_locator(listen, server, None).unwrap().to_string());
            uplinks.push_str(&format!("[uplinks.{name}]\nprefixes = '{}'\n", IpAddr::from(client)));
        }
        let near = daemon(
            near_id,
            &format!(
                "admin = '{}'
                 {uplinks}
                 [peers.centre]
                 key = '{}'
                 locators = {locators:?}
                 [ingress.socks]
                 kind = 'socks5'
                 listen = '127.0.0.1:0'
                 via = 'centre'",
                socket("near.sock"),
                far_id.peer_id(),
            ),
        )
        .await;
        let site = Self { near, far, internet, directory, _machine: machine };
        site.until("two lanes are up at both ends", async |site| {
            let up = |lanes: &[LaneReport]| lanes.iter().filter(|l| l.state == "up").count() >= 2;
            up(&lanes(&site.near_report().await)) && up(&lanes(&site.far_report().await))
        })
        .await;
        site
    }

    pub(crate) fn near_socket(&self) -> PathBuf {
        self.directory.path().join("near.sock")
    }

    pub(crate) fn far_socket(&self) -> PathBuf {
        self.directory.path().join("far.sock")
    }

    pub(crate) async fn near_report(&self) -> Report {
        admin::status(&self.near_socket()).await.unwrap()
    }

    pub(crate) async fn far_report(&self) -> Report {
        admin::status(&self.far_socket()).await.unwrap()
    }

    /// Returns the address where applications connect.
    pub(crate) fn socks(&self) -> SocketAddr {
        self.near.ingress_addr("socks").unwrap()
    }

    pub(crate) fn isp(&self, name: &str) -> IspHandle {
        self.internet.isp(name)
    }

    /// Waits until `holds`.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        let until = Instant::now() + TEST_TIMEOUT;
        while !holds(self).await {
            assert!(
                Instant::now() < until,
                "not within {TEST_TIMEOUT:?}: {what}\n{}\n{}",
                self.near_report().await,
                self.far_report().await
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn end(self) {
        self.near.shutdown(Duration::ZERO).await;
        self.far.shutdown(Duration::ZERO).await;
    }
}

/// Returns the lanes of a daemon with all its peers.
pub(crate) fn lanes(report: &Report) -> Vec<LaneReport> {
    let sessions = report.peers.iter().flat_map(|peer| &peer.sessions);
    sessions.flat_map(|session| session.lanes.clone()).collect()
}
