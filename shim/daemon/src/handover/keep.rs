//! A daemon that ends before its successor begins, as `systemctl restart` has it.
//!
//! What the successor would be told is written into a socket, with all descriptors (they stay open on their
//! way), and the service manager keeps the other end of it until the successor reads there. Nobody can be asked
//! meanwhile, so whoever ends has to know before that the next program reads its format.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::net::UnixStream;
use tokio::time::timeout;
use tracing::{info, warn};

use super::channel::Channel;
use super::give::{
    Bundle, GiveError, Giver, Inner, RESTORE_TIMEOUT, Settle, Shown, is_known, pauses,
};
use super::kept::{KEPT_FOR, Kept, clock};
use super::state::newest_common;
use super::take::TakeOver;
use crate::proxy::tasks::Tasks;

impl Giver {
    /// Has `store` keep everything for a successor, which reads these formats of state: this process is to end at
    /// once then. Where that does not come about the daemon goes on as before.
    ///
    /// # Errors
    /// The successor could not read it, or it cannot be kept.
    pub(crate) async fn keep(
        &self,
        formats: &[u64],
        tasks: &Tasks,
        store: impl AsyncFn(BorrowedFd<'_>) -> io::Result<()>,
    ) -> Result<(), GiveError> {
        self.inner().keep(formats, tasks, store).await
    }
}

impl Inner {
    async fn keep(
        &self,
        formats: &[u64],
        tasks: &Tasks,
        store: impl AsyncFn(BorrowedFd<'_>) -> io::Result<()>,
    ) -> Result<(), GiveError> {
        let _one = self.last().await?;
        let Some(format) = newest_common(formats) else {
            return Err(GiveError::Format(formats.to_vec()));
        };
        let Bundle { mut sockets, settle, unchanged: _unchanged } = self.bundle().await?;
        sockets.retain(|(socket, _)| is_known(socket, format));
        let (ours, rest) = UnixStream::pair()?;
        let mut channel = Channel::new(ours);
        let shown = tokio::select! {
            biased;
            () = tasks.draining() => Err(GiveError::Ending),
            shown = self.show_to_nobody(&mut channel, &settle, format) => shown,
        };
        let (id, rest) = (self.id(), OwnedFd::from(rest.into_std()?));
        let kept = Kept { since: clock(), format, id, sockets, rest };
        let stored = match shown {
            Ok(shown) => store_kept(&kept, &store).await.map(|()| shown).map_err(GiveError::Io),
            Err(error) => Err(error),
        };
        let given = match stored {
            Ok(Shown { still, relays, closed, frozen_at }) => {
                let cut = self.let_go(&mut channel, still).await;
                cut.map(|cut| {
                    let (flows, cut) = (relays.shown, cut + relays.left_out);
                    info!(flows, cut, "kept for the next process; {}", pauses(closed, frozen_at));
                })
            }
            Err(error) => Err(error),
        };
        if given.is_err() {
            drop(channel);
            kept.discard().await;
        }
        given
    }

    /// Stands still, and writes everything as if a successor that is prepared asked for it.
    async fn show_to_nobody(
        &self,
        channel: &mut Channel,
        settle: &Settle,
        format: u64,
    ) -> Result<Shown<'_>, GiveError> {
        // The socket has room for tens of thousands of descriptors. Where it has not, nobody makes any.
        let full = |_| GiveError::Full;
        let (still, closed, frozen_at) = self.stand_still(settle).await?;
        let showing = timeout(RESTORE_TIMEOUT, self.show(channel, &still, format));
        let relays = showing.await.map_err(full)??;
        Ok(Shown { still, relays, closed, frozen_at })
    }
}

impl TakeOver {
    /// Has `store` keep what a process has left that ended, for one that can start; before anything of its state was
    /// read. Returns whether it does; else its flows end.
    pub(crate) async fn put_back(
        self,
        store: impl AsyncFn(BorrowedFd<'_>) -> io::Result<()>,
    ) -> bool {
        let Some(kept) = self.kept else { return false };
        let left = KEPT_FOR.saturating_sub(kept.age());
        match store_kept(&kept, &store).await {
            Ok(()) => {
                let left = left.as_secs().max(1);
                warn!(
                    "the flows of the process before are kept for the next one that starts within {left} s"
                );
                true
            }
            Err(error) => {
                warn!("the flows of the process before end, since nobody keeps them: {error}");
                kept.discard().await;
                false
            }
        }
    }
}

async fn store_kept(
    kept: &Kept,
    store: impl AsyncFn(BorrowedFd<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let written = kept.write().await?;
    let stored = store(written.as_fd()).await;
    if stored.is_err() {
        // Whoever has the other end all the same has nothing by it.
        Channel::new(written).discard().await;
    }
    stored
}
