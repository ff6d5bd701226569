//! The servers the clients talk to: a real HTTP/1.1 origin and a TCP echo.
//!
//! `GET /download` streams until the end of the run (or `?bytes=N`), with its SHA-256 in a trailer.
//! `POST /upload` takes any body and answers with its byte count and SHA-256. They know nothing
//! about Throughline.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Incoming};
use hyper::header::TRAILER;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::flow::{Clock, Flow};
use super::payload::{HASH_TRAILER, PayloadBody, hex};

/// The origin's answer to an upload.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UploadReceipt {
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

/// The settings of the origin.
#[derive(Clone)]
pub(super) struct OriginPlan {
    pub(super) seed: u64,
    /// Set at the end of the run: every download ends.
    pub(super) stop: Arc<AtomicBool>,
    /// The flow that records the reads of uploads.
    pub(super) upload: Arc<Flow>,
    pub(super) clock: Clock,
}

/// The running servers; dropping it stops them.
pub(super) struct Origin {
    pub(super) http: SocketAddr,
    pub(super) echo: SocketAddr,
    _tasks: JoinSet<()>,
}

type Reply = Response<Either<PayloadBody, Full<Bytes>>>;

impl Origin {
    /// Starts both servers on free ports of 127.0.0.1.
    pub(super) async fn start(plan: OriginPlan) -> io::Result<Self> {
        let http = TcpListener::bind("127.0.0.1:0").await?;
        let echo = TcpListener::bind("127.0.0.1:0").await?;
        let (http_addr, echo_addr) = (http.local_addr()?, echo.local_addr()?);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_http(http, plan));
        tasks.spawn(serve_echo(echo));
        Ok(Self { http: http_addr, echo: echo_addr, _tasks: tasks })
    }
}

async fn serve_http(listener: TcpListener, plan: OriginPlan) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let plan = plan.clone();
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, plan.clone()));
            // A client that goes away is the client's to report.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, plan: OriginPlan) -> Result<Reply, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/download") => {
            let limit = request.uri().query().and_then(|query| query.strip_prefix("bytes="));
            let limit = limit.and_then(|bytes| bytes.parse().ok());
            let body = PayloadBody::new(plan.seed, Arc::clone(&plan.stop), limit);
            let mut reply = Response::new(Either::Left(body));
            reply.headers_mut().insert(TRAILER, HASH_TRAILER.parse().expect("a valid name"));
            reply
        }
        (&Method::POST, "/upload") => match receive(request.into_body(), &plan).await {
            Ok(receipt) => text(
                StatusCode::OK,
                serde_json::to_string(&receipt).expect("numbers and texts are JSON"),
            ),
            Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
        },
        _ => text(StatusCode::NOT_FOUND, "GET /download or POST /upload".into()),
    })
}

fn text(status: StatusCode, body: String) -> Reply {
    let mut reply = Response::new(Either::Right(Full::new(Bytes::from(body))));
    *reply.status_mut() = status;
    reply
}

async fn receive(mut body: Incoming, plan: &OriginPlan) -> hyper::Result<UploadReceipt> {
    let (mut hasher, mut bytes) = (Sha256::new(), 0);
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await.transpose()? else { break };
        if let Some(data) = frame.data_ref() {
            plan.upload.read(plan.clock.now(), data.len());
            hasher.update(data);
            bytes += data.len() as u64;
        }
    }
    Ok(UploadReceipt { bytes, sha256: hex(&hasher.finalize()) })
}

async fn serve_echo(listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(async move {
            // A client that goes away is the client's to report.
            let _ = echo(stream).await;
        });
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut reader, mut writer) = stream.split();
    tokio::io::copy(&mut reader, &mut writer).await?;
    tokio::io::AsyncWriteExt::shutdown(&mut writer).await
}
