//! Drives the [state](super::state): counts what uplinks carry, has the node use less of them when it is enough, and has
//! the file written.
//!
//! The file is written in a thread of its own, one write at a time: whatever a disk does, what uplinks carry is counted
//! and their budgets are kept, and what is not written goes with the next write. Whoever waits for the file, at the
//! start and at the end, does so for [`FILE_TIMEOUT`] at the most.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use time::{Date, OffsetDateTime};
use tokio::sync::{Notify, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tracing::{info, warn};

use super::account::Account;
use super::ledger::Ledger;
use super::state::{FileChange, State};
use crate::config::Budget;
use crate::proxy::tasks::Tasks;
use crate::report::BudgetReport;
use throughline::{Allowance, Node, NodeBuilder};
use throughline_proto::panics::catch_call;

/// How often it is looked what has been carried: what goes beyond a budget is what an uplink carries in this time, and
/// until its flows have left it.
const PACE: Duration = Duration::from_millis(250);

/// How long the file is waited for.
const FILE_TIMEOUT: Duration = Duration::from_secs(2);

/// The budgets of a daemon whose node is not built yet.
pub(crate) struct Opened {
    ledger: Ledger,
    state: State,
    limits: Limits,
}

/// The budgets of a daemon. Clones are handles to the same ones.
#[derive(Clone)]
pub(crate) struct Budgets(Arc<Shared>);

struct Shared {
    node: Node,
    ledger: Ledger,
    /// Held while bytes go from the node to the state, and decisions from the state to the node: none overtakes
    /// another. Locked before `state`.
    turn: Mutex<()>,
    /// The lock is a leaf.
    state: Mutex<State>,
    /// Notified when there may be a budget where there was none: without one the task sleeps.
    begun: Notify,
    /// Notified when a write has ended.
    written: Notify,
}

/// Other budgets, with what the file says of them.
pub(crate) struct Change {
    budgets: Vec<(String, Budget)>,
    known: BTreeMap<String, Account>,
    limits: Limits,
}

/// What may be used of uplinks, by their names.
struct Limits(Vec<(String, Allowance)>);

impl Limits {
    fn apply(&self, builder: NodeBuilder) -> NodeBuilder {
        let limit = |builder: NodeBuilder, (name, allowance): &(String, Allowance)| {
            builder.allow_uplink(name, *allowance)
        };
        self.0.iter().fold(builder, limit)
    }
}

impl Opened {
    /// Reads what the uplinks have carried.
    pub(crate) async fn read(directory: PathBuf, budgets: &[(String, Budget)]) -> Self {
        let ledger = Ledger::new(&directory);
        let mut state = State::default();
        let known = match budgets {
            [] => BTreeMap::new(),
            _ => known(&ledger).await,
        };
        let limits = Limits(state.allowances_with(today(), budgets, &known));
        state.set(today(), budgets, &known);
        Self { ledger, state, limits }
    }

    /// Has a node begin with what is left: nothing goes over an uplink whose budget is spent.
    pub(crate) fn limit(&self, builder: NodeBuilder) -> NodeBuilder {
        let builder = self.limits.apply(builder);
        if self.limits.0.is_empty() { builder } else { builder.count_uplink_bytes() }
    }

    /// Begins to count what the node's uplinks carry, until `tasks` drain.
    pub(crate) fn start(self, node: &Node, tasks: &Tasks) -> Budgets {
        let Self { ledger, state, .. } = self;
        let (turn, state) = (Mutex::new(()), Mutex::new(state));
        let (node, begun, written) = (node.clone(), Notify::new(), Notify::new());
        let all = Budgets(Arc::new(Shared { node, ledger, turn, state, begun, written }));
        let (keeper, draining) = (all.clone(), tasks.clone());
        tasks.spawn_vital("the task of the budgets".to_owned(), async move {
            tokio::select! {
                () = keeper.run() => {}
                () = draining.draining() => {}
            }
            // Flows have some time to end, and all that they send counts.
            while keeper.0.node.live_flows() > 0 {
                keeper.count_and_enforce();
                tokio::time::sleep(PACE).await;
            }
            keeper.flush().await;
        });
        all
    }
}

impl Change {
    /// Has the node take over what is left with the rest of a configuration.
    pub(crate) fn limit(&self, builder: NodeBuilder) -> NodeBuilder {
        self.limits.apply(builder)
    }
}

impl Budgets {
    /// Prepares other budgets, for a reload.
    pub(crate) async fn prepare(&self, budgets: &[(String, Budget)]) -> Change {
        let is_new = {
            let state = self.0.state.lock();
            budgets.iter().any(|(name, _)| state.names().all(|known| known != name))
        };
        let known = if is_new { known(&self.0.ledger).await } else { BTreeMap::new() };
        let limits = Limits(self.0.state.lock().allowances_with(today(), budgets, &known));
        Change { budgets: budgets.to_vec(), known, limits }
    }

    /// Sets the budgets, once the node has their uplinks. What an uplink has carried stays known; one without a
    /// budget is not limited.
    pub(crate) fn apply(&self, change: &Change) {
        let _turn = self.0.turn.lock();
        // Until now it counts for the former budgets, or for none.
        let has_none = change.budgets.is_empty() && self.0.state.lock().is_idle();
        // Asking begins to count.
        let bytes = if has_none { BTreeMap::new() } else { self.0.node.take_uplink_bytes() };
        {
            let mut state = self.0.state.lock();
            state.count(today(), &bytes);
            state.set(today(), &change.budgets, &change.known);
        }
        self.enforce();
        self.0.begun.notify_one();
    }

    /// Has the file say what was counted, for a process that ends at once or another one that is about to read it;
    /// returns after [`FILE_TIMEOUT`] at the latest.
    pub(crate) async fn flush(&self) {
        if self.0.state.lock().is_idle() {
            return;
        }
        self.count_and_enforce();
        self.0.state.lock().expedite();
        let settled = async {
            loop {
                let mut written = std::pin::pin!(self.0.written.notified());
                // A write may end before we wait.
                written.as_mut().enable();
                self.write_if_due();
                if self.0.state.lock().is_settled() {
                    return;
                }
                written.await;
            }
        };
        if timeout(FILE_TIMEOUT, settled).await.is_err() {
            let unwritten = self.0.state.lock().unwritten_bytes();
            warn!(
                "{unwritten} bytes that the uplinks have carried are not in {}: the disk has not answered for \
                 {FILE_TIMEOUT:?}; the next process may not know of them",
                self.0.ledger.path().display()
            );
        }
    }

    /// Returns what is left of an uplink's budget, if it has one.
    pub(crate) fn report(&self, uplink: &str) -> Option<BudgetReport> {
        self.0.state.lock().report(uplink)
    }

    async fn run(&self) {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.0.state.lock().is_idle() {
                self.0.begun.notified().await;
            }
            self.count_and_enforce();
            self.write_if_due();
            let change = self.0.state.lock().stalled(Instant::now());
            self.0.log(change);
            pace.tick().await;
        }
    }

    /// Counts what has gone over the uplinks since the last call, and has the node use no more of them than is left.
    fn count_and_enforce(&self) {
        let _turn = self.0.turn.lock();
        let bytes = self.0.node.take_uplink_bytes();
        self.0.state.lock().count(today(), &bytes);
        self.enforce();
    }

    /// Has the node follow what is decided. Whoever calls it holds the turn.
    fn enforce(&self) {
        let decisions = self.0.state.lock().decide();
        for decision in decisions {
            // First: whether that leaves none is reported with the event. It may be gone, or come only now.
            let _ = self.0.node.allow_uplink(&decision.uplink, decision.allowance);
            if let Some(event) = decision.event {
                self.0.node.report_budget(&decision.uplink, event);
            }
        }
    }

    /// Begins to write what is to be written, if nothing else is.
    fn write_if_due(&self) {
        let Some(counted) = self.0.state.lock().begin_write(Instant::now()) else { return };
        let of_thread = self.0.clone();
        let add = move || {
            let added = catch_call(|| of_thread.ledger.add(today(), &counted));
            let outcome = match added {
                Ok(added) => added.map_err(|error| error.to_string()),
                Err(panicked) => Err(panicked.to_string()),
            };
            of_thread.end_write(outcome);
        };
        // Not one of the runtime's: that would wait for it to end.
        if let Err(error) = thread::Builder::new().name("budgets".to_owned()).spawn(add) {
            self.0.end_write(Err(error.to_string()));
        }
    }
}

