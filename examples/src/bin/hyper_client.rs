//! An HTTP client over a node: hyper-util's, whose connections are flows that outlive an ISP.
//!
//! `cargo run -p throughline-examples --bin hyper_client`

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use throughline::{Connector, FlowInfo};
use throughline_examples::{Error, pair};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (here, there) = pair().await?;

    // The far side takes whatever is asked for; a daemon would dial it, if its `allow` admits it.
    let app = Router::new().route("/{page}", get(|| async { "a page" }));
    let listener = there.serve_tcp()?.accept_all();
    tokio::spawn(axum::serve(listener, app).into_future());

    // URIs say where a flow leads; the peer resolves their names. The client keeps its connections.
    let connector = Connector::new(here, there.id());
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    for page in ["one", "two"] {
        let answer = client.get(format!("http://intranet.example/{page}").parse()?).await?;
        let flow = answer.extensions().get::<FlowInfo>().ok_or("no flow")?;
        println!("{} from {} by {}", answer.status(), flow.target, flow.peer_name.as_str());
        let body = answer.into_body().collect().await?.to_bytes();
        println!("/{page}: {}", String::from_utf8_lossy(&body));
    }

    // What cannot be had is an error that says why.
    let error = client.get("ftp://intranet.example/".parse()?).await.err().ok_or("no error")?;
    let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    println!("{reason}");
    Ok(())
}
