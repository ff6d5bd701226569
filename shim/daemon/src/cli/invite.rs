//! `throughline invite`: lets another host become a peer of this one, by a ticket that counts once.

use std::fmt::Write;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use super::companion::{Signals, companion};
use super::init::{Written, host_name};
use super::output::{fail, print};
use crate::config::Config;
use crate::init::find_uplinks;
use crate::join::companion::Companion;
use crate::join::file::shown;
use crate::join::invitation::{Invitation, Outcome, Terms};
use crate::join::ticket::{MAX_LOCATORS, Ticket, is_name};
use crate::run::identity;
use throughline::Locator;
use throughline_uplinks::Uplinks;

/// The UDP port of a server's first configuration, which nobody else has by IANA's list.
const PORT: u16 = 5443;

/// How long a ticket may count. It is a secret while it does.
const LENGTH: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3600);

/// Whom to invite, and to what.
#[derive(Debug, Args)]
pub struct InviteArgs {
    /// What the other host is to be called here [default: site, site2, …]
    #[arg(long)]
    pub name: Option<String>,
    /// What it may reach through this host, like localhost:22 or 10.0.0.0/8:*; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub allow: Vec<String>,
    /// Where it is to dial this host, if not at its own addresses, as behind a NAT; may be repeated
    #[arg(long = "locator", value_name = "HOST:PORT")]
    pub locators: Vec<Locator>,
    /// How long the ticket counts
    #[arg(long = "for", value_name = "DURATION", default_value = "15m", value_parser = humantime::parse_duration)]
    pub length: Duration,
    /// Show the ticket as a QR code, too
    #[arg(long)]
    pub qr: bool,
    /// This host's configuration; where there is none, a first one is written [default:
    /// /etc/throughline/throughline.toml, for others than root that of ~/.config/throughline]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

pub(super) async fn execute(args: InviteArgs) -> ExitCode {
    match invite(args).await {
        Ok(code) => code,
        Err(error) => fail(error),
    }
}

async fn invite(args: InviteArgs) -> Result<ExitCode, String> {
    if !LENGTH.contains(&args.length) {
        return Err("a ticket counts between a second and seven days; write --for 15m".to_owned());
    }
    let file = match &args.config {
        Some(file) => file.clone(),
        None => super::init::configuration_in(&default_directory()?),
    };
    if !file.exists() {
        let directory = file.parent().unwrap_or(Path::new("."));
        make_directory(directory)?;
        let written = Written::by(directory, Some(PORT), vec![], vec![]).await?;
        if written.file != file {
            return Err(format!("a first configuration is called {}", written.file.display()));
        }
        let _ = print(&written.shown());
    }
    let config = Config::load(&file).map_err(|error| error.to_string())?;
    let terms = terms(&args, &file, &config).await?;
    let mut signals = Signals::listen().map_err(|error| error.to_string())?;
    let daemon = companion(&file, config).await?;
    let (name, allow) = (terms.site_name.clone(), terms.allow.clone());
    let outcome = match Invitation::open(terms, &daemon).await {
        Ok(invitation) => wait(&invitation, &daemon, &mut signals, &args).await,
        Err(error) => Err(error),
    };
    match outcome {
        Ok(Outcome::Joined { key, tried }) => {
            let _ = print(&joined(&file, &shown(&name, &key, &allow), allow.is_empty(), tried));
            signals.stay(daemon, &file).await;
            Ok(ExitCode::SUCCESS)
        }
        Ok(Outcome::Expired) => {
            signals.end(daemon).await;
            Err("nobody has joined; the ticket counts no more, and the configuration is as it was"
                .to_owned())
        }
        Err(error) => {
            signals.end(daemon).await;
            Err(error)
        }
    }
}

/// Shows the ticket, and returns what came of it when the configuration says no more than that.
async fn wait(
    invitation: &Invitation,
    daemon: &Companion,
    signals: &mut Signals,
    args: &InviteArgs,
) -> Result<Outcome, String> {
    let _ = print(&introduction(invitation.ticket(), args));
    let outcome = tokio::select! {
        outcome = invitation.wait(daemon) => outcome,
        () = signals.come() => Outcome::Expired,
    };
    invitation.close(daemon, &outcome).await?;
    Ok(outcome)
}

/// Returns what is told of a site that has joined.
fn joined(file: &Path, section: &str, is_barred: bool, tried: bool) -> String {
    let mut text = format!("It has joined. In {}:\n\n{}", file.display(), section.trim_start());
    if is_barred {
        text +=
            "\nIt may reach nothing yet: write what into `allow`, and run `throughline reload`.\n";
    }
    text + if tried {
        "\nIt has tried a flow."
    } else {
        "\nIt has not tried a flow; it says there why."
    }
}

/// Returns what the invitation is about.
async fn terms(args: &InviteArgs, file: &Path, config: &Config) -> Result<Terms, String> {
    let server = identity(config).map_err(|error| error.to_string())?.peer_id();
    let taken = |name: &str| config.peers.iter().any(|peer| peer.config.name == name);
    let free = || {
        (1..)
            .map(|n| if n == 1 { "site".to_owned() } else { format!("site{n}") })
            .find(|name| !taken(name))
    };
    let site_name = args.name.clone().or_else(free).unwrap_or_default();
    if !is_name(&site_name) {
        return Err(format!(
            "`{site_name}` is no name of letters, digits, - and _; write another with --name"
        ));
    }
    let locators =
        if args.locators.is_empty() { own_locators(config).await? } else { args.locators.clone() };
    if locators.is_empty() {
        return Err(format!(
            "no peer can dial this host: {} has no `listen`, or no address but loopback's; write listen = \"[::]:{PORT}\" \
             at its top, or where a NAT forwards a port to this host name it with --locator HOST:PORT",
            file.display()
        ));
    }
    if locators.len() > MAX_LOCATORS {
        return Err(format!(
            "a ticket holds {MAX_LOCATORS} addresses; name the best with --locator"
        ));
    }
    Ok(Terms {
        file: file.to_owned(),
        server,
        server_name: host_name_of_server(),
        locators,
        site_name,
        allow: args.allow.clone(),
        length: args.length,
    })
}

/// Returns where this host can be dialed, as far as it knows.
async fn own_locators(config: &Config) -> Result<Vec<Locator>, String> {
    let uplinks = Uplinks::start(Vec::new(), false).await.map_err(|error| error.to_string())?;
    let found = find_uplinks(&uplinks.now());
    let own: Vec<_> = found.iter().flat_map(|uplink| uplink.addresses.clone()).collect();
    let at = |listen: &SocketAddr| match listen.ip().is_unspecified() {
        false => vec![*listen],
        true => {
            // One of IPv6 accepts both families.
            let fits = |ip: &&std::net::IpAddr| listen.is_ipv6() || ip.is_ipv4();
            own.iter().filter(fits).map(|ip| SocketAddr::new(*ip, listen.port())).collect()
        }
    };
    let all = config.listen.iter().filter(|listen| listen.port() != 0).flat_map(at);
    Ok(all.take(MAX_LOCATORS).map(Locator::from).collect())
}

fn host_name_of_server() -> String {
    let name = host_name();
    // Without a name of its own this end is the server.
    if is_name(&name) && name != "site" { name } else { "server".to_owned() }
}

/// Returns what is printed with the ticket.
fn introduction(ticket: &Ticket, args: &InviteArgs) -> String {
    let mut text = format!(
        "Run this at the other host. Whoever has it can join in its place, so send it by a channel that you trust;\nit \
         counts once, and for {}:\n\nthroughline join {ticket}\n",
        humantime::format_duration(args.length)
    );
    if args.qr {
        match QrCode::new(ticket.to_string()) {
            Ok(code) => {
                let code = code.render::<Dense1x2>().build();
                let _ = write!(text, "\n{code}\n");
            }
            Err(error) => {
                let _ = write!(text, "\nIt does not fit into a QR code: {error}\n");
            }
        }
    }
    text + "\nWaiting for it. Ctrl-C withdraws it."
}

/// Returns where this user's configuration is.
pub(super) fn default_directory() -> Result<PathBuf, String> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/etc/throughline"));
    }
    let from =
        |variable: &str| std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = from("XDG_CONFIG_HOME").or_else(|| Some(from("HOME")?.join(".config")));
    let base = base.ok_or(
        "this user has no home directory (HOME); name the configuration with -c or --directory",
    )?;
    Ok(base.join("throughline"))
}

/// Makes the directory of a configuration, where there is none.
pub(super) fn make_directory(directory: &Path) -> Result<(), String> {
    std::fs::create_dir_all(directory)
        .map_err(|error| format!("the directory {} cannot be made: {error}", directory.display()))
}
