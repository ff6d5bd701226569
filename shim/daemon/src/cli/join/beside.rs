//! Joins with a host that has a configuration: the server is added at its end, and nothing else of it changes.
//!
//! Of what may be wrong as much as possible is known before the ticket is used, which counts once: the section is tried
//! on the file, and the daemon is asked.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;

use tokio::net::TcpStream;

use super::task::{JoinTask, interrupted, reachable, try_flow};
use crate::cli::companion::Front;
use crate::cli::invite::tidy;
use crate::cli::output::print;
use crate::config::Config;
use crate::join::companion::Companion;
use crate::join::file::server::{DrillPort, Server};
use crate::join::file::{Lock, is_replaceable, replace};
use crate::join::membership;
use crate::run::identity;
use throughline::PeerId;

pub(super) async fn join(task: &JoinTask) -> Result<ExitCode, String> {
    let file = &task.file;
    let lock = Lock::of(file).map_err(|error| failed(task, &error))?;
    tidy(file)?;
    let config = Config::load(file).map_err(|error| error.to_string())?;
    let key = identity(&config).map_err(|error| error.to_string())?.peer_id();
    check(task, &config, &key)?;
    let locators = task.ticket.locators.clone();
    let server = Server { name: task.name.clone(), key: task.ticket.server, locators };
    parsed(task, &server.appended_to(&read(task)?))?;
    is_replaceable(file).map_err(|error| {
        format!(
            "{} cannot be changed by this user: {error}; the ticket was not used. Run this as the owner of its directory or \
             as root",
            file.display()
        )
    })?;
    let mut front = Front::start().await?;
    let daemon = front.companion(file, config).await?;
    let outcome = tokio::select! {
        outcome = membership::join(&task.ticket, &key) => outcome,
        () = front.interrupted() => Err(format!(
            "interrupted; {} is as it was, and the ticket may be used up: ask for another one",
            file.display()
        )),
    };
    let outcome = match outcome {
        Ok(allow) => added(task, &server, &allow, &daemon, &mut front)
            .await
            .map_err(|error| format!("this host has joined {}, but: {error}", task.name)),
        Err(error) => Err(error),
    };
    // Others may change the file while the daemon goes on.
    drop(lock);
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

/// Checks that the server is none of those that are known here.
fn check(task: &JoinTask, config: &Config, own: &PeerId) -> Result<(), String> {
    let (name, file) = (&task.name, task.file.display());
    if task.ticket.server == *own {
        return Err(format!(
            "the ticket is of this very host, whose key {file} has; run `throughline join` at the other one"
        ));
    }
    let known =
        config.peers.iter().find(|peer| peer.config.keys().any(|k| k == task.ticket.server));
    if let Some(peer) = known {
        return Err(format!(
            "the server is a peer here already, `{0}` in {file}; the ticket was not used. If its addresses are other ones \
             now, write them into `locators` of [peers.{0}]; to join anew, remove that section first",
            peer.config.name
        ));
    }
    if config.peers.iter().any(|peer| peer.config.name == *name) {
        return Err(format!(
            "another peer is called `{name}` in {file} already; the ticket was not used. Write another name for the server \
             with --name"
        ));
    }
    let drill = format!("join-{name}");
    if config.ingresses.iter().any(|ingress| ingress.name == drill) {
        return Err(format!(
            "an ingress is called `{drill}` in {file}, and this command needs that name for a moment; the ticket was not \
             used. Write another name for the server with --name"
        ));
    }
    Ok(())
}

/// Adds the server, and has a flow to it outlive each uplink; returns what to tell.
async fn added(
    task: &JoinTask,
    server: &Server,
    allow: &[String],
    daemon: &Companion,
    front: &mut Front,
) -> Result<String, String> {
    let (name, file) = (&task.name, task.file.display());
    let by_hand = |error: String| {
        format!(
            "{error}. To add it by hand, have this at the end of {file}, once, and run `throughline reload -c {file}`:\n\n{}",
            server.text()
        )
    };
    change(task, daemon, |text| Some(server.appended_to(text)), |text| server.removed_from(text))
        .await
        .map_err(by_hand)?;
    let _ = print(&format!(
        "Joined {name}. Added to {file}, of which nothing else has changed:\n\n{}\n{}",
        server.text(),
        reachable(name, allow)
    ));
    let listen = free_port()?;
    let drill = DrillPort { server: name.clone(), listen, port: task.ticket.port };
    let there = |text: &str| Some(drill.appended_to(text));
    change(task, daemon, there, |text| drill.removed_from(text))
        .await
        .map_err(|error| format!("no flow could be tried: {error}"))?;
    let connect = async {
        let stream = TcpStream::connect(listen).await.and_then(|s| s.set_nodelay(true).map(|()| s));
        stream.map_err(|error| format!("no flow through {listen}: {error}"))
    };
    let outcome = tokio::select! {
        outcome = try_flow(task, daemon, connect) => {
            outcome.map_err(|error| format!("the flow that was tried failed: {error}"))
        }
        () = front.interrupted() => Err(interrupted(&task.file)),
    };
    let there = |text: &str| Some(drill.appended_to(text));
    let removed = change(task, daemon, |text| drill.removed_from(text), there).await;
    let removed = removed.map_err(|error| {
        format!(
            "the ingress `join-{name}` of the drill could not be removed from {file} ({error}); remove it by hand, and run \
             `throughline reload -c {file}`"
        )
    });
    let text = match (outcome, removed) {
        (Ok(text), Ok(())) => text,
        (Err(error), Ok(())) | (Ok(_), Err(error)) => return Err(error),
        (Err(error), Err(left)) => return Err(format!("{error}; and {left}")),
    };
    Ok(format!(
        "{text}\nNo ingress of {file} leads there yet: write `via = \"{name}\"` in an ingress or a rule, and run \
         `throughline reload -c {file}`."
    ))
}

/// Returns an address of loopback at which nothing listens now.
fn free_port() -> Result<SocketAddr, String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr());
    listener.map_err(|error| format!("no port of loopback is free: {error}"))
}

