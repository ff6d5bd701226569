//! `throughline init`: an identity and a first configuration for this host.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::file::in_directory;
use super::output::{fail_as, print};
use super::service_files::share;
use crate::catalogue::Code;
use crate::config::Config;
use crate::init::{FirstConfig, NewPeer, PROXY, find_uplinks};
use throughline::Identity;
use throughline_uplinks::Uplinks;

/// What the configuration is to say.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The directory for identity.key and throughline.toml; it must exist
    pub directory: PathBuf,
    /// Let peers dial this host at this UDP port
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub listen: Option<u16>,
    /// A peer, as NAME=KEY, or NAME=KEY@HOST:PORT,… where it can be dialed; may be repeated
    #[arg(long = "peer", value_name = "PEER")]
    pub peers: Vec<NewPeer>,
    /// What peers may reach through this host, like localhost:22; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub allow: Vec<String>,
}

pub(super) async fn execute(args: InitArgs) -> ExitCode {
    match init(args).await {
        Ok(report) => print(&report.trim_end()),
        Err(error) => fail_as(Code::NotWritten, error),
    }
}

async fn init(args: InitArgs) -> Result<String, String> {
    let written = Written::by(&args.directory, args.listen, args.peers, args.allow).await?;
    let mut report = written.shown();
    report += &written.first.next_steps(&host_name());
    report += &format!("Then: throughline run {}", written.file.display());
    Ok(report)
}

/// An identity and a first configuration that were written.
pub(super) struct Written {
    pub(super) file: PathBuf,
    pub(super) first: FirstConfig,
    had_key: bool,
}

impl Written {
    /// Writes them into `directory`; what is there already stays, and a configuration there is an error.
    pub(super) async fn by(
        directory: &Path,
        port: Option<u16>,
        peers: Vec<NewPeer>,
        allow: Vec<String>,
    ) -> Result<Self, String> {
        let file = in_directory(directory);
        is_free(&file)?;
        let identity = identity_in(directory)?;
        Self::with(directory, identity, port, peers, allow).await
    }

    /// The same, with an identity of that directory.
    pub(super) async fn with(
        directory: &Path,
        (identity, had_key): (Identity, bool),
        port: Option<u16>,
        peers: Vec<NewPeer>,
        allow: Vec<String>,
    ) -> Result<Self, String> {
        let file = in_directory(directory);
        // Without managing routes it cannot fail.
        let uplinks = Uplinks::start(Vec::new(), false).await.map_err(|error| error.to_string())?;
        let (key, uplinks) = (identity.peer_id(), find_uplinks(&uplinks.now()));
        let first = FirstConfig { key, uplinks, port, peers, allow, proxy: proxy_port() };
        let text = first.text();
        // What is wrong in it came by the command line.
        Config::parse(&file, &text).map_err(|error| error.to_string())?;
        write_new(&file, &text)
            .map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
        shared(&file)?;
        Ok(Self { file, first, had_key })
    }

    /// Returns what was written.
    pub(super) fn shown(&self) -> String {
        let key =
            if self.had_key { "with the key that was there" } else { "and the key beside it" };
        format!("Wrote {} {key}:\n\n{}\n", self.file.display(), self.first.text())
    }
}

/// Returns a port for the proxy at which nothing else listens now.
fn proxy_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    (PROXY..PROXY + 20).find(is_free).unwrap_or(PROXY)
}

/// Checks that there is no configuration yet.
pub(super) fn is_free(file: &Path) -> Result<(), String> {
    match file.exists() {
        true => Err(format!(
            "{} is there already, and is not overwritten; edit it, or name another directory",
            file.display()
        )),
        false => Ok(()),
    }
}

/// Returns the identity of a directory, which is made where there is none, and whether there was one.
pub(super) fn identity_in(directory: &Path) -> Result<(Identity, bool), String> {
    let file = directory.join("identity.key");
    let had_key = file.exists();
    let identity = if had_key { Identity::load(&file) } else { Identity::create(&file) };
    let identity = identity.map_err(|error| error.to_string())?;
    if !had_key {
        shared(&file)?;
    }
    Ok((identity, had_key))
}

/// Lets the service read what was written for it.
fn shared(file: &Path) -> Result<(), String> {
    share(file).map_err(|error| {
        format!("{} cannot be given to the group of the service: {error}", file.display())
    })
}

/// Writes a file that is not there yet, for this user alone: passwords may be added to it.
fn write_new(file: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let mut opened = options.write(true).create_new(true).mode(0o600).open(file)?;
    let written = opened.write_all(text.as_bytes());
    if written.is_err() {
        // Half of a configuration would only be in the way.
        let _ = std::fs::remove_file(file);
    }
    written
}

/// Returns this host's name as peers may call it.
pub(super) fn host_name() -> String {
    let name = rustix::system::uname();
    let first =
        name.nodename().to_string_lossy().split('.').next().unwrap_or_default().to_lowercase();
    let name: String = first.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    if name.is_empty() || name == "localhost" { "site".to_owned() } else { name }
}
