//! The two daemons and the internet between them.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use interop_tests::process::{self, Process};
use interop_tests::support::Outcome;
use serde_json::Value;
use tempfile::TempDir;
use throughline_emulator::{Emulator, IspHandle, Profile};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// What each ISP carries, each way: little enough that a machine of two cores that runs
/// everything (daemons, ISPs, origin, clients) is not the limit.
const RATE: u64 = 200_000_000;

const RTT: Duration = Duration::from_millis(20);

/// Every test of [`Sites::run`] takes seconds; one that hangs is shown with its logs.
const PATIENCE: Duration = Duration::from_secs(180);

/// Each ISP: its name, our address under it, how the internet sees that, a locator of the far side.
#[expect(clippy::type_complexity, reason = "a table, with its columns named above")]
const ISPS: [(&str, [u8; 4], [u8; 4], [u8; 4]); 2] = [
    ("isp-a", [127, 0, 13, 1], [127, 0, 23, 1], [127, 0, 33, 1]),
    ("isp-b", [127, 0, 14, 1], [127, 0, 24, 1], [127, 0, 34, 1]),
];

/// Two sites.
pub(crate) struct Sites {
    /// Where the applications are; dials.
    pub(crate) near: Process,
    /// Where the destinations are.
    pub(crate) far: Process,
    /// Configurations, keys, whatever a test writes.
    pub(crate) directory: TempDir,
    internet: Emulator,
}

impl Sites {
    /// Starts both daemons and waits until both lanes are up. `ingresses` is added to the near
    /// one's configuration, which has a SOCKS5 ingress.
    pub(crate) fn start(ingresses: &str) -> Outcome<Self> {
        let directory = tempfile::tempdir()?;
        let place = directory.path();
        let (near_key, far_key) = (keygen(place, "near")?, keygen(place, "far")?);
        let mut builder = Emulator::builder();
        for (name, client, seen_as, _) in ISPS {
            builder = builder.isp(name, &Profile::new(RATE, RTT / 2));
            builder = builder.client(name, IpAddr::from(client), IpAddr::from(seen_as));
        }
        let internet = builder.start()?;
        let far_addr = SocketAddr::from(([127, 0, 0, 1], process::free_udp_port()?));
        let mut locators = Vec::new();
        for (_, _, _, locator) in ISPS {
            let listen = SocketAddr::from((locator, 0));
            locators.push(internet.udp_locator(listen, far_addr, None)?.to_string());
        }
        std::fs::write(
            place.join("far.toml"),
            format!(
                "identity = 'far.key'\nlisten = '{far_addr}'\nadmin = '{}'\n
                 [peers.near]\nkey = '{near_key}'\nallow = ['127.0.0.1:*', 'localhost:*']\n",
                place.join("far.sock").display()
            ),
        )?;
        let uplinks = ISPS.map(|(name, client, _, _)| {
            format!("[uplinks.{name}]\nprefixes = ['{}/32']\n", IpAddr::from(client))
        });
        std::fs::write(
            place.join("near.toml"),
            format!(
                "identity = 'near.key'\nadmin = '{}'\n{}
                 [peers.far]\nkey = '{far_key}'\nlocators = {locators:?}\n
                 [ingress.socks]\nkind = 'socks5'\nlisten = '127.0.0.1:0'\nvia = 'far'\n
                 {ingresses}\n",
                place.join("near.sock").display(),
                uplinks.concat()
            ),
        )?;
        let far = daemon(place, "far")?;
        let near = daemon(place, "near")?;
        for _ in 0..2 {
            near.says("lane up")?;
        }
        Ok(Self { near, far, directory, internet })
    }

    /// The address of the near side's SOCKS5 ingress.
    pub(crate) fn socks(&self) -> Outcome<SocketAddr> {
        self.near.ingress("socks")
    }

    /// Both ISPs.
    pub(crate) fn isps(&self) -> [IspHandle; 2] {
        ISPS.map(|(name, ..)| self.internet.isp(name))
    }

    /// How many uplinks of the near side have a lane that is up, as its admin socket tells; or
    /// what is wrong with the answer.
    pub(crate) async fn lanes_up(&self) -> Result<usize, String> {
        let text = self.status().await.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&text).map_err(|_| text.clone())?;
        let lanes = answer["status"]["peers"][0]["sessions"][0]["lanes"].as_array();
        let up = lanes.ok_or(text.clone())?.iter().filter(|lane| lane["state"] == "up");
        Ok(up.filter_map(|lane| lane["uplink"].as_str()).collect::<HashSet<_>>().len())
    }

    async fn status(&self) -> Outcome<String> {
        let mut admin = UnixStream::connect(self.directory.path().join("near.sock")).await?;
        admin.write_all(b"{\"command\":\"status\"}\n").await?;
        let mut answer = String::new();
        BufReader::new(admin).read_line(&mut answer).await?;
        Ok(answer)
    }

    /// Runs a test on them; shows the logs of both if it fails or takes longer than any should.
    pub(crate) async fn run(self, test: impl AsyncFnOnce(&Self) -> Outcome) -> Outcome {
        // By panicking, at which they show their logs.
        match tokio::time::timeout(PATIENCE, test(&self)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => panic!("{error}"),
            Err(_) => panic!("not done in {PATIENCE:?}"),
        }
    }

    /// Kills the far daemon and starts it anew.
    pub(crate) fn crash_and_restart_far(&mut self) -> Outcome {
        let fresh = Process::start("placeholder", &mut Command::new("true"))?;
        std::mem::replace(&mut self.far, fresh).kill();
        self.far = daemon(self.directory.path(), "far")?;
        Ok(())
    }
}

/// The configuration of an ingress that leads to a port of the far side's loopback.
pub(crate) fn forward(name: &str, port: u16) -> String {
    format!(
        "[ingress.{name}]\nkind = 'forward'\nlisten = '127.0.0.1:0'\nto = '127.0.0.1:{port}'\n\
         via = 'far'\n"
    )
}

fn keygen(place: &Path, name: &str) -> Outcome<String> {
    let mut command = Command::new(process::throughline()?);
    let output = command.arg("keygen").arg(place.join(format!("{name}.key"))).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Starts `throughline run` with the configuration `NAME.toml` and waits until it runs.
fn daemon(place: &Path, name: &str) -> Outcome<Process> {
    let mut command = Command::new(process::throughline()?);
    command.arg("run").arg("-c").arg(place.join(format!("{name}.toml")));
    command.env("NO_COLOR", "1");
    let daemon = Process::start(&format!("throughline ({name})"), &mut command)?;
    daemon.says("running")?;
    Ok(daemon)
}
