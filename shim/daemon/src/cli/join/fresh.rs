//! Joins with a host that has no configuration.

use std::path::Path;
use std::process::ExitCode;

use fast_socks5::client::{Config as SocksConfig, Socks5Stream};

use super::task::{JoinTask, interrupted, reachable, try_flow};
use crate::admin::{self, AdminSocket};
use crate::cli::companion::Front;
use crate::cli::init::{Written, identity_in};
use crate::cli::invite::make_directory;
use crate::cli::output::print;
use crate::config::Config;
use crate::init::NewPeer;
use crate::join::membership;
use throughline::Identity;

pub(super) async fn join(task: &JoinTask) -> Result<ExitCode, String> {
    // The ticket counts once: what would be in the way afterwards is better known before.
    is_alone().await?;
    let directory = task.file.parent().unwrap_or(Path::new("."));
    make_directory(directory)?;
    let identity = identity_in(directory)?;
    let allow = membership::join(&task.ticket, &identity.0.peer_id()).await?;
    let outcome = Box::pin(settle(task, directory, identity, &allow)).await;
    outcome.map_err(|error| format!("this host has joined {}, but: {error}", task.name))
}

/// Checks that no other daemon runs here, whose place the new one would take.
async fn is_alone() -> Result<(), String> {
    let socket = AdminSocket::running_path();
    match admin::status(&socket).await {
        Ok(report) => Err(match report.file {
            Some(file) => format!(
                "a daemon runs here already, with {0}; write `-c {0}` to add the server to that",
                file.display()
            ),
            None => "another program runs a daemon here already; stop it".to_owned(),
        }),
        Err(_) => Ok(()),
    }
}

/// Writes the configuration, runs its daemon, and has a flow outlive each uplink.
async fn settle(
    task: &JoinTask,
    directory: &Path,
    identity: (Identity, bool),
    allow: &[String],
) -> Result<ExitCode, String> {
    let (name, file) = (&task.name, &task.file);
    let locators = task.ticket.locators.clone();
    let server = NewPeer { name: name.clone(), key: task.ticket.server, locators };
    let written = Written::with(directory, identity, None, vec![server], vec![]).await?;
    let _ = print(&format!("Joined {name}. {}", written.shown().trim_end()));
    let _ = print(&format!("\n{}", reachable(name, allow)));
    let config = Config::load(file).map_err(|error| error.to_string())?;
    let proxy = config.ingresses.iter().find_map(|ingress| ingress.listen.ip());
    let proxy = proxy.ok_or("a first configuration has an ingress")?;
    let mut front = Front::start().await?;
    let daemon = front.companion(file, config).await?;
    let (port, socks) = (task.ticket.port, SocksConfig::default());
    let connect = async {
        let stream = Socks5Stream::connect(proxy, "127.0.0.1".to_owned(), port, socks).await;
        stream.map_err(|error| format!("no flow through {proxy}: {error}"))
    };
    let outcome = tokio::select! {
        outcome = try_flow(task, &daemon, connect) => {
            outcome.map_err(|error| format!("the flow that was tried failed: {error}"))
        }
        () = front.interrupted() => Err(interrupted(file)),
    };
    match outcome {
        Ok(text) => {
            let _ = print(&format!("{text}\nApplications connect to {proxy}, by SOCKS5 or HTTP."));
            front.stay(daemon, file).await;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            front.end(daemon).await;
            Err(error)
        }
    }
}
