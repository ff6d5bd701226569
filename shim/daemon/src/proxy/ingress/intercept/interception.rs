//! Keeps the kernel's rules of an interception in place, from the start of a daemon to its end.
//!
//! ```text
//! nothing ─install─▸ in force ─install─▸ other rules in force ─stop─▸ nobody's connections ─remove─▸ nothing
//! ```
//!
//! What is in force is looked at every `CHECK_INTERVAL`, and made anew where somebody has changed it. Once there
//! was a table it stays, if need be with nobody in it, until the daemon ends: without one the kernel would stop to
//! translate the addresses of connections that are open. After a crash the rules stay as well, so that no connection
//! goes where the rules of the configuration do not let it: connections are refused until the next start, which puts
//! its own table in the place of that one. At a hand-over the successor does so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::sleep;
use tracing::{info, warn};

use super::nft::{self, InterceptError};
use super::policy_route::PolicyRoute;
use super::ruleset::{Intercepted, Users, deletion, ruleset};
use super::traffic::Protocol;
use super::{cgroups, resolvers};
use crate::proxy::freezer::Freezer;
use crate::proxy::own_sockets::set_marking;
use throughline_proto::throttle::LogThrottle;

/// How long a change of the rules by somebody else lasts: short to whoever waits for a connection, and long beside
/// the milliseconds that reading them takes.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// How long removing waits for a check that is under way, and how often it looks.
const REMOVE_PATIENCE: (u32, Duration) = (100, Duration::from_millis(10));

/// The bit of CAP_NET_ADMIN (capabilities(7)).
const CAP_NET_ADMIN: u32 = 12;

/// The rules of one daemon. Clones are handles to the same ones.
#[derive(Clone)]
pub struct Interception(Arc<Shared>);

struct Shared {
    table: String,
    /// What is to be in force; none where no table is to be there. The lock is a leaf.
    wanted: Mutex<Option<Vec<Intercepted>>>,
    /// What is, as far as we know. Held while nft works.
    applied: AsyncMutex<Option<Applied>>,
    /// Why what is wanted cannot be in force, if that is so. The lock is a leaf.
    problem: Mutex<Option<String>>,
    /// Nothing is to be in force any more.
    removed: AtomicBool,
}

/// Rules that are in force.
#[derive(Debug, PartialEq, Eq)]
struct Applied {
    /// What made them.
    script: String,
    /// What the kernel then said of them.
    listing: Option<String>,
    /// Whether datagrams are routed to them.
    is_routed: bool,
}

impl Interception {
    /// Creates the rules of a daemon whose table has this name.
    pub fn new(table: String) -> Self {
        Self(Arc::new(Shared {
            table,
            wanted: Mutex::default(),
            applied: AsyncMutex::default(),
            problem: Mutex::default(),
            removed: AtomicBool::new(false),
        }))
    }

    /// Checks whether these rules could be in force, and changes nothing.
    ///
    /// # Errors
    /// They could not.
    pub async fn check(&self, ingresses: &[Intercepted]) -> Result<(), InterceptError> {
        if ingresses.is_empty() {
            return Ok(());
        }
        nft::check(&self.script(ingresses)).await
    }

    /// Has the sockets marked that connect from now on, if there are to be rules: those of a process before this one
    /// may be in force already.
    pub fn mark_for(&self, ingresses: &[Intercepted]) {
        if !ingresses.is_empty() {
            set_marking(true);
        }
    }

