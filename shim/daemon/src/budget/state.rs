//! All that a daemon knows of its budgets: which uplinks have one, what each has carried, what may be used of them, and
//! what the file does not have yet. A state machine that takes the time and the bytes: pure.
//!
//! ```text
//! set, count ─▸ decide ─▸ what the node allows, and what is reported
//!          └──▸ begin_write … end_write: one write at a time; what is counted meanwhile goes with the next
//! ```
//!
//! Each byte is in the file, or among the unwritten ones of its uplink: a write that fails, or of which nothing is
//! heard, loses none. An uplink that loses its budget, or is gone, is remembered until the file has its bytes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use time::Date;

use super::account::{Account, Level};
use super::ledger::{Counted, MAX_UPLINKS};
use super::unwritten::Unwritten;
use crate::config::{AtBudget, Budget};
use crate::report::BudgetReport;
use throughline::{Allowance, BudgetReport as Event};

/// What a crash may make forgotten: the bytes of this time, or so many of an uplink.
const WRITE_INTERVAL: Duration = Duration::from_secs(60);
const WRITE_BYTES: u64 = 64 << 20;

/// A write takes milliseconds; one that takes so long is reported.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// The budgets of a daemon.
#[derive(Default)]
pub(super) struct State {
    uplinks: BTreeMap<String, Uplink>,
    /// What the file does not have of uplinks that have no budget any more.
    leaving: BTreeMap<String, Counted>,
    /// Uplinks that have lost their budget, until it is decided that they are not limited any more.
    lifted: Vec<String>,
    /// When the last write began, and what it tries to add while it is under way.
    wrote_at: Option<Instant>,
    writing: Option<Vec<Counted>>,
    /// Something is to be in the file soon.
    is_urgent: bool,
    trouble: Trouble,
}

/// An uplink that has a budget.
struct Uplink {
    budget: Budget,
    account: Account,
    /// Bytes that the account has, and the file does not.
    unwritten: Unwritten,
    /// What was reported of it.
    reported: Level,
}

/// What was reported of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Trouble {
    #[default]
    None,
    Stalled,
    Failed,
}

/// What is to be said of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileChange {
    /// It cannot be written.
    Failed(String),
    /// The write that is under way does not end.
    Stalled,
    /// It is written again.
    Recovered,
}

/// What is to become of an uplink.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) uplink: String,
    pub(super) allowance: Allowance,
    /// What has changed.
    pub(super) event: Option<Event>,
}

impl State {
    /// Sets the budgets; `known` is what the file says of those that are new.
    pub(super) fn set(
        &mut self,
        today: Date,
        budgets: &[(String, Budget)],
        known: &BTreeMap<String, Account>,
    ) {
        let mut former = std::mem::take(&mut self.uplinks);
        for (name, budget) in budgets {
            let mut uplink = former.remove(name).unwrap_or_else(|| {
                let leaving = self.leaving.remove(name);
                let account = begun(today, budget, known.get(name), leaving.as_ref());
                let unwritten = leaving.map(|counted| counted.bytes).unwrap_or_default();
                Uplink { budget: *budget, account, unwritten, reported: Level::Within }
            });
            uplink.budget = *budget;
            uplink.account.count(today, budget.reset_day, 0);
            self.uplinks.insert(name.clone(), uplink);
        }
        self.lifted.extend(former.keys().cloned());
        for (uplink, Uplink { budget, unwritten: bytes, .. }) in former {
            // The bound of the file: beyond it, it would be forgotten there.
            if bytes.total() > 0 && self.leaving.len() < MAX_UPLINKS {
                let counted =
                    Counted { uplink: uplink.clone(), reset_day: budget.reset_day, bytes };
                self.leaving.insert(uplink, counted);
            }
        }
        self.is_urgent = true;
    }

    /// Returns what may be used of each uplink once these budgets are set, and of those that have one now.
    pub(super) fn allowances_with(
        &self,
        today: Date,
        budgets: &[(String, Budget)],
        known: &BTreeMap<String, Account>,
    ) -> Vec<(String, Allowance)> {
        let former = self.uplinks.keys().filter(|name| budgets.iter().all(|(new, _)| new != *name));
        let former = former.map(|name| (name.clone(), Allowance::Everything));
        let of_new = |(name, budget): &(String, Budget)| {
            let here = self.uplinks.get(name).map(|uplink| &uplink.account);
            let account = begun(today, budget, here.or(known.get(name)), self.leaving.get(name));
            (name.clone(), allowance(account.level(budget), budget.at_end))
        };
        former.chain(budgets.iter().map(of_new)).collect()
    }

