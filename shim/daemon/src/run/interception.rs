//! What a configuration asks the kernel to intercept, and who looks after it.

use std::io;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tracing::error;

use super::error::StartError;
use super::ingresses::{Bound, Running, Server};
use super::parts::admin_path;
use crate::config::{Admin, Config, Ingress};
use crate::proxy::ingress::intercept::InterceptError;
use crate::proxy::ingress::intercept::kernel_policy::steps;
use crate::proxy::ingress::intercept::ruleset::Intercepted;
use crate::proxy::names::{Answerer, Covered};
use crate::proxy::rules::{Destination, Policy};
use crate::reload::Placement;
use throughline::{Host, Node};

/// Returns the name of the table of nftables: a daemon knows its own one again after a crash, and no two that run
/// have the same, as each has its admin socket.
pub fn table(admin: &Admin) -> String {
    /// Bytes of the hash: two daemons of one host do not meet in them.
    const HASH: usize = 4;
    let short = |path: &Path| {
        let hash = Sha256::digest(path.as_os_str().as_encoded_bytes());
        data_encoding::HEXLOWER.encode(&hash[..HASH])
    };
    match admin_path(admin) {
        None => "throughline".to_owned(),
        Some(path) => format!("throughline-{}", short(&path)),
    }
}

/// Returns what of the ingresses is intercepted; each listens at the port beside it.
pub(super) fn intercepted<'a>(
    ingresses: impl Iterator<Item = (&'a Ingress, u16)>,
    policy: &Policy,
    dns_port: Option<u16>,
) -> Vec<Intercepted> {
    let of = |(ingress, port): (&Ingress, u16)| {
        let selector = ingress.kind.intercepts()?.clone();
        let steps = steps(policy, &ingress.name, selector.protocol);
        let dns_port = dns_port.filter(|_| selector.dns);
        Some(Intercepted { selector, steps, port, dns_port })
    };
    ingresses.filter_map(of).collect()
}

/// Returns whether an ingress of a configuration answers DNS queries.
pub(super) fn answers_queries(config: &Config) -> bool {
    let answers = |of: &Ingress| of.kind.intercepts().is_some_and(|selector| selector.dns);
    config.ingresses.iter().any(answers)
}

/// Has the DNS answerer of a configuration listen, if there is to be one.
///
/// # Errors
/// It cannot, as when the kernel refuses its mark.
pub(super) fn bind_answerer(config: &Config, answerer: &Answerer) -> Result<(), StartError> {
    if !answers_queries(config) {
        return Ok(());
    }
    match answerer.bind() {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Err(InterceptError::Denied.into())
        }
        Err(source) => Err(StartError::Dns { source }),
    }
}

/// Returns which names have stand-ins: those that a rule has, but for where peers are dialed.
pub(super) fn covered(config: &Config) -> Covered {
    if !answers_queries(config) {
        return Covered::default();
    }
    let destinations = config.policy.rules().iter().flat_map(|rule| &rule.to);
    let patterns = destinations.filter_map(|to| match to {
        Destination::Name(pattern) => Some(pattern.clone()),
        Destination::Prefix(_) => None,
    });
    let locators = config.peers.iter().flat_map(|peer| &peer.config.locators);
    let except = locators.filter_map(|locator| match &locator.host {
        Host::Name(name) => Some(name.clone()),
        Host::Ip(_) => None,
    });
    Covered::Some { patterns: patterns.collect(), except: except.collect() }
}

/// Returns what of a configuration is intercepted whose ingresses are all bound.
pub(super) fn of_bound(config: &Config, bound: &[Bound], answerer: &Answerer) -> Vec<Intercepted> {
    let ports = bound.iter().map(|bound| bound.addr.port());
    intercepted(config.ingresses.iter().zip(ports), &config.policy, answerer.port())
}

/// Returns what of a configuration is intercepted of which some ingresses listen already, and the others are `bound`,
/// or are only tried.
pub(super) fn of_placed(
    config: &Config,
    placements: &[Placement],
    running: &[Running],
    (bound, answerer): (Option<&[Bound]>, &Answerer),
) -> Vec<Intercepted> {
    /// Where one would listen that is only tried. It is only looked at.
    const TRIED: u16 = 1;
    let mut bound = bound.into_iter().flatten();
    let ports = placements.iter().map(|placement| match placement {
        Placement::Kept(index) => running[*index].addr.port(),
        Placement::Bound => bound.next().map_or(TRIED, |bound| bound.addr.port()),
    });
    let dns_port = answerer.port().or_else(|| answers_queries(config).then_some(TRIED));
    intercepted(config.ingresses.iter().zip(ports), &config.policy, dns_port)
}

/// Has connections intercepted from now on. A process that goes on for another one goes on in any case, and tries
/// again.
///
/// # Errors
/// They cannot be, and no process has been left. Then nothing is left running.
pub(super) async fn intercept(
    server: &Server,
    node: &Node,
    intercepted: Vec<Intercepted>,
    takes_over: bool,
) -> Result<(), InterceptError> {
    let interception = &server.interception;
    match interception.begin(intercepted, takes_over).await {
        Ok(()) => {}
        Err(error) if takes_over => error!("{error}; trying again"),
        Err(error) => {
            interception.remove();
            server.tasks.stop();
            node.shutdown(Duration::ZERO).await;
            return Err(error);
        }
    }
    let keeping = interception.clone().keep(server.dispatcher.connections().freezer.clone());
    let tasks = server.tasks.clone();
    server.tasks.spawn_vital("the task of the interception".to_owned(), async move {
        tokio::select! {
            () = keeping => {}
            () = tasks.draining() => {}
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_has_the_same_table_at_each_start_and_another_daemon_another() {
        let at = |path: &str| table(&Admin::At(path.into()));
        assert_eq!(at("/run/a.sock"), at("/run/a.sock"));
        assert_ne!(at("/run/a.sock"), at("/run/b.sock"));
        assert!(at("/run/a b\"{.sock").strip_prefix("throughline-").is_some_and(|hash| {
            hash.len() == 8 && hash.chars().all(|c| c.is_ascii_hexdigit())
        }));
        assert_eq!(table(&Admin::Off), "throughline");
    }
}
