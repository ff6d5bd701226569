//! A forwarded port: every connection to it becomes a flow to one fixed target.

use std::sync::Arc;

use tokio::net::TcpListener;
use tracing::{debug, info};

use crate::proxy::accept::accept_loop;
use crate::proxy::relay::close_with_reset;
use crate::proxy::route::{Router, join};
use crate::proxy::tasks::Tasks;
use throughline_proto::types::{Target, unrepeated};

/// Serves the listener until the tasks are drained. A connection whose flow cannot be opened is
/// reset: there is no other way to tell the application.
pub async fn serve(
    listener: TcpListener,
    ingress: Arc<str>,
    to: Target,
    router: Arc<Router>,
    tasks: Tasks,
) {
    let name = Arc::clone(&ingress);
    accept_loop(listener, &name, &tasks, |tcp, from| {
        let (ingress, to, router) = (Arc::clone(&ingress), to.clone(), Arc::clone(&router));
        async move {
            debug!(%ingress, %from, target = %to, "connection");
            match router.open(&ingress, to.clone()).await {
                Ok(outbound) => join(tcp, outbound, &ingress, &to).await,
                Err(error) => {
                    let (target, error) = (to.to_string(), error.to_string());
                    info!(%ingress, target, "connection reset: {}", unrepeated(&target, &error));
                    close_with_reset(tcp);
                }
            }
        }
    })
    .await;
}