/// Changes the configuration, and has the daemon take it over; where it does not, the change is undone.
async fn change(
    task: &JoinTask,
    daemon: &Companion,
    there: impl Fn(&str) -> Option<String>,
    back: impl Fn(&str) -> Option<String>,
) -> Result<(), String> {
    let changed = || failed(task, &"somebody else has changed it in the same place");
    let text = there(&read(task)?).ok_or_else(changed)?;
    parsed(task, &text)?;
    replace(&task.file, &text).map_err(|error| failed(task, &error))?;
    let Err(error) = daemon.reload().await else { return Ok(()) };
    // Somebody may have changed it in the meantime.
    let undone = read(task).and_then(|text| back(&text).ok_or_else(changed));
    let undone =
        undone.and_then(|text| replace(&task.file, &text).map_err(|error| failed(task, &error)));
    Err(match undone {
        Ok(()) => {
            // It may have taken the change all the same, where it was its answer that did not come.
            let _ = daemon.reload().await;
            let file = task.file.display();
            format!("the daemon does not take it: {error}; the change of {file} was undone")
        }
        Err(undoing) => format!(
            "the daemon does not take it: {error}; and the change could not be undone: {undoing}"
        ),
    })
}

fn parsed(task: &JoinTask, text: &str) -> Result<(), String> {
    Config::parse(&task.file, text).map(|_| ()).map_err(|error| {
        format!("with the server added the configuration would be wrong, so nothing was changed: {error}")
    })
}

fn read(task: &JoinTask) -> Result<String, String> {
    std::fs::read_to_string(&task.file).map_err(|error| failed(task, &error))
}

fn failed(task: &JoinTask, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", task.file.display())
}