impl Shared {
    fn end_write(&self, outcome: Result<BTreeMap<String, Account>, String>) {
        let change = self.state.lock().end_write(today(), outcome);
        self.log(change);
        self.written.notify_waiters();
    }

    fn log(&self, change: Option<FileChange>) {
        let path = self.ledger.path().display();
        match change {
            None => {}
            Some(FileChange::Failed(error)) => warn!(
                "what the uplinks carry cannot be kept in {path}: {error}; it is counted on and tried again, and a \
                 restart forgets it. `state-directory` names another directory"
            ),
            Some(FileChange::Stalled) => warn!(
                "what the uplinks carry is being written to {path}, and the disk does not answer; it is counted on, \
                 and a crash forgets it. Look at the disk, or name another directory with `state-directory`"
            ),
            Some(FileChange::Recovered) => info!("what the uplinks carry is kept again in {path}"),
        }
    }
}

/// Returns what the file says, within [`FILE_TIMEOUT`].
async fn known(ledger: &Ledger) -> BTreeMap<String, Account> {
    let (answer, known) = oneshot::channel();
    let reading = ledger.clone();
    let read = move || drop(answer.send(reading.accounts()));
    let started = thread::Builder::new().name("budgets".to_owned()).spawn(read);
    let read = timeout(FILE_TIMEOUT, known).await;
    match (started, read) {
        (Ok(_), Ok(Ok(accounts))) => accounts,
        _ => {
            warn!(
                "what the uplinks have carried is not read from {} within {FILE_TIMEOUT:?}; budgets count from zero \
                 until the disk answers",
                ledger.path().display()
            );
            BTreeMap::new()
        }
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
