//! `throughline init`: an identity and a first configuration for this host.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::output::{fail, print};
use crate::config::Config;
use crate::init::{FirstConfig, NewPeer, find_uplinks};
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
        Err(error) => fail(error),
    }
}

async fn init(args: InitArgs) -> Result<String, String> {
    let (key_file, file) =
        (args.directory.join("identity.key"), args.directory.join("throughline.toml"));
    if file.exists() {
        return Err(format!(
            "{} is there already, and is not overwritten; edit it, or name another directory",
            file.display()
        ));
    }
    let has_key = key_file.exists();
    let identity = if has_key { Identity::load(&key_file) } else { Identity::create(&key_file) };
    let identity = identity.map_err(|error| error.to_string())?;
    // Without managing routes it cannot fail.
    let uplinks = Uplinks::start(Vec::new(), false).await.map_err(|error| error.to_string())?;
    let first = FirstConfig {
        key: identity.peer_id(),
        uplinks: find_uplinks(&uplinks.now()),
        port: args.listen,
        peers: args.peers,
        allow: args.allow,
    };
    let text = first.text();
    // What is wrong in it came by the command line.
    Config::parse(&file, &text).map_err(|error| error.to_string())?;
    write_new(&file, &text)
        .map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
    let key = if has_key { "with the key that was there" } else { "and the key beside it" };
    let mut report = format!("Wrote {} {key}:\n\n{text}\n", file.display());
    report += &first.next_steps(&host_name());
    report += &format!("Then: throughline run {}", file.display());
    Ok(report)
}

/// Writes a file that is not there yet, for this user alone: passwords may be added to it.
fn write_new(file: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(file)?.write_all(text.as_bytes())
}

/// Returns this host's name as peers may call it.
fn host_name() -> String {
    let name = rustix::system::uname();
    let first =
        name.nodename().to_string_lossy().split('.').next().unwrap_or_default().to_lowercase();
    let name: String = first.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    if name.is_empty() || name == "localhost" { "site".to_owned() } else { name }
}
