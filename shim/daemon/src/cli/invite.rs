//! `throughline invite`: lets another host become a peer of this one, by a ticket that works once.

use std::fmt::Write as _;
use std::io::Write;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use super::companion::Front;
use super::init::{Written, host_name};
use super::output::{fail_as, print};
use crate::catalogue::Code;
use crate::config::Config;
use crate::init::find_uplinks;
use crate::join::companion::Companion;
use crate::join::file::{Lock, Section, replace, tidied};
use crate::join::invitation::{Invitation, Outcome, Terms};
use crate::join::ticket::{MAX_LOCATORS, Ticket, is_name};
use crate::proxy::egress::acl::AclEntry;
use crate::run::identity;
use crate::shell;
use throughline::Locator;
use throughline_uplinks::Uplinks;

/// The UDP port of a server's first configuration, as in the manual's examples.
const PORT: u16 = 5443;

/// How long a ticket may count. It is a secret while it does.
const LENGTH: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3600);

/// The host that joins, as the server is to know it.
#[derive(Debug, Args)]
pub struct SiteArgs {
    /// What the host that joins is to be called at the server [default: site, site2, …]
    #[arg(long)]
    pub name: Option<String>,
    /// What it may reach through the server, like localhost:22 or 10.0.0.0/8:*; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    pub allow: Vec<String>,
    /// Where it is to dial the server, if not at the server's own addresses, as behind a NAT; may be repeated
    #[arg(long = "locator", value_name = "HOST:PORT")]
    pub locators: Vec<Locator>,
}

/// Whom to invite, and to what.
#[derive(Debug, Args)]
pub struct InviteArgs {
    /// Who joins.
    #[command(flatten)]
    pub site: SiteArgs,
    /// How long the ticket is valid
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
        Err(error) => fail_as(Code::NotInvited, error),
    }
}

async fn invite(args: InviteArgs) -> Result<ExitCode, String> {
    check(&args)?;
    let file = match &args.config {
        Some(file) => file.clone(),
        None => super::file::in_directory(&default_directory()?),
    };
    write_first(&file).await?;
    let lock = Lock::of(&file).map_err(|error| error.to_string())?;
    tidy(&file)?;
    let config = Config::load(&file).map_err(|error| error.to_string())?;
    let terms = terms(&args, &file, &config).await?;
    let mut front = Front::start().await?;
    let daemon = front.companion(&file, config).await?;
    match wait(&args, (terms, lock), &daemon, &mut front).await {
        Ok(text) => {
            let _ = print(&text);
            front.stay(daemon, &file).await;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            front.end(daemon).await;
            Err(error)
        }
    }
}

/// Checks what does not depend on this host.
fn check(args: &InviteArgs) -> Result<(), String> {
    if !LENGTH.contains(&args.length) {
        return Err(
            "a ticket is valid for between a second and seven days; write --for 15m".to_owned()
        );
    }
    if let Some(name) = args.site.name.as_deref().filter(|name| !is_name(name)) {
        return Err(format!(
            "`{name}` is no name for a peer: letters, digits, - and _, up to 255, and not a word of `via`; write another \
             with --name"
        ));
    }
    for entry in &args.site.allow {
        entry.parse::<AclEntry>().map_err(|error| format!("--allow {entry}: {error}"))?;
    }
    Ok(())
}

/// Waits for the site; returns what to tell when it has joined.
async fn wait(
    args: &InviteArgs,
    (terms, lock): (Terms, Lock),
    daemon: &Companion,
    front: &mut Front,
) -> Result<String, String> {
    let (file, name, allow) = (terms.file.clone(), terms.site_name.clone(), terms.allow.clone());
    let invitation = Invitation::open(terms, daemon, lock).await?;
    let _ = print(&introduction(invitation.ticket(), args));
    let outcome = invitation.wait(daemon, front.interrupted()).await;
    let closed = invitation.close(daemon).await;
    let Outcome::Joined { key, tried } = outcome else {
        return Err(match closed {
            Ok(()) => {
                "nobody has joined; the ticket is no longer valid, and the configuration is as it was"
                    .to_owned()
            }
            Err(error) => format!("nobody has joined, but: {error}"),
        });
    };
    let section = Section { name, key, once: None, allow, joined: true };
    match closed {
        Ok(()) => Ok(joined(&file, &section, tried)),
        Err(error) => {
            let _ = print(&joined(&file, &section, tried));
            Err(format!("{} has joined, but: {error}", section.name))
        }
    }
}

/// Writes a first configuration where there is none.
async fn write_first(file: &Path) -> Result<(), String> {
    if file.exists() {
        return Ok(());
    }
    let directory = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let first = super::file::in_directory(directory);
    if file.file_name() != first.file_name() {
        return Err(format!(
            "there is no {}; a first configuration, which this command would write, is called {}",
            file.display(),
            first.display()
        ));
    }
    make_directory(directory)?;
    let written = Written::by(directory, Some(PORT), vec![], vec![]).await?;
    let _ = print(&written.shown());
    Ok(())
}

/// Finishes what invitations and drills have left that were killed.
pub(super) fn tidy(file: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", file.display());
    let text = std::fs::read_to_string(file).map_err(failed)?;
    let tidied = tidied(&text);
    if tidied != text {
        replace(file, &tidied).map_err(failed)?;
        notice(
            "A former `throughline invite` or `join` was killed; what it left in the configuration is finished or removed.",
        );
    }
    Ok(())
}

/// Tells whoever invites what happens.
fn notice(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Returns what is told of a site that has joined.
fn joined(file: &Path, section: &Section, tried: bool) -> String {
    let mut text = format!("In {}:\n\n{}", file.display(), section.text());
    if section.allow.is_empty() {
        text += &format!(
            "\nIt may reach nothing yet: write what into `allow`, and run `throughline reload -c {}`.\n",
            shell::path(file)
        );
    }
    text + if tried {
        "\nIt has tried a flow, which works."
    } else {
        "\nIt has not tried a flow; `throughline join` at the other host says why."
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
    let site_name = args.site.name.clone().or_else(free).unwrap_or_default();
    if taken(&site_name) {
        return Err(format!(
            "there is a peer `{site_name}` already; write another name with --name, or remove its section"
        ));
    }
    let locators = if args.site.locators.is_empty() {
        own_locators(config).await?
    } else {
        args.site.locators.clone()
    };
    if locators.is_empty() {
        return Err(format!(
            "no peer can dial this host: {} has no `listen` beyond loopback with a port of its own, or this host has no \
             address now; write listen = \"[::]:{PORT}\" at its top, or where a NAT forwards a port to this host name it \
             with --locator HOST:PORT",
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
        allow: args.site.allow.clone(),
        length: args.length,
        notice,
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
    let is_reached = |listen: &&SocketAddr| listen.port() != 0 && !listen.ip().is_loopback();
    let all = config.listen.iter().filter(is_reached).flat_map(at);
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
        "Run this at the other host. Whoever has it can join in its place, so send it by a channel that you trust.\nIt \
         works once, within {}:\n\nthroughline join {ticket}\n",
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

/// Returns the directory of this user's configuration.
///
/// # Errors
/// The user has none, and no directory is named.
pub(super) fn default_directory() -> Result<PathBuf, String> {
    super::file::default_directory().ok_or_else(|| {
        "this user has no home directory (HOME); name the configuration with -c or --directory"
            .to_owned()
    })
}

/// Makes the directory of a configuration, where there is none.
pub(super) fn make_directory(directory: &Path) -> Result<(), String> {
    std::fs::create_dir_all(directory)
        .map_err(|error| format!("the directory {} cannot be made: {error}", directory.display()))
}
