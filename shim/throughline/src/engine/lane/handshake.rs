//! The `Hello` exchange on a lane's control stream, at both ends.

use std::time::Duration;

use quinn::{Connection, ReadError, RecvStream, SendStream, WriteError};
use thiserror::Error;
use tokio::time::timeout;

use crate::engine::quic::tls;
use throughline_proto::session::Priority;
use throughline_proto::wire::control::{ControlError, Decoder, Message};
use throughline_proto::wire::hello::{Hello, Reject, RejectCode, Welcome};
use throughline_proto::wire::version::{NoCommonVersion, VERSIONS};

/// QUIC's priority of the control stream, above every [`Priority`] of a segment.
const CONTROL_PRIORITY: i32 = Priority::Thin as i32 + 1;

/// A peer that has set up a connection must say `Hello`, or answer it, within this: two losses
/// on a path of 500 ms.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(5);

/// The control stream of a lane after the exchange.
pub(crate) struct ControlStream {
    pub(crate) send: SendStream,
    pub(crate) recv: RecvStream,
    /// Holds what arrived after the first message.
    pub(crate) decoder: Decoder,
}

/// Why the exchange failed.
#[derive(Debug, Error)]
pub(crate) enum HandshakeError {
    /// The peer rejected the lane.
    #[error("rejected by the peer: {detail}")]
    Rejected {
        /// Why, for us.
        code: RejectCode,
        /// Why, for a person.
        detail: String,
    },
    /// The connection failed.
    #[error("{}", tls::reason(.0))]
    Connection(#[from] quinn::ConnectionError),
    /// The stream cannot be written.
    #[error("control stream: {0}")]
    Write(#[source] WriteError),
    /// The stream cannot be read.
    #[error("control stream: {0}")]
    Read(#[source] ReadError),
    /// The stream ended before the message.
    #[error("control stream: ended early")]
    Ended,
    /// What arrived is not a message of our protocol.
    #[error("{0}")]
    Control(#[from] ControlError),
    /// The first message is of another kind.
    #[error("{0} message where {1} was due")]
    Unexpected(&'static str, &'static str),
    /// The message did not arrive in time.
    #[error("no {0} within {EXCHANGE_TIMEOUT:?}")]
    Late(&'static str),
    /// There is no common version.
    #[error("{0}")]
    Version(#[from] NoCommonVersion),
}

/// Runs the initiator's side: sends `Hello`, waits for `Welcome`.
pub(crate) async fn initiate(
    connection: &Connection,
    hello: Hello,
) -> Result<(ControlStream, Welcome), HandshakeError> {
    let exchange = async {
        let (mut send, mut recv) = connection.open_bi().await?;
        write(&mut send, &Message::Hello(hello)).await?;
        let mut decoder = Decoder::default();
        match next(&mut recv, &mut decoder).await? {
            Message::Welcome(welcome) => {
                VERSIONS.accept(welcome.version)?;
                Ok((ControlStream { send, recv, decoder }, welcome))
            }
            Message::Reject(Reject { code, detail }) => {
                Err(HandshakeError::Rejected { code, detail })
            }
            other => Err(HandshakeError::Unexpected(name(&other), "Welcome")),
        }
    };
    timeout(EXCHANGE_TIMEOUT, exchange).await.unwrap_or(Err(HandshakeError::Late("Welcome")))
}

/// Runs the acceptor's side: waits for `Hello`.
pub(crate) async fn receive(
    connection: &Connection,
) -> Result<(ControlStream, Hello), HandshakeError> {
    let exchange = async {
        let (send, mut recv) = connection.accept_bi().await?;
        let mut decoder = Decoder::default();
        match next(&mut recv, &mut decoder).await? {
            Message::Hello(hello) => Ok((ControlStream { send, recv, decoder }, hello)),
            other => Err(HandshakeError::Unexpected(name(&other), "Hello")),
        }
    };
    timeout(EXCHANGE_TIMEOUT, exchange).await.unwrap_or(Err(HandshakeError::Late("Hello")))
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
    let _ = send.set_priority(CONTROL_PRIORITY);
    send.write_all(&message.to_bytes()).await.map_err(|error| match error {
        WriteError::ConnectionLost(error) => error.into(),
        error => HandshakeError::Write(error),
    })
}

async fn next(recv: &mut RecvStream, decoder: &mut Decoder) -> Result<Message, HandshakeError> {
    loop {
        if let Some(message) = decoder.next_message()? {
            return Ok(message);
        }
        match recv.read_chunk(4096, true).await {
            Ok(Some(chunk)) => decoder.push(&chunk.bytes),
            Ok(None) => return Err(HandshakeError::Ended),
            Err(ReadError::ConnectionLost(error)) => return Err(error.into()),
            Err(error) => return Err(HandshakeError::Read(error)),
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
