//! Transparent interception: connections and datagrams of programs that know of no proxy, and of hosts behind this one.
//!
//! ```text
//! program ─▸ nftables (output)      ┐ redirect
//! host ────▸ nftables (prerouting)  ┴────────▸ listener ─▸ original destination ─▸ rules ─▸ peer, direct, reject
//!                │ direct by address, except, not selected
//!                └────────────────────────────────────────────────▸ as if Throughline were not there
//! ```
//!
//! [`ruleset`] is the kernel's part, as text, which [`Interception`] keeps in place. A connection comes to the
//! [`listener`] with its destination (`destination`), which it goes to whatever name it begins with
//! (`first_bytes`); the name only chooses the rule. A datagram comes to the [`datagrams`] of its ingress with its
//! destination as well, by a mark and a route of its own ([`policy_route`]), and is answered from there. Where an ingress
//! answers DNS queries, a destination may be one that [stands for a name](crate::proxy::names), and then it is that name.

pub mod cgroups;
pub mod datagrams;
mod destination;
mod first_bytes;
mod interception;
pub mod kernel_policy;
pub mod listener;
pub mod nft;
pub mod policy_route;
pub mod resolvers;
pub mod ruleset;
pub mod traffic;

use std::sync::Arc;

use tracing::{debug, info};

pub use self::destination::{canonical, original};
pub use self::interception::Interception;
pub use self::nft::InterceptError;
use super::dispatcher::Dispatcher;
use super::outbound::Arrival;
use crate::proxy::names::is_stand_in;
use crate::proxy::refusals::RefusalLog;
use crate::proxy::relay::close_with_reset;
use crate::proxy::stream::{ClientAddr, Stream};
use throughline::{Host, Target};

/// Serves an intercepted connection.
///
/// One without a way out is reset: there is no other signal to a program that knows of no proxy.
pub(super) async fn serve(
    tcp: Stream,
    from: ClientAddr,
    arrival: Arrival,
    dispatcher: &Dispatcher,
    refusals: &RefusalLog,
) {
    let ingress = Arc::clone(&arrival.ingress);
    let from = from.ip().map_or(from, |addr| canonical(addr).into());
    let original = tcp.as_tcp().and_then(original);
    let Some(original) = original else {
        if let Some(suppressed) = refusals.admit() {
            info!(%ingress, %from, suppressed, "connection reset: it was not intercepted, but made to the port itself");
        }
        return close_with_reset(tcp);
    };
    let known = dispatcher.names().of(original.ip());
    let (name, _in_use) = known.unzip();
    if let (None, true) = (&name, is_stand_in(original.ip())) {
        if let Some(suppressed) = refusals.admit() {
            info!(%ingress, %from, to = %original, suppressed, "connection reset: {}", destination::FORGOTTEN);
        }
        return close_with_reset(tcp);
    }
    let host = name.map_or(Host::Ip(original.ip()), |name| Host::Name(name.to_string()));
    let target = Target::Tcp { host, port: original.port() };
    let opening = async {
        let depends_on_name = dispatcher.policy().depends_on_name(&ingress, &target);
        let name = match tcp.as_tcp().filter(|_| depends_on_name) {
            Some(tcp) => first_bytes::name(tcp).await,
            None => None,
        };
        debug!(%ingress, %from, %target, name, "connection intercepted");
        dispatcher.open_named(&ingress, target.clone(), name.as_deref()).await
    };
    // Boxed: what opening takes is not kept for the life of the connection.
    match arrival.freezer.unless_given(Box::pin(opening)).await {
        None => close_with_reset(tcp),
        Some(Ok(outbound)) => outbound.relay(tcp, arrival, &target).await,
        Some(Err(error)) => {
            let error = error.to_string();
            if let Some(suppressed) = refusals.admit() {
                let error = target.strip_from(&error);
                info!(%ingress, %from, %target, suppressed, "connection reset: {error}");
            }
            close_with_reset(tcp);
        }
    }
}
