//! The task that counts what uplinks carry, and has the node use less of them when it is enough.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use time::{Date, OffsetDateTime};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{info, warn};

use super::account::{Account, Level};
use super::ledger::{Counted, Ledger};
use crate::config::{AtBudget, Budget};
use crate::proxy::tasks::Tasks;
use crate::report::BudgetReport;
use throughline::{Allowance, BudgetReport as Event, Node};

/// How often it is looked what has been carried: what goes beyond a budget is what an uplink carries in this time, and
/// until its flows have left it.
const PACE: Duration = Duration::from_millis(250);

/// What a crash may make forgotten: the bytes of this time, or so many of an uplink.
const WRITE_INTERVAL: Duration = Duration::from_secs(60);
const WRITE_BYTES: u64 = 64 << 20;

/// The budgets of a daemon. Clones are handles to the same ones.
#[derive(Clone)]
pub(crate) struct Budgets(Arc<Shared>);

struct Shared {
    node: Node,
    ledger: Ledger,
    state: Mutex<State>,
    /// Held while the file is written: what it says then replaces what is known.
    writing: tokio::sync::Mutex<()>,
    /// Notified when there may be a budget where there was none: without one the task sleeps.
    begun: Notify,
}

#[derive(Default)]
struct State {
    uplinks: BTreeMap<String, Uplink>,
    written_at: Option<Instant>,
    /// Whether the last write failed: it is said once.
    is_unwritable: bool,
}

/// An uplink that has a budget.
struct Uplink {
    budget: Budget,
    account: Account,
    /// Bytes that the account has, and the file does not.
    unwritten: u64,
    /// What was reported of it.
    reported: Level,
}

impl Budgets {
    /// Reads what the uplinks have carried, and has the node use no more of them than is left. The task counts until
    /// `tasks` drain.
    pub(crate) async fn start(
        node: &Node,
        directory: PathBuf,
        budgets: &[(String, Budget)],
        tasks: &Tasks,
    ) -> Self {
        let ledger = Ledger::new(&directory);
        let (state, writing) = (Mutex::default(), tokio::sync::Mutex::default());
        let (node, begun) = (node.clone(), Notify::new());
        let all = Self(Arc::new(Shared { node, ledger, state, writing, begun }));
        all.set(budgets);
        if !budgets.is_empty() {
            all.count();
            all.write().await;
            all.enforce();
        }
        let (keeper, draining) = (all.clone(), tasks.clone());
        tasks.spawn_vital("the task of the budgets".to_owned(), async move {
            tokio::select! {
                () = keeper.run() => {}
                () = draining.draining() => {}
            }
            // Flows have some time to end, and all that they send counts.
            while keeper.0.node.live_flows() > 0 {
                keeper.count();
                keeper.enforce();
                tokio::time::sleep(PACE).await;
            }
            keeper.finish().await;
        });
        all
    }

    /// Sets the budgets, for a reload. What an uplink has carried stays known; one without a budget is not limited.
    pub(crate) fn set(&self, budgets: &[(String, Budget)]) {
        let is_kept = |name: &String| budgets.iter().any(|(kept, _)| kept == name);
        let mut state = self.0.state.lock();
        let (kept, former) =
            std::mem::take(&mut state.uplinks).into_iter().partition(|(name, _)| is_kept(name));
        let former: BTreeMap<String, Uplink> = former;
        state.uplinks = kept;
        for (name, budget) in budgets {
            let new = || Uplink {
                budget: *budget,
                account: Account::default(),
                unwritten: 0,
                reported: Level::Within,
            };
            state.uplinks.entry(name.clone()).or_insert_with(new).budget = *budget;
        }
        // What the file says of a new one is not known yet.
        state.written_at = None;
        drop(state);
        self.0.begun.notify_one();
        for name in former.keys() {
            // It may be gone.
            let _ = self.0.node.allow_uplink(name, Allowance::Everything);
        }
    }

    /// Writes what was counted, for a process that ends at once.
    pub(crate) async fn finish(&self) {
        self.count();
        self.write().await;
    }

    /// Returns what is left of an uplink's budget, if it has one.
    pub(crate) fn report(&self, uplink: &str) -> Option<BudgetReport> {
        let state = self.0.state.lock();
        let Uplink { budget, account, reported, .. } = state.uplinks.get(uplink)?;
        let state = match reported {
            Level::Within => "within",
            Level::Low => "low",
            Level::Spent => "spent",
        };
        Some(BudgetReport {
            budget_bytes: budget.bytes,
            used_bytes: account.used(),
            remaining_bytes: budget.bytes.saturating_sub(account.used()),
            state: state.to_owned(),
            at_budget: budget.at_end.to_string(),
            resets_on: account.ends().map(|date| date.to_string()),
        })
    }

