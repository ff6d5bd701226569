//! `throughline join`: makes this host a peer of the server that gave the ticket, and shows that flows outlive an
//! uplink.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use fast_socks5::client::{Config as SocksConfig, Socks5Stream};

use super::companion::Front;
use super::init::{Written, configuration_in, identity_in, is_free};
use super::invite::{default_directory, make_directory};
use super::output::{fail_as, print};
use crate::admin::{self, AdminSocket};
use crate::catalogue::Code;
use crate::config::Config;
use crate::init::NewPeer;
use crate::join::companion::Companion;
use crate::join::drill::{self, Drill};
use crate::join::exchange::{self, DRILL, Request};
use crate::join::{Ticket, membership, plain};
use throughline::Identity;

/// The most that is read of standard input, many times a ticket.
const MAX_INPUT: u64 = 16 << 10;

/// By which ticket, and where to write.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// What `throughline invite` printed at the server; `-` reads it from standard input
    #[arg(required = true, value_name = "TICKET")]
    pub ticket: Vec<String>,
    /// The directory for identity.key and throughline.toml [default: /etc/throughline, for others than root
    /// ~/.config/throughline]
    #[arg(long)]
    pub directory: Option<PathBuf>,
}

pub(super) async fn execute(args: JoinArgs) -> ExitCode {
    match join(args).await {
        Ok(code) => code,
        Err(error) => fail_as(Code::NotJoined, error),
    }
}

/// Reads a ticket from standard input: a command line is seen by every user of this host.
fn from_stdin() -> Result<String, String> {
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_INPUT)
        .read_to_string(&mut text)
        .map_err(|error| format!("standard input cannot be read: {error}"))?;
    let text = text.trim();
    Ok(text.strip_prefix("throughline join ").unwrap_or(text).to_owned())
}

/// Checks that nothing would be overwritten; returns where the files are to be.
pub(super) fn is_possible(directory: Option<PathBuf>) -> Result<PathBuf, String> {
    let directory = directory.map_or_else(default_directory, Ok)?;
    is_free(&configuration_in(&directory))?;
    Ok(directory)
}

async fn join(args: JoinArgs) -> Result<ExitCode, String> {
    // A ticket that was copied in lines is several arguments.
    let text = match args.ticket.concat() {
        text if text == "-" => from_stdin()?,
        text => text,
    };
    let ticket: Ticket = text.parse().map_err(|error| format!("{error}"))?;
    let directory = is_possible(args.directory)?;
    let file = configuration_in(&directory);
    // The ticket counts once: what would be in the way afterwards is better known before.
    is_alone().await?;
    make_directory(&directory)?;
    let identity = identity_in(&directory)?;
    let allow = membership::join(&ticket, &identity.0.peer_id()).await?;
    let name = &ticket.server_name;
    let server =
        NewPeer { name: name.clone(), key: ticket.server, locators: ticket.locators.clone() };
    let outcome = Box::pin(settle(&ticket, (&directory, &file), identity, server, &allow)).await;
    outcome.map_err(|error| format!("this host has joined {name}, but: {error}"))
}

/// Checks that no other daemon runs here, whose place the new one would take.
async fn is_alone() -> Result<(), String> {
    let socket = AdminSocket::default_path();
    match admin::status(&socket).await {
        Ok(report) => Err(format!(
            "a daemon runs here already, of {}; stop it to join anew, or have that one know the server: `throughline init` \
             says how",
            report.file.map_or("another program".into(), |file| file.display().to_string())
        )),
        Err(_) => Ok(()),
    }
}

/// Writes the configuration of a host that has joined, runs its daemon, and has a flow outlive each uplink.
async fn settle(
    ticket: &Ticket,
    (directory, file): (&Path, &Path),
    identity: (Identity, bool),
    server: NewPeer,
    allow: &[String],
) -> Result<ExitCode, String> {
    let name = &ticket.server_name;
    let written = Written::with(directory, identity, None, vec![server], vec![]).await?;
    let _ = print(&format!("Joined {name}. {}", written.shown().trim_end()));
    let _ = print(&format!("\n{}", reachable(name, allow)));
    let config = Config::load(file).map_err(|error| error.to_string())?;
    let proxy = config.ingresses.iter().find_map(|ingress| ingress.listen.ip());
    let proxy = proxy.ok_or("a first configuration has an ingress")?;
    let mut front = Front::start().await?;
    let daemon = front.companion(file, config).await?;
    let outcome = tokio::select! {
        outcome = try_flows(ticket, proxy, file, &daemon) => {
            outcome.map_err(|error| format!("a flow did not do: {error}"))
        }
        () = front.interrupted() => Err(format!(
            "interrupted; what was written stays, and `throughline run {}` goes on with it",
            file.display()
        )),
    };
    match outcome {
        Ok(text) => {
            let _ = print(&text);
            front.stay(daemon, file).await;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            front.end(daemon).await;
            Err(error)
        }
    }
}

fn reachable(server: &str, allow: &[String]) -> String {
    match allow {
        [] => format!(
            "Through {server} nothing may be reached yet; its administrator writes what into `allow`."
        ),
        allow => format!("Through {server} this host may reach {}.", plain(&allow.join(", "))),
    }
}

/// Has a flow outlive a cut of each uplink; returns what to tell.
async fn try_flows(
    ticket: &Ticket,
    proxy: SocketAddr,
    file: &Path,
    daemon: &Companion,
) -> Result<String, String> {
    let [up, down] = drill::wait_for_lanes(daemon).await?;
    let stream =
        Socks5Stream::connect(proxy, "127.0.0.1".to_owned(), ticket.port, SocksConfig::default());
    let mut stream = stream.await.map_err(|error| format!("no flow through {proxy}: {error}"))?;
    let request = Request::Drill { proof: ticket.proof(DRILL) };
    exchange::ask(&mut stream, &request).await.map_err(|error| error.to_string())?;
    let uplinks = if up.len() > 1 { &up[..] } else { &[] };
    let drill = drill::run(stream, uplinks, daemon).await?;
    Ok(describe(&drill, &up, &down, file)
        + &format!("\nApplications connect to {proxy}, by SOCKS5 or HTTP."))
}

/// Returns what a drill showed.
fn describe(drill: &Drill, up: &[String], down: &[String], file: &Path) -> String {
    let millis = |time: &Duration| format!("{} ms", time.as_millis().max(1));
    let mut text = format!(
        "\nA flow goes over {}; a message takes {} at most.",
        up.join(" and "),
        millis(&drill.usual)
    );
    for (uplink, worst) in &drill.cuts {
        text += &format!(
            "\n{uplink} was cut off for {} s: the flow went on, and no message took longer than {}.",
            drill::CUT.as_secs(),
            millis(worst)
        );
    }
    if drill.cuts.is_empty() {
        text += " There is no other way to the server, so a failure of it was not tried.";
    }
    if !down.is_empty() {
        text += &format!(
            "\nNo lane comes up over {}; `throughline doctor -c {}` says why.",
            down.join(" and "),
            file.display()
        );
    }
    text
}
