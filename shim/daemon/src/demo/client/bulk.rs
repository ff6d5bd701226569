//! The bulk download and the bulk upload, over plain HTTP/1.1.

use std::sync::Arc;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1::handshake;
use hyper::header::{HOST, TE, TRAILER};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::task::AbortHandle;

use super::super::flow::{Ending, Flow};
use super::super::origin::UploadReceipt;
use super::super::payload::{HASH_TRAILER, PayloadBody, hex};
use super::{Client, Connector};

/// Aborts a connection's task when dropped.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Client {
    pub(super) async fn run_download(
        &self,
        connector: Connector,
        flow: &Flow,
    ) -> Result<Ending, String> {
        let request = Request::get("/download")
            .header(HOST, "origin")
            .header(TE, "trailers")
            .body(Empty::<Bytes>::new())
            .map_err(with_causes)?;
        let (response, _connection) = send(connector, request).await?;
        let mut body = response.into_body();
        let (mut hasher, mut trailer) = (Sha256::new(), None);
        while let Some(frame) = body.frame().await {
            match frame.map_err(with_causes)?.into_data() {
                Ok(data) => {
                    flow.read(self.clock.now(), data.len());
                    hasher.update(&data);
                }
                Err(frame) => trailer = frame.into_trailers().ok(),
            }
        }
        let sent = trailer.and_then(|fields| {
            fields.get(HASH_TRAILER).and_then(|hash| hash.to_str().ok()).map(str::to_owned)
        });
        let sent = sent.ok_or("the download ended without the hash of what was sent")?;
        Ok(compare(&sent, &hex(&hasher.finalize())))
    }

    pub(super) async fn run_upload(&self, connector: Connector) -> Result<Ending, String> {
        let body = PayloadBody::new(!self.seed, Arc::clone(&self.stop), None);
        let sent = body.sent();
        let request = Request::post("/upload")
            .header(HOST, "origin")
            .header(TRAILER, HASH_TRAILER)
            .body(body)
            .map_err(with_causes)?;
        let (response, _connection) = send(connector, request).await?;
        let answer = response.into_body().collect().await.map_err(with_causes)?.to_bytes();
        let receipt: UploadReceipt = serde_json::from_slice(&answer).map_err(with_causes)?;
        let sent = sent.lock().clone();
        if sent.bytes != receipt.bytes {
            let (sent, received) = (sent.bytes, receipt.bytes);
            return Ok(Ending::Wrong(format!("{sent} bytes sent, {received} received")));
        }
        Ok(compare(&sent.sha256, &receipt.sha256))
    }
}

/// Sends a request over a connection of its own, which lives as long as the returned guard.
async fn send<B>(
    connector: Connector,
    request: Request<B>,
) -> Result<(Response<Incoming>, AbortOnDrop), String>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let stream = connector.connect().await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(with_causes)?;
    // What goes wrong with the connection shows in the request.
    let task = tokio::spawn(async { drop(connection.await) });
    let guard = AbortOnDrop(task.abort_handle());
    let response = sender.send_request(request).await.map_err(with_causes)?;
    if response.status() != StatusCode::OK {
        return Err(format!("the origin answered {}", response.status()));
    }
    Ok((response, guard))
}

fn compare(sent: &str, received: &str) -> Ending {
    if sent == received {
        Ending::Right
    } else {
        Ending::Wrong(format!("SHA-256 {received} received, {sent} sent"))
    }
}

/// Formats an error with its causes.
fn with_causes(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
