//! Two `throughline run` daemons, one at each site.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use throughline::Mode;

use super::footprint::Footprint;
use super::plan::Prefix;
use super::site::{Site, Uplink};
use super::{Lab, Side};
use crate::process::{self, Process};
use crate::support::Outcome;

/// Where the server's first daemon is dialed.
const PORT: u16 = 5443;
/// Where the client's first daemon takes flows.
const SOCKS_PORT: u16 = 1080;

/// How the daemons are configured.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The mode of all flows.
    pub mode: Mode,
    /// The client's second uplink is metered: without a lane until needed.
    pub standby: bool,
    /// The client knows its first uplink only.
    pub lone: bool,
    /// The client knows the server by this name, not by its addresses.
    pub name: Option<&'static str>,
    /// How many of the client's uplinks are to have a lane before anything begins; without it, all
    /// that can.
    pub lanes: Option<usize>,
}

impl Setup {
    /// Returns daemons that use every uplink, in this mode.
    pub fn of(mode: Mode) -> Self {
        Self { mode, standby: false, lone: false, name: None, lanes: None }
    }
}

/// Both daemons.
pub struct Daemons {
    /// The one that dials.
    pub client: Process,
    /// The one that is dialed.
    pub server: Process,
    /// The client's SOCKS5 ingress.
    pub socks: SocketAddr,
    place: TempDir,
}

impl Daemons {
    /// Starts both and waits until lanes are up.
    ///
    /// # Errors
    /// When they do not run, or the lanes do not come up within 10 s; shows the logs.
    pub async fn start(lab: &Lab, setup: Setup) -> Outcome<Self> {
        Self::start_beside(lab, setup, 0).await
    }