    /// Begins with these rules, and removes what a crash has left; or, where another process `has_left` its
    /// connections to us, takes its rules' place.
    ///
    /// # Errors
    /// They are not in force. The next [checks](Self::keep) try again.
    pub async fn begin(
        &self,
        ingresses: Vec<Intercepted>,
        has_left: bool,
    ) -> Result<(), InterceptError> {
        if ingresses.is_empty() && !self.is_left().await {
            return Ok(());
        }
        let is_routed = take_datagrams(&ingresses);
        if ingresses.is_empty() && !has_left {
            info!(table = self.0.table, "rules that an earlier run left are removed");
            nft::run(&deletion(&self.0.table)).await?;
            return self.remove_left_route().await;
        }
        let replaced = self.replace(ingresses.clone()).await;
        // Also where it failed: until it succeeds.
        *self.0.wanted.lock() = Some(ingresses);
        *self.0.problem.lock() = replaced.as_ref().err().map(ToString::to_string);
        match is_routed {
            true => replaced,
            false => replaced.and(self.remove_left_route().await),
        }
    }

    /// Removes the route of datagrams that another process has left, if it has. Without ip(8) it had none.
    async fn remove_left_route(&self) -> Result<(), InterceptError> {
        match self.route().remove().await {
            Err(InterceptError::NoIp(_)) => Ok(()),
            removed => removed,
        }
    }

    /// Returns whether there is a table that we have not made.
    async fn is_left(&self) -> bool {
        // Without the capability there was no interception, and nothing could be done about one.
        may_administrate() && matches!(nft::list(&self.0.table).await, Ok(Some(_)))
    }

    /// Puts these rules in the place of those that are in force.
    ///
    /// # Errors
    /// Those are in force as before.
    pub async fn install(&self, ingresses: Vec<Intercepted>) -> Result<(), InterceptError> {
        match ingresses.is_empty() && !self.is_in_use() {
            true => Ok(()),
            false => self.replace(ingresses).await,
        }
    }

    /// Does so. Where the future is dropped before it completes, the next check puts back what was in force.
    async fn replace(&self, ingresses: Vec<Intercepted>) -> Result<(), InterceptError> {
        // First, and until there is no table: no connection of ours may be without it when the rules come.
        set_marking(true);
        let mut applied = self.0.applied.lock().await;
        let script = self.script(&ingresses);
        if applied.as_ref().is_none_or(|applied| applied.script != script) {
            self.apply(&mut applied, script, take_datagrams(&ingresses)).await?;
        }
        *self.0.wanted.lock() = Some(ingresses);
        Ok(())
    }

    /// Returns whether there are rules, or have been.
    pub fn is_in_use(&self) -> bool {
        self.0.wanted.lock().is_some()
    }

    /// Returns the name of the table.
    pub fn table(&self) -> &str {
        &self.0.table
    }

    /// Returns why the rules cannot be in force, if the last check has found that.
    pub fn problem(&self) -> Option<String> {
        self.0.problem.lock().clone()
    }

    /// Takes nobody's connections from now on; those that are open go on.
    pub async fn stop(&self) {
        if self.is_in_use()
            && let Err(error) = self.install(Vec::new()).await
        {
            warn!(%error, "new connections are intercepted until this daemon has ended");
        }
    }

    /// Looks after the rules, for ever. While everything stands still they are those of whichever process goes on.
    pub async fn keep(self, freezer: Freezer) {
        let mut throttle = LogThrottle::default();
        loop {
            sleep(CHECK_INTERVAL).await;
            freezer.thawed().await;
            let put_back = self.put_back().await;
            *self.0.problem.lock() = put_back.as_ref().err().map(ToString::to_string);
            if let Err(error) = put_back {
                let kind = std::mem::discriminant(&error);
                if throttle.admit(Instant::now(), kind).is_some() {
                    warn!(%error, "the rules of the interception cannot be looked after; trying again");
                }
            }
        }
    }

