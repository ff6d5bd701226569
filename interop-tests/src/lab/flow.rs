//! Flows between the sites, as applications have them: TCP sockets in the hosts' namespaces. They
//! say how long they stood still, by the receiver's clock, and whether a byte was wrong.

mod bulk;
mod congestion;
mod echo;
mod idle;
mod via;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::Lab;
use crate::measure::Record;
use crate::support::Outcome;

pub use congestion::Congestion;
pub use idle::Idle;
pub use via::{TcpRoute, Via};

/// What a flow does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A 64-byte message every 20 ms, sent back by the server.
    Echo,
    /// As much as goes, to the client.
    Download,
    /// As much as goes, to the server.
    Upload,
}

impl fmt::Display for Kind {
    /// As it is written on the command line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Echo => "echo",
            Self::Download => "download",
            Self::Upload => "upload",
        })
    }
}

/// Flows that run at once; in words with `+` between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flows(pub Vec<Kind>);

impl FromStr for Flows {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kinds = text.split('+').map(|word| match word {
            "echo" => Ok(Kind::Echo),
            "download" => Ok(Kind::Download),
            "upload" => Ok(Kind::Upload),
            other => Err(format!("there is no flow `{other}`; there are echo, download, upload")),
        });
        kinds.collect::<Result<_, _>>().map(Self)
    }
}

/// A running flow.
pub struct Flow {
    /// What it does.
    pub kind: Kind,
    /// What the receiver saw: bulk bytes by time, or round trips.
    pub record: Record,
    stop: Arc<AtomicBool>,
    near: JoinHandle<Outcome<u64>>,
    far: JoinHandle<Outcome<u64>>,
}

impl Flow {
    /// Starts a flow from the client's host to a server that is made for it on the other.
    ///
    /// # Errors
    /// When it cannot be opened within 10 s.
    pub async fn start(lab: &Lab, via: &Via, kind: Kind) -> Outcome<Self> {
        let (record, stop) = (Record::default(), Arc::new(AtomicBool::new(false)));
        let listening = {
            let via = via.clone();
            lab.server.host.spawn(async move { via.listen() })?.await??
        };
        let port = listening.local_addr()?.port();
        let (seen, ends) = (record.clone(), Arc::clone(&stop));
        let far = lab.server.host.spawn(async move {
            let (stream, _) = listening.accept().await?;
            stream.set_nodelay(true)?;
            match kind {
                Kind::Echo => echo::answer(stream).await,
                Kind::Download => bulk::send(stream, &ends).await,
                Kind::Upload => bulk::receive(stream, &seen).await,
            }
        })?;
        let (seen, ends) = (record.clone(), Arc::clone(&stop));
        let dialed = {
            let via = via.clone();
            let connected = async move { via.connect(port).await };
            let limit = Duration::from_secs(10);
            lab.client.host.spawn(async move { tokio::time::timeout(limit, connected).await })?
        };
        let stream = dialed.await?.map_err(|_| "no connection within 10 s")??;
        let near = lab.client.host.spawn(async move {
            match kind {
                Kind::Echo => echo::ask(stream, &seen, ends).await,
                Kind::Download => bulk::receive(stream, &seen).await,
                Kind::Upload => bulk::send(stream, &ends).await,
            }
        })?;
        Ok(Self { kind, record, stop, near, far })
    }

    /// Ends it in order; how many bytes or messages it carried, every one of them right.
    ///
    /// # Errors
    /// When a byte was wrong or missing, the flow broke, or it has not ended within `finish_timeout`.
    pub async fn finish(self, finish_timeout: Duration) -> Outcome<u64> {
        self.stop.store(true, Ordering::Relaxed);
        let tasks = [self.near.abort_handle(), self.far.abort_handle()];
        let ended =
            tokio::time::timeout(finish_timeout, async { (self.near.await, self.far.await) }).await;
        let Ok((near, far)) = ended else {
            tasks.iter().for_each(|task| task.abort());
            return Err(format!("{:?}: stuck for {finish_timeout:?}", self.kind).into());
        };
        // The receiver's error first: it may be that a byte was wrong, and the sender's its echo.
        let (receiver, sender) = match self.kind {
            Kind::Upload => (far?, near?),
            Kind::Download | Kind::Echo => (near?, far?),
        };
        let context = |error| format!("{:?}: {error}", self.kind);
        let (got, sent) = (receiver.map_err(context)?, sender.map_err(context)?);
        if sent != got {
            return Err(format!("{:?}: {sent} sent, {got} received", self.kind).into());
        }
        Ok(got)
    }
}
