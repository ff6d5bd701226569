//! Two `throughline run` daemons, one at each site.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use throughline::Mode;

use super::plan::Prefix;
use super::{Lab, Side, Site};
use crate::process::{self, Process};
use crate::support::Outcome;

/// Where the server's daemon is dialed.
const PORT: u16 = 5443;

/// How the daemons are configured.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The mode of all flows.
    pub mode: Mode,
    /// The client's second uplink is metered: without a lane until needed.
    pub standby: bool,
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
        let place = tempfile::tempdir_in(super::enter::PLACE)?;
        let path = place.path();
        let (client_key, server_key) = (keygen(path, "client")?, keygen(path, "server")?);
        let locators = addresses(&lab.server);
        std::fs::write(
            path.join("server.toml"),
            format!(
                "identity = 'server.key'\nadmin = 'server.sock'\nlisten = {locators:?}\n{}\
                 [peers.client]\nkey = '{client_key}'\nallow = ['localhost:*']\n",
                uplinks(&lab.server, false)
            ),
        )?;
        let mode = setup.mode;
        std::fs::write(
            path.join("client.toml"),
            format!(
                "identity = 'client.key'\nadmin = 'client.sock'\n{}\
                 [peers.server]\nkey = '{server_key}'\nlocators = {locators:?}\n\
                 [ingress.socks]\nkind = 'socks5'\nlisten = '127.0.0.1:1080'\nvia = 'server'\n\
                 mode = '{mode}'\n",
                uplinks(&lab.client, setup.standby) + &independent(lab)
            ),
        )?;
        let server = daemon(lab, Side::Server, path)?;
        let client = daemon(lab, Side::Client, path)?;
        let socks = client.ingress("socks")?;
        let daemons = Self { client, server, socks, place };
        let both = lab.client.uplinks.len() > 1 && !setup.standby;
        daemons.lanes_up(if both { 2 } else { 1 }, Duration::from_secs(10)).await?;
        Ok(daemons)
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
        let status: Value = serde_json::from_str(&self.admin(side, &["status", "--json"])?)?;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let peers = list(&status["peers"]);
        let sessions = peers.iter().flat_map(|peer| list(&peer["sessions"]));
        Ok(sessions.flat_map(|session| list(&session["lanes"])).collect())
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

/// Returns what a site's files are called.
fn name(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

/// Returns where a site can be dialed.
fn addresses(site: &Site) -> Vec<String> {
    let addresses = site.uplinks.iter().flat_map(|uplink| uplink.addresses());
    addresses.map(|address| SocketAddr::from((address, PORT)).to_string()).collect()
}

/// By interface, so that they outlive a change of prefixes.
fn uplinks(site: &Site, standby: bool) -> String {
    let mut text = String::new();
    for (order, uplink) in site.uplinks.iter().enumerate() {
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