    /// Makes the rules what they are to be.
    async fn put_back(&self) -> Result<(), InterceptError> {
        let mut applied = self.0.applied.lock().await;
        let Some(wanted) = self.0.wanted.lock().clone() else { return Ok(()) };
        let is_routed = take_datagrams(&wanted);
        if is_routed && !self.0.removed.load(Ordering::SeqCst) {
            self.route().set().await?;
        }
        let listing = nft::list(&self.0.table).await?;
        let now = Applied { script: self.script(&wanted), listing, is_routed };
        match &*applied {
            Some(before) if *before == now => return Ok(()),
            Some(before) if before.script != now.script => {
                info!(
                    "control groups or resolvers have come or gone: the rules of the interception follow"
                );
            }
            Some(_) if now.listing.is_none() => {
                warn!(
                    table = self.0.table,
                    "somebody has removed the rules of the interception; they are put back. Does a firewall \
                     flush all tables (`flush ruleset`) when it is loaded?"
                );
            }
            Some(_) => warn!(
                table = self.0.table,
                "somebody has changed the rules of the interception; they are put back"
            ),
            None => {}
        }
        if self.0.removed.load(Ordering::SeqCst) {
            return Ok(());
        }
        self.apply(&mut applied, now.script, is_routed).await
    }

    async fn apply(
        &self,
        applied: &mut Option<Applied>,
        script: String,
        is_routed: bool,
    ) -> Result<(), InterceptError> {
        let was_routed = applied.as_ref().is_some_and(|applied| applied.is_routed);
        // What is marked has to have its route.
        if is_routed {
            self.route().set().await?;
        }
        nft::run(&script).await?;
        if was_routed && !is_routed {
            self.route().remove().await?;
        }
        let listing = nft::list(&self.0.table).await?;
        *applied = Some(Applied { script, listing, is_routed });
        Ok(())
    }

    fn route(&self) -> PolicyRoute {
        PolicyRoute::of(&self.0.table)
    }

    /// Removes the rules, of which nothing is left then.
    pub fn remove(&self) {
        if self.0.removed.swap(true, Ordering::SeqCst) || !self.is_in_use() {
            return;
        }
        let (tries, pause) = REMOVE_PATIENCE;
        let wants_route = self.0.wanted.lock().as_deref().is_some_and(take_datagrams);
        let free = (0..tries).find_map(|_| {
            let free = self.0.applied.try_lock().ok();
            if free.is_none() {
                std::thread::sleep(pause);
            }
            free
        });
        set_marking(false);
        // Where the rules were never in force there may be none.
        let script = format!("table inet {}\n{}", self.0.table, deletion(&self.0.table));
        if let Err(error) = nft::run_blocking(&script) {
            warn!(%error, table = self.0.table, "rules are left; `nft delete table inet` removes them");
        }
        let is_routed =
            |applied: &Option<Applied>| applied.as_ref().is_some_and(|now| now.is_routed);
        if (wants_route || free.as_ref().is_none_or(|applied| is_routed(applied)))
            && let Err(error) = self.route().remove_blocking()
        {
            warn!(%error, "a rule or a route is left");
        }
        drop(free);
    }

    fn script(&self, ingresses: &[Intercepted]) -> String {
        // A resolver may be started later; the next check sees it.
        let answers = ingresses.iter().any(|of| of.dns_port.is_some());
        let resolvers = if answers { resolvers::users() } else { Vec::new() };
        let users = Users { own: rustix::process::geteuid().as_raw(), resolvers };
        ruleset(&self.0.table, ingresses, &users, cgroups::find)
    }
}

/// Returns whether any of them takes datagrams.
fn take_datagrams(ingresses: &[Intercepted]) -> bool {
    ingresses.iter().any(|of| of.selector.protocol == Protocol::Udp)
}

/// Returns whether this process has CAP_NET_ADMIN.
fn may_administrate() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| has_capability(&status))
}

/// Returns whether a process of this status (proc_pid_status(5)) has it.
fn has_capability(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << CAP_NET_ADMIN) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_capability_is_read_from_the_effective_ones() {
        assert!(has_capability("Name:\tx\nCapInh:\t0\nCapEff:\t0000000000001000\n"));
        assert!(!has_capability("CapPrm:\t0000000000001000\nCapEff:\t0000000000000400\n"));
        assert!(!has_capability(""));
    }
}
