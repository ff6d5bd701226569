//! An axum server that is reached over a node, and knows which peer asks.
//!
//! `cargo run -p throughline-examples --bin axum_server`

use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use throughline::{FlowInfo, Target};
use throughline_examples::{Error, pair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Answers with the name of the peer: its key has proved it.
async fn who(ConnectInfo(flow): ConnectInfo<FlowInfo>) -> String {
    format!("hello, {}\n", flow.peer_name.as_str())
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (here, there) = pair().await?;

    // The service `web` in place of a TCP port. The server ends with its node.
    let app = Router::new().route("/", get(who));
    let app = app.into_make_service_with_connect_info::<FlowInfo>();
    let listener = there.serve("web")?.accept_all();
    let server = axum::serve(listener, app).with_graceful_shutdown(there.shutting_down());
    let server = tokio::spawn(server.into_future());

    // A client: one request, as it goes over the wire. `hyper_client` has a real one.
    let mut flow = here.connect(there.id(), Target::service("web")).await?;
    flow.write_all(b"GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    flow.read_to_string(&mut answer).await?;
    print!("{}", answer.rsplit("\r\n").next().unwrap_or_default());
    drop(flow);

    there.shutdown(Duration::from_secs(5)).await;
    server.await??;
    println!("the server ended with its node");
    Ok(())
}
