//! A flow that nobody uses, until somebody does.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Via, echo};
use crate::lab::Lab;
use crate::support::Outcome;

/// An open flow to a server that sends everything back.
pub struct Idle {
    stream: TcpStream,
}

/// What is asked: as long as a message of an echo.
const MESSAGE: [u8; 64] = [7; 64];
/// How long a flow may take to open.
const OPENS_WITHIN: Duration = Duration::from_secs(10);

impl Idle {
    /// Opens it from the client's host.
    ///
    /// # Errors
    /// When it cannot be opened within 10 s.
    pub async fn open(lab: &Lab, via: &Via) -> Outcome<Self> {
        let listening = {
            let via = via.clone();
            lab.server.host.spawn(async move { via.listen() })?.await??
        };
        let port = listening.local_addr()?.port();
        lab.server.host.spawn(async move {
            let (stream, _) = listening.accept().await?;
            echo::answer(stream).await
        })?;
        let via = via.clone();
        let opened = async move { tokio::time::timeout(OPENS_WITHIN, via.connect(port)).await };
        let stream = lab.client.host.spawn(opened)?.await?;
        Ok(Self { stream: stream.map_err(|_| "no connection within 10 s")?? })
    }

    /// Sends a message and returns how long the answer took.
    ///
    /// # Errors
    /// When it does not come within `timeout`, or is wrong.
    pub async fn ask(&mut self, timeout: Duration) -> Outcome<Duration> {
        let asked = Instant::now();
        self.stream.write_all(&MESSAGE).await?;
        let mut answer = [0; MESSAGE.len()];
        let answered = tokio::time::timeout(timeout, self.stream.read_exact(&mut answer)).await;
        answered.map_err(|_| format!("no answer within {timeout:?}"))??;
        if answer != MESSAGE {
            return Err("a wrong answer".into());
        }
        Ok(asked.elapsed())
    }
}
