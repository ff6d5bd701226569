//! The `Hello` exchange on a lane's control stream, both ends.

use std::time::Duration;

use quinn::{Connection, RecvStream, SendStream};
use thiserror::Error;
use tokio::time::timeout;

use throughline_proto::wire::VERSION;
use throughline_proto::wire::control::{ControlError, Decoder, Message};
use throughline_proto::wire::hello::{Hello, Reject, RejectCode, Welcome};

/// A peer that has set up a connection must say `Hello`, or answer it, within this: two losses
/// on a path of 500 ms.
const PATIENCE: Duration = Duration::from_secs(5);

/// The control stream of a lane after the exchange.
pub(crate) struct ControlStream {
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
    /// What came behind the first message.
    pub(crate) decoder: Decoder,
}

/// Why the exchange failed.
#[derive(Debug, Error)]
pub(crate) enum HandshakeError {
    /// The peer said no.
    #[error("rejected by the peer: {detail}")]
    Rejected {
        /// Why, for us.
        code: RejectCode,
        /// Why, for a person.
        detail: String,
    },
    /// The connection failed.
    #[error("{0}")]
    Connection(#[from] quinn::ConnectionError),
    /// The stream failed.
    #[error("control stream: {0}")]
    Stream(String),
    /// Not our protocol.
    #[error("{0}")]
    Control(#[from] ControlError),
    /// A first message that is none.
    #[error("{0} message where {1} was due")]
    OutOfPlace(&'static str, &'static str),
    /// Too slow.
    #[error("no {0} within {PATIENCE:?}")]
    Late(&'static str),
    /// No common version.
    #[error("peer speaks protocol version {0}, we speak {VERSION}; update the older one")]
    Version(u64),
}

/// The initiator's side: says `Hello`, waits for `Welcome`.
pub(crate) async fn initiate(
    connection: &Connection,
    hello: Hello,
) -> Result<(ControlStream, Welcome), HandshakeError> {
    let exchange = async {
        let (mut send, mut recv) = connection.open_bi().await?;
        write(&mut send, &Message::Hello(hello)).await?;
        let mut decoder = Decoder::default();
        match next(&mut recv, &mut decoder).await? {
            Message::Welcome(welcome) if welcome.version == VERSION => {
                Ok((ControlStream { send, recv, decoder }, welcome))
            }
            Message::Welcome(welcome) => Err(HandshakeError::Version(welcome.version)),
            Message::Reject(Reject { code, detail }) => {
                Err(HandshakeError::Rejected { code, detail })
            }
            other => Err(HandshakeError::OutOfPlace(name(&other), "Welcome")),
        }
    };
    timeout(PATIENCE, exchange).await.unwrap_or(Err(HandshakeError::Late("Welcome")))
}

/// The acceptor's side: waits for `Hello`.
pub(crate) async fn receive(
    connection: &Connection,
) -> Result<(ControlStream, Hello), HandshakeError> {
    let exchange = async {
        let (send, mut recv) = connection.accept_bi().await?;
        let mut decoder = Decoder::default();
        match next(&mut recv, &mut decoder).await? {
            Message::Hello(hello) => Ok((ControlStream { send, recv, decoder }, hello)),
            other => Err(HandshakeError::OutOfPlace(name(&other), "Hello")),
        }
    };
    timeout(PATIENCE, exchange).await.unwrap_or(Err(HandshakeError::Late("Hello")))
}

/// Answers a `Hello`.
pub(crate) async fn answer(
    control: &mut ControlStream,
    message: &Message,
) -> Result<(), HandshakeError> {
    write(&mut control.send, message).await
}

async fn write(send: &mut SendStream, message: &Message) -> Result<(), HandshakeError> {
    // Control goes before all else on the lane.
    let _ = send.set_priority(super::pump::CONTROL_PRIORITY);
    send.write_all(&message.to_bytes()).await.map_err(|e| HandshakeError::Stream(e.to_string()))
}

async fn next(recv: &mut RecvStream, decoder: &mut Decoder) -> Result<Message, HandshakeError> {
    loop {
        if let Some(message) = decoder.next_message()? {
            return Ok(message);
        }
        match recv.read_chunk(4096, true).await {
            Ok(Some(chunk)) => decoder.push(&chunk.bytes),
            Ok(None) => return Err(HandshakeError::Stream("ended early".into())),
            Err(quinn::ReadError::ConnectionLost(e)) => return Err(e.into()),
            Err(e) => return Err(HandshakeError::Stream(e.to_string())),
        }
    }
}

fn name(message: &Message) -> &'static str {
    match message {
        Message::Hello(_) => "Hello",
        Message::Welcome(_) => "Welcome",
        Message::Reject(_) => "Reject",
        _ => "another",
    }
}