    async fn run(&self) {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            if self.0.state.lock().uplinks.is_empty() {
                self.0.begun.notified().await;
            }
            self.count();
            if self.is_write_due() {
                self.write().await;
            }
            if self.enforce() {
                // A crash must not make it forgotten.
                self.write().await;
            }
        }
    }

    /// Counts what has gone over the uplinks since the last call.
    fn count(&self) {
        let bytes = self.0.node.take_uplink_bytes();
        let mut state = self.0.state.lock();
        for (name, uplink) in &mut state.uplinks {
            let bytes = bytes.get(name).copied().unwrap_or(0);
            uplink.account.count(today(), uplink.budget.reset_day, bytes);
            uplink.unwritten += bytes;
        }
    }

    fn is_write_due(&self) -> bool {
        let state = self.0.state.lock();
        let is_due = |at: Instant| at.elapsed() >= WRITE_INTERVAL;
        let much = || state.uplinks.values().any(|uplink| uplink.unwritten >= WRITE_BYTES);
        state.written_at.is_none_or(is_due) || (!state.is_unwritable && much())
    }

    /// Adds to the file what it does not have, and takes over what it says.
    async fn write(&self) {
        let _writing = self.0.writing.lock().await;
        let counted: Vec<Counted> = {
            let mut state = self.0.state.lock();
            state.written_at = Some(Instant::now());
            let counted = |(name, uplink): (&String, &Uplink)| Counted {
                uplink: name.clone(),
                reset_day: uplink.budget.reset_day,
                bytes: uplink.unwritten,
            };
            state.uplinks.iter().map(counted).collect()
        };
        if counted.is_empty() {
            return;
        }
        let (ledger, adding) = (self.0.ledger.clone(), counted.clone());
        let added = tokio::task::spawn_blocking(move || ledger.add(today(), &adding)).await;
        let mut state = self.0.state.lock();
        let error = match added {
            Ok(Ok(accounts)) => {
                for Counted { uplink: name, reset_day, bytes } in counted {
                    let (Some(uplink), Some(account)) =
                        (state.uplinks.get_mut(&name), accounts.get(&name))
                    else {
                        continue;
                    };
                    uplink.unwritten -= bytes;
                    uplink.account = account.clone();
                    uplink.account.count(today(), reset_day, uplink.unwritten);
                }
                if std::mem::take(&mut state.is_unwritable) {
                    info!(
                        "what the uplinks carry is kept again in {}",
                        self.0.ledger.path().display()
                    );
                }
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(panicked) => panicked.to_string(),
        };
        if !std::mem::replace(&mut state.is_unwritable, true) {
            warn!(
                "what the uplinks carry cannot be kept in {}: {error}; a restart forgets it. `state-directory` names \
                 another directory",
                self.0.ledger.path().display()
            );
        }
    }

    /// Has the node use no more of the uplinks than is left, and tells what has changed; returns whether anything has.
    fn enforce(&self) -> bool {
        let now: Vec<(String, Allowance, Option<Event>)> = {
            let mut state = self.0.state.lock();
            let now = |(name, uplink): (&String, &mut Uplink)| {
                let level = uplink.account.level(&uplink.budget);
                let allowance = allowance(level, uplink.budget.at_end);
                let is_news = std::mem::replace(&mut uplink.reported, level) != level;
                (name.clone(), allowance, is_news.then(|| event(uplink, level, allowance)))
            };
            state.uplinks.iter_mut().map(now).collect()
        };
        let has_news = now.iter().any(|(_, _, event)| event.is_some());
        for (name, allowance, event) in now {
            // First: whether that leaves none is reported with the event. It may be gone, or come only now.
            let _ = self.0.node.allow_uplink(&name, allowance);
            if let Some(event) = event {
                self.0.node.report_budget(&name, event);
            }
        }
        has_news
    }
}

fn allowance(level: Level, at_end: AtBudget) -> Allowance {
    match (level, at_end) {
        (Level::Spent, AtBudget::Stop) => Allowance::Nothing,
        (Level::Spent, AtBudget::Thin) => Allowance::ThinFlows,
        (Level::Within | Level::Low, _) => Allowance::Everything,
    }
}

fn event(Uplink { budget, account, .. }: &Uplink, level: Level, allowance: Allowance) -> Event {
    let (used, budget) = (account.used(), budget.bytes);
    let resets = account
        .ends()
        .map_or_else(|| "a date that the clock does not tell yet".to_owned(), |d| d.to_string());
    match level {
        Level::Within => Event::Renewed { budget },
        Level::Low => Event::Low { used, budget, resets },
        Level::Spent => Event::Spent { used, budget, allowance, resets },
    }
}

/// Returns the date, by UTC.
#[allow(
    clippy::disallowed_methods,
    reason = "months are those of the wall clock; the account copes with its jumps"
)]
fn today() -> Date {
    OffsetDateTime::from(SystemTime::now()).date()
}
