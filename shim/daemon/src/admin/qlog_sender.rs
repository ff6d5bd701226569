//! Sends the qlog of lanes to a client, for as long as it was asked for.
//!
//! The daemon opens no file. Whoever asks gets the records and writes them where it may write; a client that is slow,
//! or whose disk is full, holds nothing up but its own socket: what it does not read in time is dropped, and told. What
//! was asked for ends with the client's connection, and when its time is over, also where the client stands still.

use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout_at};

use super::protocol::{Answer, write_line};
use throughline::{Node, QlogReader};

/// For how long it may be asked for: not for so long that it is forgotten.
const LENGTH: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// How long a client may take that is slow to read the last line.
const LAST_LINE: Duration = Duration::from_secs(2);

/// How often what was logged is sent.
const SEND_INTERVAL: Duration = Duration::from_millis(100);

/// The qlog that a client has asked for.
pub(super) struct QlogSender {
    reader: QlogReader,
    until: Instant,
}

impl QlogSender {
    /// Begins to log the lanes to the peer of this name; says why not as a phrase.
    pub(super) fn begin(
        node: &Node,
        peer: &str,
        uplink: Option<&str>,
        length: Duration,
    ) -> Result<Self, String> {
        if !LENGTH.contains(&length) {
            return Err("a qlog is written for between 1 s and 24 h".to_owned());
        }
        let peers = node.status_without_flows().peers;
        let Some(known) = peers.iter().find(|known| known.name.as_str() == peer) else {
            let names: Vec<_> = peers.iter().map(|known| format!("`{}`", known.name)).collect();
            return Err(match &names[..] {
                [] => format!("there is no peer `{peer}`, nor any other"),
                names => format!("there is no peer `{peer}`; there is {}", names.join(", ")),
            });
        };
        let reader = node.qlog(known.id, uplink).map_err(|error| error.to_string())?;
        Ok(Self { reader, until: Instant::now() + length })
    }

    /// Sends what is logged until the time is over, the client disconnects, or the node ends.
    pub(super) async fn send(mut self, stream: UnixStream) -> io::Result<()> {
        let (mut read, mut write) = stream.into_split();
        let last = self.until + LAST_LINE;
        // The client sends nothing more, so anything read here is its end.
        let mut scratch = [0];
        let disconnected = read.read(&mut scratch);
        let send = async {
            // Not only the wait is bounded: while something is logged all the time there is none.
            while Instant::now() < self.until
                && let Ok(Some(parts)) = timeout_at(self.until, self.reader.next()).await
            {
                for part in parts {
                    write_line(&mut write, &Answer::Qlog(Box::new(part.into()))).await?;
                }
                sleep(SEND_INTERVAL).await;
            }
            Ok(())
        };
        tokio::select! {
            sent = timeout_at(last, send) => sent.unwrap_or(Ok(())),
            _ = disconnected => Ok(()),
        }
    }
}
