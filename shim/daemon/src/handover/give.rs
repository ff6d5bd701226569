//! The end that runs: offers, freezes, shows its state, and lets go, or goes on.

use std::any::Any;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::net::UnixStream;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::channel::Channel;
use super::datagrams::{AssociationRecord, DatagramsRecord};
use super::state::{FORMATS, NAMES_SINCE, RelayRecord, StateWriter, UNIX_SINCE, newest_common};
use super::{Message, Socket};
use crate::proxy::freezer::Freezer;
use crate::proxy::parked::ParkedTask;
use crate::proxy::relay::{OtherEnd, Parked};
use crate::proxy::tasks::Tasks;
use throughline::Node;
use throughline::handover::FrozenNode;

/// How long a successor has to prepare itself: uplinks, names of listeners. Nothing stands still meanwhile.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long everything stands still at the most while the successor restores it. A hundred thousand flows
/// take some seconds.
pub(super) const RESTORE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a successor has to read that it is refused.
const REFUSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns whether a user may take over: our own, or root.
pub(super) fn is_own_user(user: u32) -> bool {
    user == 0 || user == rustix::process::geteuid().as_raw()
}

/// Returns whether a program that reads this format knows such a socket. What it does not know it binds anew, if it can.
pub(super) fn is_known(socket: &Socket, format: u64) -> bool {
    match socket {
        Socket::Ingress { .. }
        | Socket::Datagrams { .. }
        | Socket::Lanes { .. }
        | Socket::Metrics { .. }
        | Socket::Admin { .. } => true,
        Socket::UnixIngress { .. } => format >= UNIX_SINCE,
        Socket::DnsDatagrams | Socket::DnsConnections | Socket::Names => format >= NAMES_SINCE,
    }
}

/// Says how long applications had to wait.
pub(super) fn pauses(closed: Duration, frozen_at: Instant) -> String {
    let (frozen, closed) = (frozen_at.elapsed().as_millis(), closed.as_millis());
    format!(
        "nothing new was accepted for {} ms, and nothing moved for {frozen} ms",
        closed + frozen
    )
}

/// Why there was no hand-over.
#[derive(Debug, Error)]
pub(crate) enum GiveError {
    #[error("another hand-over is under way; try again in a minute")]
    Busy,
    #[error(
        "its state is of the formats {newest} and before, and the successor reads {0:?}; use a successor of a nearer \
         version", newest = FORMATS.end()
    )]
    Format(Vec<u64>),
    #[error("the successor cannot take over: {0}")]
    Successor(String),
    #[error("the successor was not {0} in time")]
    TimedOut(&'static str),
    #[error("the successor said something else than {0}")]
    Unexpected(&'static str),
    #[error("there are more descriptors than a socket holds")]
    Full,
    #[error("some relays did not come to a stop; try again")]
    Moving,
    #[error("this process is ending")]
    Ending,
    #[error("the process that asks is of another user")]
    OtherUser,
    #[error("the hand-over broke off: {0}")]
    Io(#[from] io::Error),
}

/// Hands a daemon over. Clones are handles to the same one.
#[derive(Clone)]
pub struct Giver(Arc<Inner>);

pub(super) struct Inner {
    node: Node,
    freezer: Freezer,
    offer: MakeBundle,
    under_way: Mutex<()>,
    given: CancellationToken,
    /// The daemon is about to end, and gives nothing more.
    ending: CancellationToken,
    /// Held while a successor is told that it has everything.
    deciding: Mutex<()>,
    /// The number of the process that has everything, where the system says it.
    successor: OnceLock<u32>,
}

/// What a daemon has to hand over besides its node and its connections.
pub struct Bundle {
    /// The listening sockets.
    pub sockets: Vec<(Socket, OwnedFd)>,
    /// Brings what is offered up to date, when everything stands still.
    pub settle: Settle,
    /// Keeps the daemon from changing them until it is dropped.
    pub unchanged: Box<dyn Any + Send>,
}

/// Brings what is offered up to date.
pub type Settle = Box<dyn Fn() -> io::Result<()> + Send + Sync>;

/// Finds out what there is to hand over.
pub type MakeBundle = Box<dyn Fn() -> MakingBundle + Send + Sync>;

/// An offer that is being made; or the system has no descriptor left for it.
pub type MakingBundle = Pin<Box<dyn Future<Output = io::Result<Bundle>> + Send>>;

/// What was shown to a successor, which is ready.
pub(super) struct Shown<'a> {
    pub(super) still: Still<'a>,
    pub(super) relays: ShownRelays,
    /// How long nothing was accepted before everything stood still.
    pub(super) closed: Duration,
    pub(super) frozen_at: Instant,
}

/// How many relays there were at a hand-over.
pub(super) struct ShownRelays {
    /// Those that the successor has.
    pub(super) shown: usize,
    /// Those that it cannot read, which are reset with this process.
    pub(super) left_out: usize,
}

/// The daemon while it accepts nothing, or stands still; dropping it lets it go on.
pub(super) struct Still<'a> {
    freezer: &'a Freezer,
    node: Option<FrozenNode>,
    /// It is another process's.
    is_given: bool,
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        // First the sessions: relays read and write them.
        drop(self.node.take());
        if !self.is_given {
            self.freezer.thaw();
        }
    }
}

