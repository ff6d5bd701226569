use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use h2::client::SendRequest;
use h2::server;
use hyper::{Request, Response};
use tokio::io::{AsyncRead, DuplexStream, ReadBuf, duplex};
use tokio::task::JoinHandle;

use super::super::sending::Chunk;
use super::*;

/// The length of what goes through a tunnel: below the windows of HTTP/2.
const LENGTH: usize = 60_000;

fn pattern() -> Vec<u8> {
    (0..LENGTH).map(|i| (i * 31 + i / 253) as u8).collect()
}

/// What comes by a way out that is reset behind these bytes, or stays silent.
struct Comes {
    bytes: Bytes,
    is_reset: bool,
}

impl AsyncRead for Comes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_empty() {
            return match self.is_reset {
                true => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                false => Poll::Pending,
            };
        }
        let taken = self.bytes.len().min(buffer.remaining());
        buffer.put_slice(&self.bytes[..taken]);
        self.bytes.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl Outlet for Comes {
    async fn is_reset(&mut self) -> io::Error {
        std::future::pending().await
    }
}

impl Inlet for DuplexStream {
    async fn is_reset(&mut self) -> io::Error {
        std::future::pending().await
    }
}

/// The client's end of a tunnel, and its relay.
struct Tunnel {
    response: h2::client::ResponseFuture,
    sending: Sending,
    relay: JoinHandle<Result<(), TunnelError>>,
}

/// Opens a tunnel of HTTP/2 that leads to these halves.
async fn tunnel(mut reader: Comes, mut writer: DuplexStream) -> Tunnel {
    // Less than what is sent, so that some of it waits in h2.
    let (near, far) = duplex(4096);
    let serving = async {
        let mut connection = server::Builder::new().handshake::<_, Chunk>(far).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        tokio::spawn(async move { while connection.accept().await.is_some() {} });
        let stream = respond.send_response(Response::new(()), false).unwrap();
        (request.into_body(), Sending::new(stream))
    };
    let asking = async {
        let (client, connection) =
            h2::client::Builder::new().handshake::<_, Chunk>(near).await.unwrap();
        tokio::spawn(connection);
        let mut client: SendRequest<Chunk> = client.ready().await.unwrap();
        let request = Request::builder().method("CONNECT").uri("h:1").body(()).unwrap();
        let (response, stream) = client.send_request(request, false).unwrap();
        // The connection lives as long as it has a handle.
        tokio::spawn(async move {
            let _client = client;
            std::future::pending::<()>().await;
        });
        (response, Sending::new(stream))
    };
    let ((received, mut ours), (response, sending)) = tokio::join!(serving, asking);
    let relay = tokio::spawn(async move {
        let result = relay_both(received, &mut ours, &mut reader, &mut writer).await;
        if result.is_err() {
            ours.reset(Reason::CONNECT_ERROR).await;
        }
        result
    });
    Tunnel { response, sending, relay }
}

#[tokio::test]
async fn what_came_before_a_reset_of_the_way_out_is_delivered_before_it() {
    let comes = Comes { bytes: pattern().into(), is_reset: true };
    let (writer, _kept) = duplex(1024);
    let Tunnel { response, sending, relay } = tunnel(comes, writer).await;
    let mut received = response.await.unwrap().into_body();
    let mut bytes = Vec::new();
    let reset = loop {
        match received.data().await.expect("an end instead of a reset") {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(reset) => break reset,
        }
    };
    assert!(bytes == pattern(), "{} bytes came", bytes.len());
    assert_eq!(reset.reason(), Some(Reason::CONNECT_ERROR));
    assert!(matches!(relay.await.unwrap(), Err(TunnelError::Outbound(_))));
    drop(sending);
}

#[tokio::test]
async fn what_came_before_a_reset_of_the_client_is_delivered_before_it() {
    let comes = Comes { bytes: Bytes::new(), is_reset: false };
    // The way out takes no more than a little until it is read.
    let (writer, mut destination) = duplex(1024);
    let Tunnel { response, mut sending, relay } = tunnel(comes, writer).await;
    let _response = response.await.unwrap();
    sending.data(pattern().into()).await.unwrap();
    sending.reset(Reason::CANCEL).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let mut bytes = Vec::new();
    destination.read_to_end(&mut bytes).await.unwrap();
    assert!(bytes == pattern(), "{} bytes came", bytes.len());
    assert!(matches!(relay.await.unwrap(), Err(TunnelError::Client(_))));
}