    /// Returns the uplinks that have a budget.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.uplinks.keys()
    }

    /// Returns whether there is nothing to count, and nothing to write.
    pub(super) fn is_idle(&self) -> bool {
        self.uplinks.is_empty() && self.leaving.is_empty() && self.writing.is_none()
    }

    /// Counts what has gone over the uplinks until now.
    pub(super) fn count(&mut self, today: Date, bytes: &BTreeMap<String, u64>) {
        for (name, uplink) in &mut self.uplinks {
            let bytes = bytes.get(name).copied().unwrap_or(0);
            uplink.account.count(today, uplink.budget.reset_day, bytes);
            uplink.unwritten.add(today, bytes);
        }
    }

    /// Decides what may be used of each uplink, also of those that have lost their budget since.
    pub(super) fn decide(&mut self) -> Vec<Decision> {
        let lifted = std::mem::take(&mut self.lifted).into_iter();
        let lifted = lifted.filter(|uplink| !self.uplinks.contains_key(uplink));
        let free = |uplink| Decision { uplink, allowance: Allowance::Everything, event: None };
        let mut decisions: Vec<_> = lifted.map(free).collect();
        let decide = |(name, uplink): (&String, &mut Uplink)| {
            let level = uplink.account.level(&uplink.budget);
            let allowance = allowance(level, uplink.budget.at_end);
            let is_change = std::mem::replace(&mut uplink.reported, level) != level;
            let event = is_change.then(|| event(uplink, level, allowance));
            Decision { uplink: name.clone(), allowance, event }
        };
        decisions.extend(self.uplinks.iter_mut().map(decide));
        // A crash must not make it forgotten.
        self.is_urgent |= decisions.iter().any(|decision| decision.event.is_some());
        decisions
    }

    /// Returns what is to be added to the file now, if anything is.
    pub(super) fn begin_write(&mut self, now: Instant) -> Option<Vec<Counted>> {
        let is_over = |at: Instant| now.saturating_duration_since(at) >= WRITE_INTERVAL;
        let much = || self.uplinks.values().any(|uplink| uplink.unwritten.total() >= WRITE_BYTES);
        let is_due = self.is_urgent
            || self.wrote_at.is_none_or(is_over)
            || (self.trouble != Trouble::Failed && much());
        let counted = self.unwritten();
        if self.writing.is_some() || !is_due || counted.is_empty() {
            return None;
        }
        (self.is_urgent, self.wrote_at) = (false, Some(now));
        self.writing = Some(counted.clone());
        Some(counted)
    }

    /// Has the next write begin as soon as it can.
    pub(super) fn expedite(&mut self) {
        self.is_urgent = true;
    }

    fn unwritten(&self) -> Vec<Counted> {
        let counted = |(name, uplink): (&String, &Uplink)| Counted {
            uplink: name.clone(),
            reset_day: uplink.budget.reset_day,
            bytes: uplink.unwritten.clone(),
        };
        self.uplinks.iter().map(counted).chain(self.leaving.values().cloned()).collect()
    }

    /// Takes over what the file says now, or that it could not be written; returns what has changed with it.
    pub(super) fn end_write(
        &mut self,
        today: Date,
        outcome: Result<BTreeMap<String, Account>, String>,
    ) -> Option<FileChange> {
        let written = self.writing.take().unwrap_or_default();
        let accounts = match outcome {
            Ok(accounts) => accounts,
            Err(error) => {
                let before = std::mem::replace(&mut self.trouble, Trouble::Failed);
                return (before != Trouble::Failed).then_some(FileChange::Failed(error));
            }
        };
        for Counted { uplink: name, bytes, .. } in written {
            if let Some(uplink) = self.uplinks.get_mut(&name) {
                uplink.unwritten.remove(&bytes);
                if let Some(account) = accounts.get(&name) {
                    uplink.account = account.clone();
                    let reset_day = uplink.budget.reset_day;
                    uplink.unwritten.count_in(&mut uplink.account, today, reset_day);
                }
            } else if let Some(leaving) = self.leaving.get_mut(&name) {
                leaving.bytes.remove(&bytes);
            }
        }
        self.leaving.retain(|_, counted| counted.bytes.total() > 0);
        let was = std::mem::take(&mut self.trouble);
        (was != Trouble::None).then_some(FileChange::Recovered)
    }

    /// Returns that the write under way does not end, once.
    pub(super) fn stalled(&mut self, now: Instant) -> Option<FileChange> {
        let since = self.wrote_at.filter(|_| self.writing.is_some())?;
        let is_change =
            self.trouble == Trouble::None && now.saturating_duration_since(since) >= STALLED_AFTER;
        is_change.then(|| {
            self.trouble = Trouble::Stalled;
            FileChange::Stalled
        })
    }

    /// Returns whether the file has everything, or said that it cannot have it.
    pub(super) fn is_settled(&self) -> bool {
        let is_empty = self.uplinks.is_empty() && self.leaving.is_empty();
        self.writing.is_none() && (is_empty || !self.is_urgent)
    }

    /// Returns the bytes that the file does not have.
    pub(super) fn unwritten_bytes(&self) -> u64 {
        self.unwritten().iter().map(|counted| counted.bytes.total()).sum()
    }

    /// Returns what is left of an uplink's budget, if it has one.
    pub(super) fn report(&self, uplink: &str) -> Option<BudgetReport> {
        let Uplink { budget, account, .. } = self.uplinks.get(uplink)?;
        let state = match account.level(budget) {
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
}

/// Returns the account of a budget that is set today: what is `known` of the uplink, with what the file does not have of
/// it.
fn begun(
    today: Date,
    budget: &Budget,
    known: Option<&Account>,
    leaving: Option<&Counted>,
) -> Account {
    let mut account = known.cloned().unwrap_or_default();
    if let Some(Counted { bytes, .. }) = leaving {
        bytes.count_in(&mut account, today, budget.reset_day);
    }
    account.count(today, budget.reset_day, 0);
    account
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

#[cfg(test)]
mod tests;
