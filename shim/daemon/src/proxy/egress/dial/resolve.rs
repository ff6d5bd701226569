//! Name resolution with a deadline.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::timeout;

use crate::proxy::connections::Lookups;
use crate::proxy::names::is_stand_in;
use throughline::{FailureCode, Host, OpenFailure};

/// One resolver timeout (resolv.conf(5) waits 5 s for a server), which leaves as much to connect.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why what a resolver of this host says is of no use.
const STAND_IN: &str = "a resolver of this host has asked this daemon's own DNS answerer; run the daemon as a user of \
                        its own, and leave the resolver's user out of `users`";

/// Returns the addresses of `host` in the resolver's order (RFC 6724), IPv4-mapped ones as IPv4.
pub(super) async fn resolve(
    host: &Host,
    port: u16,
    lookups: &Lookups,
) -> Result<Vec<SocketAddr>, OpenFailure> {
    let name = match host {
        Host::Ip(ip) => return Ok(vec![SocketAddr::new(ip.to_canonical(), port)]),
        Host::Name(name) => name,
    };
    let failure = |code, reason: String| {
        Err(OpenFailure::new(code, format!("the name {name} does not resolve: {reason}")))
    };
    match timeout(RESOLVE_TIMEOUT, lookups.resolve(name, port)).await {
        Ok(Ok(found)) => {
            let mut addresses: Vec<SocketAddr> = Vec::new();
            for address in found.iter().map(|a| SocketAddr::new(a.ip().to_canonical(), port)) {
                // One would lead back to us.
                if is_stand_in(address.ip()) {
                    return failure(FailureCode::NameNotFound, STAND_IN.to_owned());
                }
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
            match addresses.is_empty() {
                true => failure(FailureCode::NameNotFound, "it has no address".to_owned()),
                false => Ok(addresses),
            }
        }
        Ok(Err(error)) => failure(FailureCode::NameNotFound, error.to_string()),
        Err(_) => failure(
            FailureCode::TimedOut,
            format!("no answer within {} s", RESOLVE_TIMEOUT.as_secs()),
        ),
    }
}
