//! What a person has chosen: the part that is looked at, the row, the order, the filter; and what a key does.

use super::board::{Board, FlowRow};
use crate::admin::UplinkChange;

/// The parts of the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Pane {
    /// The uplinks.
    #[default]
    Uplinks,
    /// The lanes.
    Lanes,
    /// The flows.
    Flows,
}

/// By what flows are ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// The busiest first.
    #[default]
    Rate,
    /// Those that have carried the most first.
    Total,
    /// By their destination.
    Target,
    /// As they were opened.
    Opened,
}

/// What keys are for at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Commands.
    #[default]
    Commands,
    /// They go into the filter.
    Filter,
    /// They answer whether this is to be done.
    Confirm(Change),
}

/// A change to an uplink, which a person has to confirm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) uplink: String,
    pub(crate) change: UplinkChange,
    /// Whether no other uplink answers: flows stay where they are then.
    pub(crate) is_last: bool,
}

/// What a person has chosen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Screen {
    pub(crate) part: Pane,
    pub(crate) order: Order,
    /// What a shown flow has in one of its fields.
    pub(crate) filter: String,
    pub(crate) keys: Keys,
    /// The selected row of each part, and the first that is shown.
    pub(crate) rows: [(usize, usize); 3],
}

/// A key, as far as it means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Char(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Tab,
    Enter,
    Escape,
    Backspace,
    /// Ctrl-C, whatever is being typed.
    Interrupt,
}

/// What is to be done for a key, besides drawing anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// End.
    Quit,
    /// Do so.
    Change(Change),
    /// Say why nothing is done.
    Hint(&'static str),
}

/// Rows of a page.
const PAGE: usize = 10;

/// The longest filter: no field is longer, and the line has an end.
const MAX_FILTER: usize = 64;

impl Screen {
    /// Takes a key; returns what is to be done.
    pub(crate) fn press(&mut self, key: Key, board: &Board) -> Option<Action> {
        if key == Key::Interrupt {
            return Some(Action::Quit);
        }
        match std::mem::take(&mut self.keys) {
            Keys::Commands => self.command(key, board),
            Keys::Filter => {
                self.type_filter(key);
                None
            }
            Keys::Confirm(change) => match key {
                Key::Char('y' | 'Y') => Some(Action::Change(change)),
                _ => Some(Action::Hint("nothing was changed")),
            },
        }
    }

    fn command(&mut self, key: Key, board: &Board) -> Option<Action> {
        let (row, _) = &mut self.rows[self.part as usize];
        match key {
            Key::Char('q') | Key::Escape => return Some(Action::Quit),
            Key::Up | Key::Char('k') => *row = row.saturating_sub(1),
            Key::Down | Key::Char('j') => *row += 1,
            Key::PageUp => *row = row.saturating_sub(PAGE),
            Key::PageDown => *row += PAGE,
            Key::Tab => self.part = self.part.next(),
            Key::Char('s') => self.order = self.order.next(),
            Key::Char('/') => self.keys = Keys::Filter,
            Key::Char('d') => return self.ask(UplinkChange::Drain, board),
            Key::Char('r') => return self.ask(UplinkChange::Resume, board),
            _ => {}
        }
        None
    }

    fn type_filter(&mut self, key: Key) {
        match key {
            Key::Enter => return,
            Key::Escape => return self.filter.clear(),
            Key::Char(c) if self.filter.chars().count() < MAX_FILTER => self.filter.push(c),
            Key::Backspace => drop(self.filter.pop()),
            _ => {}
        }
        self.keys = Keys::Filter;
    }

    /// Has the person confirm a change to the selected uplink.
    fn ask(&mut self, change: UplinkChange, board: &Board) -> Option<Action> {
        if self.part != Pane::Uplinks {
            return Some(Action::Hint(
                "d and r are for uplinks: Tab goes to them, ↑ and ↓ select one",
            ));
        }
        let (row, _) = self.rows[Pane::Uplinks as usize];
        let uplink = &board.uplinks.get(row.min(board.uplinks.len().saturating_sub(1)))?.name;
        // A standby is dialed before flows leave.
        let takes_flows = |state: &str| ["in use", "standby"].contains(&state);
        let is_last =
            board.uplinks.iter().all(|other| other.name == *uplink || !takes_flows(other.state));
        self.keys = Keys::Confirm(Change { uplink: uplink.clone(), change, is_last });
        None
    }

    /// Returns the flows that are shown, in their order.
    pub(crate) fn flows<'a>(&self, board: &'a Board) -> Vec<&'a FlowRow> {
        let matches = |flow: &&FlowRow| {
            [&flow.peer, &flow.name, &flow.target, &flow.mode, &flow.lanes]
                .iter()
                .any(|field| field.contains(&self.filter[..]))
        };
        let mut flows: Vec<_> = board.flows.iter().filter(matches).collect();
        match self.order {
            Order::Rate => flows.sort_by(|a, b| b.rate.sum().total_cmp(&a.rate.sum())),
            Order::Total => flows.sort_by_key(|flow| std::cmp::Reverse(flow.total)),
            Order::Target => flows.sort_by(|a, b| a.target.cmp(&b.target)),
            Order::Opened => {}
        }
        flows
    }

    /// Returns which rows of a part are shown, of `count` where `height` fit, and which of them is selected: one that
    /// there is.
    pub(crate) fn window(
        &mut self,
        part: Pane,
        count: usize,
        height: usize,
    ) -> (std::ops::Range<usize>, usize) {
        let ((selected, first), height) = (&mut self.rows[part as usize], height.max(1));
        *selected = (*selected).min(count.saturating_sub(1));
        let last_page = count.saturating_sub(height);
        let lowest = (*selected + 1).saturating_sub(height);
        *first = (*first).clamp(lowest, (*selected).max(lowest)).min(last_page);
        (*first..count.min(*first + height), *selected - *first)
    }
}

impl Pane {
    fn next(self) -> Self {
        match self {
            Self::Uplinks => Self::Lanes,
            Self::Lanes => Self::Flows,
            Self::Flows => Self::Uplinks,
        }
    }
}

impl Order {
    fn next(self) -> Self {
        match self {
            Self::Rate => Self::Total,
            Self::Total => Self::Target,
            Self::Target => Self::Opened,
            Self::Opened => Self::Rate,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Total => "total",
            Self::Target => "target",
            Self::Opened => "age",
        }
    }
}

#[cfg(test)]
mod tests;
