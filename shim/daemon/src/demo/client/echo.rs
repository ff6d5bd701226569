//! The interactive flow: 64 bytes every 20 ms, like keystrokes.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::super::flow::{Ending, Flow};
use super::super::payload::Payload;
use super::{Client, Connector};

/// The size of a message, in bytes.
const MESSAGE: usize = 64;
/// The interval between messages: 50 a second, more than anybody types.
const MESSAGE_INTERVAL: Duration = Duration::from_millis(20);

impl Client {
    pub(super) async fn run_echo(
        &self,
        connector: Connector,
        flow: &Flow,
    ) -> Result<Ending, String> {
        let mut stream = connector.connect().await?;
        let (mut reader, mut writer) = stream.split();
        let write = async {
            let (mut payload, mut ticks) = (Payload::new(self.seed), interval(MESSAGE_INTERVAL));
            // A burst after a pause would measure the pause again and again.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !self.stop.load(Ordering::Relaxed) {
                ticks.tick().await;
                flow.echo(|meter| meter.sent(self.clock.now()));
                writer.write_all(&payload.next(MESSAGE)).await.map_err(|e| e.to_string())?;
            }
            writer.shutdown().await.map_err(|e| e.to_string())
        };
        let read = async {
            let mut payload = Payload::new(self.seed);
            loop {
                let mut answer = [0; MESSAGE];
                match reader.read_exact(&mut answer).await {
                    Ok(_) => {}
                    Err(_) if flow.echo(|meter| meter.all_answered()) => return Ok(Ending::Right),
                    Err(error) => return Err(error.to_string()),
                }
                flow.echo(|meter| meter.answered(self.clock.now()));
                if *payload.next(MESSAGE) != answer {
                    let number = flow.echo(|meter| meter.answers());
                    return Ok(Ending::Wrong(format!("answer {number} has wrong bytes")));
                }
            }
        };
        // The reader decides: it ends at the half-close, or at the first error.
        tokio::pin!(read);
        tokio::select! {
            ended = &mut read => ended,
            written = write => {
                written?;
                timeout(super::CONNECT_TIMEOUT, read)
                    .await
                    .unwrap_or_else(|_| Err("some answers never came".into()))
            }
        }
    }
}