impl Giver {
    /// Returns what hands over a node with its proxy, and what is offered besides.
    pub fn new(node: Node, freezer: Freezer, offer: MakeBundle) -> Self {
        let (under_way, deciding) = Default::default();
        let (given, ending) = (CancellationToken::new(), CancellationToken::new());
        let successor = OnceLock::new();
        Self(Arc::new(Inner {
            node,
            freezer,
            offer,
            under_way,
            given,
            ending,
            deciding,
            successor,
        }))
    }

    /// Completes when a successor has everything: this process is to end at once. Returns the number of the
    /// successor's process, where the system says it. Cancel-safe.
    pub async fn given(&self) -> Option<u32> {
        self.0.given.cancelled().await;
        self.0.successor.get().copied()
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    /// Gives nothing from now on, as the daemon is about to end. Where a successor is just being told that it has
    /// everything this waits for what comes of that; returns whether a successor has everything.
    pub(crate) async fn give_no_more(&self) -> bool {
        self.0.ending.cancel();
        let _decided = self.0.deciding.lock().await;
        self.0.given.is_cancelled()
    }

    /// Completes when a successor is told that it has everything. Cancel-safe.
    pub(crate) async fn is_giving(&self) {
        self.0.freezer.given().await;
    }

    /// Returns whether a successor has everything, or the service manager for it.
    pub(crate) fn is_given(&self) -> bool {
        self.0.freezer.is_given()
    }

    /// Returns whether a hand-over is under way.
    pub(crate) fn is_under_way(&self) -> bool {
        !self.0.freezer.is_running()
    }

    /// Hands over to the successor at the other end of `stream`, which reads these formats of state. Where
    /// that does not come about the daemon goes on as before.
    pub(crate) async fn give(&self, stream: UnixStream, formats: Vec<u64>, tasks: &Tasks) {
        let asking = stream.peer_cred().ok();
        let process = asking.and_then(|credentials| credentials.pid());
        let mut channel = Channel::new(stream);
        // It gets what every application says: the mode of the socket alone is not enough.
        let given = match asking.is_some_and(|credentials| is_own_user(credentials.uid())) {
            // Another namespace's process has no number here.
            true => {
                let process = process.and_then(|id| u32::try_from(id).ok()).filter(|id| *id > 0);
                self.0.give(&mut channel, formats, process, tasks).await
            }
            false => Err(GiveError::OtherUser),
        };
        if let Err(error) = given {
            warn!("not handed over, everything goes on: {error}");
            // It may be gone, or stuck.
            let refusal = Message::Refused(error.to_string());
            let _ = timeout(REFUSE_TIMEOUT, channel.send(&refusal)).await;
        }
    }
}

impl Inner {
    async fn give(
        &self,
        channel: &mut Channel,
        formats: Vec<u64>,
        process: Option<u32>,
        tasks: &Tasks,
    ) -> Result<(), GiveError> {
        let _one = self.under_way.try_lock().map_err(|_| GiveError::Busy)?;
        let Some(format) = newest_common(&formats) else { return Err(GiveError::Format(formats)) };
        let Bundle { sockets, settle, unchanged: _unchanged } = self.bundle().await?;
        // Until everything is shown: a process that was told to end ends, and nobody takes it over half.
        let shown = tokio::select! {
            biased;
            () = tasks.draining() => return Err(GiveError::Ending),
            () = self.ending.cancelled() => return Err(GiveError::Ending),
            shown = self.show_all(channel, (sockets, settle), format) => shown?,
        };
        // A signal to end comes before this, or waits until the successor is told.
        let _deciding = self.deciding.lock().await;
        if self.ending.is_cancelled() {
            return Err(GiveError::Ending);
        }
        let Shown { still, relays, closed, frozen_at } = shown;
        let flows = relays.shown;
        let cut = self.let_go(channel, still).await? + relays.left_out;
        info!(flows, cut, "handed over to another process; {}", pauses(closed, frozen_at));
        if let Some(process) = process {
            let _ = self.successor.set(process);
        }
        self.given.cancel();
        Ok(())
    }

