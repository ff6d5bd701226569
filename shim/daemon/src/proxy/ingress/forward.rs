//! The forward ingress: every connection to its port goes to one fixed target.

use std::sync::Arc;

use bytes::Bytes;
use tracing::{debug, info};

use super::dispatcher::Dispatcher;
use super::outbound::Arrival;
use crate::proxy::refusals::RefusalLog;
use crate::proxy::relay::close_with_reset;
use crate::proxy::stream::{ClientAddr, Stream};
use throughline::Target;

/// Serves a connection from a client; its flow begins with some bytes of our own.
///
/// One without a way out is reset: there is no other signal to the application.
pub(super) async fn serve(
    tcp: Stream,
    (from, first): (ClientAddr, Bytes),
    arrival: Arrival,
    to: &Target,
    dispatcher: &Dispatcher,
    refusals: &RefusalLog,
) {
    let ingress = Arc::clone(&arrival.ingress);
    debug!(%ingress, %from, target = %to, "connection accepted");
    // Boxed: what opening takes is not kept for the life of the connection.
    let opening = Box::pin(dispatcher.open(&ingress, to.clone()));
    match arrival.freezer.unless_given(opening).await {
        None => close_with_reset(tcp),
        Some(Ok(outbound)) => outbound.relay_after(first, tcp, arrival, to).await,
        Some(Err(error)) => {
            let error = error.to_string();
            if let Some(suppressed) = refusals.admit() {
                let error = to.strip_from(&error);
                info!(%ingress, target = %to, suppressed, "connection reset: {error}");
            }
            close_with_reset(tcp);
        }
    }
}
