//! The ways in which a daemon starts: by itself, in the place of one that runs, or after one that has ended.

use std::os::unix::net::UnixStream;

use tracing::{error, info};

use super::error::StartError;
use super::parts::{admin_path, identity};
use super::prepared::Prepared;
use super::{Daemon, ReloadFrom};
use crate::config::Config;
use crate::handover::{Handed, TakeOver, TakeOverError};
use crate::service;
use throughline::PeerId;

/// Starts a daemon within the current tokio runtime, which cannot reload its configuration.
///
/// It runs until it is dropped, or until [`Daemon::run_until`] ends it.
///
/// # Errors
/// Something in the configuration is unavailable. Then nothing is left running.
pub async fn start(config: Config) -> Result<Daemon, StartError> {
    start_from(config, None).await
}

/// Starts a daemon as [`start`] does, which reloads its configuration from a file.
///
/// # Errors
/// As [`start`].
pub async fn start_from(config: Config, from: Option<ReloadFrom>) -> Result<Daemon, StartError> {
    Daemon::begin(Prepared::new(config, None).await?, from, None).await
}

/// Starts a daemon in the place of the one that runs, with its sockets, sessions and flows; as
/// [`start_from`] does where none runs. Until it has started the other one can go on.
///
/// # Errors
/// Something in the configuration is unavailable, or the daemon that runs does not hand over; it goes on.
pub async fn take_over(config: Config, from: Option<ReloadFrom>) -> Result<Daemon, StartError> {
    let ours = identity(&config)?.peer_id();
    let path = admin_path(&config.admin).ok_or(TakeOverError::NoAdminSocket)?;
    let Some(mut former) = TakeOver::ask(&path).await? else {
        info!(path = %path.display(), "no daemon runs here; nothing is taken over");
        return start_from(config, from).await;
    };
    match prepare(config, ours, &mut former).await {
        Ok((prepared, handed)) => {
            let left = former.finish().await?;
            info!(flows = handed.flows(), "taken over from the process that ran before");
            Daemon::begin(prepared, from, Some((handed, left))).await
        }
        Err(error) => {
            former.give_up(&error.to_string()).await;
            Err(error)
        }
    }
}

/// Starts a daemon as [`start_from`] does, with the sockets, sessions and flows that a process has left which
/// ended before. Where these cannot be had the flows end, and the daemon starts without them; where it cannot start
/// at all they are left to the next process.
///
/// # Errors
/// As [`start_from`].
pub(crate) async fn start_kept(
    config: Config,
    from: Option<ReloadFrom>,
    kept: UnixStream,
) -> Result<Daemon, StartError> {
    let mut former = match TakeOver::kept(kept).await {
        Ok(former) => former,
        Err(error) => return start_without(&error, config, from).await,
    };
    let prepared = async {
        let ours = identity(&config)?.peer_id();
        prepare(config.clone(), ours, &mut former).await
    };
    let (prepared, handed) = match prepared.await {
        Ok(prepared) => prepared,
        Err(StartError::TakeOver(error)) => {
            drop(former);
            return start_without(&error, config, from).await;
        }
        Err(error) => {
            former.put_back(service::keep).await;
            return Err(error);
        }
    };
    match former.finish().await {
        Ok(left) => {
            info!(flows = handed.flows(), "taken over from the process that ran before");
            Daemon::begin(prepared, from, Some((handed, left))).await
        }
        Err(error) => {
            drop((prepared, handed));
            start_without(&error, config, from).await
        }
    }
}

/// Leaves what a process has left that ended before to the next one, as this one cannot start; returns whether it is
/// kept, and not too old.
pub(crate) async fn leave_kept(kept: UnixStream) -> bool {
    match TakeOver::kept(kept).await {
        Ok(former) => former.put_back(service::keep).await,
        Err(error) => {
            error!(
                "what the process before left cannot be kept any more, its flows end: {}",
                error.of_kept()
            );
            false
        }
    }
}

async fn start_without(
    error: &TakeOverError,
    config: Config,
    from: Option<ReloadFrom>,
) -> Result<Daemon, StartError> {
    let reason = error.of_kept();
    error!("what the process before left for this one cannot be used, its flows end: {reason}");
    start_from(config, from).await
}

async fn prepare(
    config: Config,
    ours: PeerId,
    former: &mut TakeOver,
) -> Result<(Prepared, Handed), StartError> {
    former.check_identity(ours)?;
    let mut prepared = Prepared::new(config, Some(former)).await?;
    let handed = former.restore(&mut prepared.node).await?;
    Ok((prepared, handed))
}