    /// Starts another pair beside `number` pairs that run already.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_beside(lab: &Lab, setup: Setup, number: u16) -> Outcome<Self> {
        let place = tempfile::tempdir_in(super::enter::PLACE)?;
        let path = place.path();
        let (client_key, server_key) = (keygen(path, "client")?, keygen(path, "server")?);
        let locators = addresses(&lab.server, PORT + number);
        let socks_port = SOCKS_PORT + number;
        std::fs::write(
            path.join("server.toml"),
            format!(
                "identity = 'server.key'\nadmin = 'server.sock'\nlisten = {locators:?}\n{}\
                 [peers.client]\nkey = '{client_key}'\nallow = ['localhost:*']\n",
                uplinks(&lab.server.uplinks, false)
            ),
        )?;
        let (mode, port) = (setup.mode, PORT + number);
        let locators = setup.name.map_or(locators, |name| vec![format!("{name}:{port}")]);
        let used = if setup.lone { 1 } else { lab.client.uplinks.len() };
        std::fs::write(
            path.join("client.toml"),
            format!(
                "identity = 'client.key'\nadmin = 'client.sock'\n{}\
                 [peers.server]\nkey = '{server_key}'\nlocators = {locators:?}\n\
                 [ingress.socks]\nkind = 'socks5'\nlisten = '127.0.0.1:{socks_port}'\nvia = 'server'\n\
                 mode = '{mode}'\n",
                uplinks(&lab.client.uplinks[..used], setup.standby) + &independent(lab)
            ),
        )?;
        let server = daemon(lab, Side::Server, path)?;
        let client = daemon(lab, Side::Client, path)?;
        let socks = client.ingress("socks")?;
        let daemons = Self { client, server, socks, place };
        let lanes = setup.lanes.unwrap_or(if setup.standby { 1 } else { used });
        daemons.lanes_up(lanes, Duration::from_secs(10)).await?;
        Ok(daemons)
    }

    /// Kills a daemon, as a crash does, and starts it anew.
    ///
    /// # Errors
    /// When it does not run again.
    pub fn restart(&mut self, lab: &Lab, side: Side) -> Outcome {
        let process = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        process.kill();
        *process = daemon(lab, side, self.place.path())?;
        Ok(())
    }

    /// Changes a daemon's configuration and has it reload.
    ///
    /// # Errors
    /// When it refuses.
    pub fn reconfigure(&self, side: Side, change: impl FnOnce(String) -> String) -> Outcome {
        let file = self.place.path().join(format!("{}.toml", name(side)));
        std::fs::write(&file, change(std::fs::read_to_string(&file)?))?;
        self.admin(side, &["reload"]).map(drop)
    }

    /// Returns the directory of keys, configurations and admin sockets, and of whatever a test writes.
    pub fn directory(&self) -> &Path {
        self.place.path()
    }

    /// Returns a daemon's process.
    pub fn process(&self, side: Side) -> &Process {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    /// Waits until the client's lanes over `count` different uplinks are up.
    ///
    /// # Errors
    /// When they are not within `timeout`; shows the logs.
    pub async fn lanes_up(&self, count: usize, timeout: Duration) -> Outcome {
        let until = Instant::now() + timeout;
        loop {
            let mut uplinks: Vec<_> = self
                .lanes(Side::Client)?
                .into_iter()
                .filter(|lane| lane["state"] == "up")
                .map(|lane| lane["uplink"].to_string())
                .collect();
            uplinks.sort();
            uplinks.dedup();
            if uplinks.len() >= count {
                return Ok(());
            }
            if Instant::now() >= until {
                let (client, server) = (self.client.log(), self.server.log());
                return Err(format!(
                    "lanes over {count} uplinks were wanted, {uplinks:?} is there\n{client}\n{server}"
                )
                .into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns the lanes of a daemon, as its `status --json` has them.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn lanes(&self, side: Side) -> Outcome<Vec<Value>> {
        Ok(self.sessions(side)?.iter().flat_map(|session| list(&session["lanes"])).collect())
    }

    /// Returns the sessions of a daemon, as its `status --json` has them.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn sessions(&self, side: Side) -> Outcome<Vec<Value>> {
        let status: Value = serde_json::from_str(&self.admin(side, &["status", "--json"])?)?;
        Ok(list(&status["peers"]).iter().flat_map(|peer| list(&peer["sessions"])).collect())
    }

    /// Returns the last thousand events of a daemon.
    ///
    /// # Errors
    /// When the daemon does not answer.
    pub fn events(&self, side: Side) -> Outcome<Vec<Value>> {
        let lines = self.admin(side, &["events", "--json"])?;
        Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
    }

    /// Returns what a daemon's process takes, as `/proc` has it; nothing where it cannot be found.
    pub fn footprint(&self, side: Side) -> Option<Footprint> {
        Footprint::of(&self.place.path().join(format!("{}.toml", name(side))))
    }

    /// Runs a command of the program against a daemon's admin socket; what it prints.
    ///
    /// # Errors
    /// When the command fails, or is none.
    pub fn admin(&self, side: Side, arguments: &[&str]) -> Outcome<String> {
        let socket = self.place.path().join(format!("{}.sock", name(side)));
        let mut command = Command::new(process::throughline()?);
        let output = command.args(arguments).arg("--socket").arg(socket).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("throughline {arguments:?}: {}", said.trim()).into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Returns what a JSON array has.
pub(super) fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Returns what a site's files are called.
fn name(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

/// Returns where a site can be dialed.
fn addresses(site: &Site, port: u16) -> Vec<String> {
    let addresses = site.uplinks.iter().flat_map(|uplink| uplink.addresses());
    addresses.map(|address| SocketAddr::from((address, port)).to_string()).collect()
}

/// By interface, so that they outlive a change of prefixes.
fn uplinks(used: &[Uplink], standby: bool) -> String {
    let mut text = String::new();
    for (order, uplink) in used.iter().enumerate() {
        let (name, metered) = (&uplink.device, standby && order > 0);
        let _ = write!(text, "[uplinks.{name}]\ninterface = '{name}'\nmetered = {metered}\n");
    }
    text
}

/// Returns the site's own prefixes, where it has some.
fn independent(lab: &Lab) -> String {
    let own = Prefix::independent(lab.shape.family);
    let prefixes: Vec<_> = own.iter().map(Prefix::cidr).collect();
    match lab.shape.bgp {
        Some(_) => format!("[uplinks.pi]\nprefixes = {prefixes:?}\nclass = 'pi'\n"),
        None => String::new(),
    }
}

fn keygen(place: &Path, name: &str) -> Outcome<String> {
    let mut command = Command::new(process::throughline()?);
    let output = command.arg("keygen").arg(place.join(format!("{name}.key"))).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn daemon(lab: &Lab, side: Side, place: &Path) -> Outcome<Process> {
    let file: PathBuf = place.join(format!("{}.toml", name(side)));
    let mut command = Command::new(process::throughline()?);
    command.args(["run", "-c"]).arg(file).env("NO_COLOR", "1");
    let daemon = lab.side(side).host.start("throughline", command)?;
    daemon.says("running")?;
    Ok(daemon)
}
