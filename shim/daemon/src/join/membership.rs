//! The site's side: it shows the server the key by which it wants to be known.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use super::exchange;
use super::ticket::Ticket;
use throughline::{Host, Node, PeerConfig, PeerId, Target};

/// How long the server may take to answer: several dials over every uplink.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the one-time node may take to end.
const END: Duration = Duration::from_secs(2);

/// Returns what the server waits at.
pub(crate) fn meeting(ticket: &Ticket) -> Target {
    Target::Tcp { host: Host::Ip(Ipv4Addr::LOCALHOST.into()), port: ticket.port }
}

/// Joins by the ticket as this key; returns what it may reach through the server.
pub(crate) async fn join(ticket: &Ticket, key: &PeerId) -> Result<Vec<String>, String> {
    let server = PeerConfig::new(ticket.server, ticket.server_name.clone())
        .locators(ticket.locators.iter().cloned());
    let node = Node::builder().identity(ticket.identity()).peer(server).build().await;
    let node = node.map_err(|error| error.to_string())?;
    let joined = join_over(&node, ticket, key).await;
    node.shutdown(END).await;
    joined
}

async fn join_over(node: &Node, ticket: &Ticket, key: &PeerId) -> Result<Vec<String>, String> {
    tokio::select! {
        () = refused(node) => {
            return Err("the server does not take this ticket (any more): it was used, withdrawn, or has expired; ask \
                        for another one"
                .to_owned());
        }
        is_reachable = node.wait_until_reachable(ticket.server, ANSWER_TIMEOUT) => {
            if !is_reachable {
                return Err(unreachable(ticket));
            }
        }
    }
    let stream = node.connect(ticket.server, meeting(ticket)).await;
    let mut stream = stream.map_err(|error| {
        format!("`throughline invite` does not wait at the server any more ({error}); ask for another ticket")
    })?;
    let joined = exchange::join(&mut stream, ticket, key).await;
    // That this one has heard it.
    let _ = stream.shutdown().await;
    joined.map_err(|error| error.to_string())
}

/// Completes when the server has refused the one-time key.
async fn refused(node: &Node) {
    // Only a refusal of this key names it.
    let key = node.id().to_string();
    let names_it = |error: &str| error.contains(&key);
    while !node
        .status()
        .peers
        .iter()
        .filter_map(|peer| peer.failing.as_ref())
        .any(|f| names_it(&f.error))
    {
        sleep(Duration::from_millis(100)).await;
    }
}

/// Returns what may be wrong where nothing answers.
fn unreachable(ticket: &Ticket) -> String {
    let tried: Vec<String> = ticket.locators.iter().map(ToString::to_string).collect();
    // By this host's clock, which may be wrong; so it is only a hint.
    let hint = match ticket.expired_for() {
        Some(age) => format!(
            "the ticket has expired {} ago, by this host's clock; ask for another one",
            humantime::format_duration(Duration::from_secs(age.as_secs()))
        ),
        None => "see that `throughline invite` still waits there, that its firewall lets this UDP port in, and that \
                 these are its addresses as seen from here (`throughline invite --locator HOST:PORT` names others)"
            .to_owned(),
    };
    format!(
        "no server answered with the ticket's key at {} within {} s; {hint}",
        tried.join(", "),
        ANSWER_TIMEOUT.as_secs()
    )
}
