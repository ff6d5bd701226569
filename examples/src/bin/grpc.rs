//! A gRPC server and its client over two nodes, with tonic. Messages are plain text, so that no code is generated.
//!
//! `cargo run -p throughline-examples --bin grpc`

use std::convert::Infallible;

use bytes::{Buf, BufMut};
use http::uri::PathAndQuery;
use throughline::{Connector, FlowInfo, Target};
use throughline_examples::{Error, pair};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status};
use tower::service_fn;

/// Messages of text.
#[derive(Clone, Copy, Default)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, text: String, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(text.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        let text = String::from_utf8(bytes.into());
        text.map(Some).map_err(|_| Status::invalid_argument("the message is not UTF-8"))
    }
}

/// The one procedure of the service.
async fn greet(request: Request<String>) -> Result<Response<String>, Status> {
    let flow = request.extensions().get::<FlowInfo>().ok_or(Status::internal("no flow"))?;
    Ok(Response::new(format!("{}, {}", request.get_ref(), flow.peer_name.as_str())))
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let (here, there) = pair().await?;
    let service = service_fn(|request| async move {
        let mut grpc = tonic::server::Grpc::new(Text);
        Ok::<_, Infallible>(grpc.unary(service_fn(greet), request).await)
    });
    let listener = there.serve("greeter")?.accept_all();
    tokio::spawn(Server::builder().serve_with_incoming(service, listener));

    let connector = Connector::new(here, there.id()).to(Target::service("greeter"));
    let channel = Endpoint::from_static("http://greeter").connect_with_connector(connector).await?;
    let mut client = tonic::client::Grpc::new(channel);
    client.ready().await?;
    let procedure = PathAndQuery::from_static("/greeter.Greeter/Greet");
    println!("{}", client.unary(Request::new("hello".into()), procedure, Text).await?.get_ref());
    Ok(())
}