    /// Ends the hand-over that is under way, if it can, and returns what keeps any other from beginning.
    pub(super) async fn last(&self) -> Result<MutexGuard<'_, ()>, GiveError> {
        self.ending.cancel();
        timeout(REFUSE_TIMEOUT, self.under_way.lock()).await.map_err(|_| GiveError::Busy)
    }

    pub(super) fn id(&self) -> String {
        self.node.id().to_string()
    }

    pub(super) fn bundle(&self) -> MakingBundle {
        (self.offer)()
    }

    /// Stands still, and shows everything to a successor that is prepared; returns once that has restored it.
    async fn show_all(
        &self,
        channel: &mut Channel,
        (sockets, settle): (Vec<(Socket, OwnedFd)>, Settle),
        format: u64,
    ) -> Result<Shown<'_>, GiveError> {
        match timeout(PREPARE_TIMEOUT, self.offer(channel, sockets, format)).await {
            Ok(offered) => offered?,
            Err(_) => return Err(GiveError::TimedOut("prepared")),
        }
        let (still, closed, frozen_at) = self.stand_still(&settle).await?;
        let showing = timeout(RESTORE_TIMEOUT, self.show(channel, &still, format));
        let relays = showing.await.map_err(|_| GiveError::TimedOut("reading"))??;
        match timeout(RESTORE_TIMEOUT, channel.receive()).await {
            Ok(Ok(Message::Ready)) => {}
            Ok(Ok(Message::Failed(reason))) => return Err(GiveError::Successor(reason)),
            Ok(Ok(_)) => return Err(GiveError::Unexpected("`ready`")),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(GiveError::TimedOut("ready")),
        }
        Ok(Shown { still, relays, closed, frozen_at })
    }

    /// Stands still, with all that was offered as it is then; returns how long nothing was accepted before, and since
    /// when nothing moves.
    pub(super) async fn stand_still(
        &self,
        settle: &Settle,
    ) -> Result<(Still<'_>, Duration, Instant), GiveError> {
        let mut still = Still { freezer: &self.freezer, node: None, is_given: false };
        self.freezer.wind_down().await;
        let began = Instant::now();
        self.freezer.close().await;
        let (closed, frozen_at) = (began.elapsed(), Instant::now());
        // First the relays, whose last bytes the sessions take, then these.
        if !self.freezer.freeze().await {
            return Err(GiveError::Moving);
        }
        still.node = Some(self.node.freeze());
        settle()?;
        Ok((still, closed, frozen_at))
    }

    /// Offers what there is, and waits until the successor is prepared.
    async fn offer(
        &self,
        channel: &mut Channel,
        mut offered: Vec<(Socket, OwnedFd)>,
        format: u64,
    ) -> Result<(), GiveError> {
        offered.retain(|(socket, _)| is_known(socket, format));
        info!("another process takes over");
        self.send_inventory(channel, &offered, format).await?;
        match channel.receive().await? {
            Message::Proceed => Ok(()),
            Message::Failed(reason) => Err(GiveError::Successor(reason)),
            _ => Err(GiveError::Unexpected("`proceed`")),
        }
    }

    async fn send_inventory(
        &self,
        channel: &mut Channel,
        offered: &[(Socket, OwnedFd)],
        format: u64,
    ) -> io::Result<()> {
        let sockets = offered.iter().map(|(socket, _)| socket.clone()).collect();
        let id = self.id();
        channel.send(&Message::Inventory { format, id, sockets }).await?;
        let descriptors: Vec<_> = offered.iter().map(|(_, fd)| fd.as_fd()).collect();
        channel.send_descriptors(&descriptors).await
    }

    /// Shows the state and the connections.
    pub(super) async fn show(
        &self,
        channel: &mut Channel,
        still: &Still<'_>,
        format: u64,
    ) -> Result<ShownRelays, GiveError> {
        let mut state = StateWriter::create(format)?;
        let standing = self.freezer.parked().into_iter();
        let (mut standing, left_out): (Vec<_>, Vec<_>) =
            standing.partition(|standing| state.takes(standing));
        // A flow comes after its association.
        standing.sort_by_key(|standing| matches!(standing, ParkedTask::Datagrams(..)));
        if let Some(node) = &still.node {
            node.write_records(|record| state.node(record))?;
        }
        let mut connections = Vec::with_capacity(standing.len());
        for standing in &standing {
            match standing {
                ParkedTask::Relay(relay) => show_relay(relay, &mut state, &mut connections)?,
                ParkedTask::Association(association) => {
                    let (record, sockets) = AssociationRecord::of(association);
                    connections.extend(sockets);
                    state.association(&record)?;
                }
                ParkedTask::Datagrams(out, origin) => {
                    let (record, sockets) = DatagramsRecord::of(out, origin);
                    connections.extend(sockets);
                    state.datagrams(&record)?;
                }
            }
        }
        let state = state.finish()?;
        channel.send(&Message::State { connections: connections.len() }).await?;
        channel.send_descriptors(&[state.as_fd()]).await?;
        channel.send_descriptors(&connections).await?;
        // An association is none by itself.
        let is_flow = |standing: &&ParkedTask| !matches!(standing, ParkedTask::Association(_));
        let (shown, left_out) = (standing.iter(), left_out.iter());
        let (shown, left_out) = (shown.filter(is_flow).count(), left_out.filter(is_flow).count());
        Ok(ShownRelays { shown, left_out })
    }

    /// Lets go. The last that may fail is to say so: where the successor has died this one goes on. Returns how
    /// many connections could not be handed over.
    pub(super) async fn let_go(
        &self,
        channel: &mut Channel,
        mut still: Still<'_>,
    ) -> Result<usize, GiveError> {
        if let Some(node) = &still.node {
            node.stop_receiving();
        }
        let saying = timeout(RESTORE_TIMEOUT, channel.send(&Message::Yours));
        saying.await.map_err(|_| GiveError::TimedOut("reading"))??;
        still.is_given = true;
        let leaving = async {
            if let Some(node) = still.node.take() {
                node.leave().await;
            }
            // It goes on without that word, too.
            let _ = channel.send(&Message::Left).await;
        };
        let (cut, ()) = tokio::join!(self.freezer.cut(), leaving);
        Ok(cut)
    }
}

fn show_relay<'a>(
    Parked { other_end, tcp, ingress, progress }: &'a Parked,
    state: &mut StateWriter,
    connections: &mut Vec<BorrowedFd<'a>>,
) -> io::Result<()> {
    connections.push(tcp.as_fd());
    let key = match other_end {
        OtherEnd::Flow(key) => Some(*key),
        OtherEnd::Direct(other) => {
            connections.push(other.as_fd());
            None
        }
    };
    let ingress = ingress.as_deref().map(str::to_owned);
    let (kind, progress) = (tcp.kind(), progress.clone());
    state.relay(&RelayRecord { key, ingress, kind, progress })
}

#[cfg(test)]
mod tests;
