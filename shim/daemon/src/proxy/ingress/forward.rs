//! The forward ingress: every connection to its port goes to one fixed target.

use std::sync::Arc;

use tokio::net::TcpListener;
use tracing::{debug, info};

use super::accept::accept_loop;
use super::dispatcher::Dispatcher;
use crate::proxy::relay::close_with_reset;
use crate::proxy::tasks::Tasks;
use throughline::Target;

/// Serves the listener until the tasks are draining.
///
/// A connection without a way out is reset: there is no other signal to the application.
pub async fn serve(
    listener: TcpListener,
    ingress: Arc<str>,
    to: Target,
    dispatcher: Arc<Dispatcher>,
    tasks: Tasks,
) {
    let name = Arc::clone(&ingress);
    accept_loop(listener, &name, &tasks, |tcp, from| {
        let (ingress, to) = (Arc::clone(&ingress), to.clone());
        let dispatcher = Arc::clone(&dispatcher);
        async move {
            debug!(%ingress, %from, target = %to, "connection accepted");
            match dispatcher.open(&ingress, to.clone()).await {
                Ok(outbound) => outbound.relay(tcp, &ingress, &to).await,
                Err(error) => {
                    let error = error.to_string();
                    info!(%ingress, target = %to, "connection reset: {}", to.strip_from(&error));
                    close_with_reset(tcp);
                }
            }
        }
    })
    .await;
}
