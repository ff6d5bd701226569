//! What must hold: bounds while it runs, and the right end of every flow.

use std::collections::BTreeMap;
use std::fmt;

use throughline_proto::flow::memory::Memory;
use throughline_proto::session::{FlowError, Session};
use throughline_proto::types::FlowId;

use crate::application::{App, ReadEnd};
use crate::flows::FlowRun;
use crate::link::{MS, Nanos, SEC};
use crate::plan::Answer;

/// Counts over runs.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub(crate) flows: u64,
    pub(crate) clean: u64,
    pub(crate) bytes: u64,
    pub(crate) duplicates: u64,
    pub(crate) resent: u64,
    pub(crate) events: u64,
    pub(crate) virtual_seconds: u64,
    pub(crate) timeouts: u64,
    /// The longest from healing to the end.
    pub(crate) drained_in: Nanos,
    /// Dials, moves, lanes closed after draining, looks at a lane on probation.
    pub(crate) dials: u64,
    /// Probes of paths.
    pub(crate) probes: u64,
    pub(crate) moves: u64,
    pub(crate) drained: u64,
    pub(crate) held: u64,
    /// The most lanes at once.
    pub(crate) most_lanes: u64,
    /// Sessions that were handed over to another process.
    pub(crate) hand_overs: u64,
}

impl Report {
    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        self.flows += other.flows;
        self.clean += other.clean;
        self.bytes += other.bytes;
        self.duplicates += other.duplicates;
        self.resent += other.resent;
        self.events += other.events;
        self.virtual_seconds += other.virtual_seconds;
        self.timeouts += other.timeouts;
        self.drained_in = self.drained_in.max(other.drained_in);
        self.dials += other.dials;
        self.probes += other.probes;
        self.moves += other.moves;
        self.drained += other.drained;
        self.held += other.held;
        self.most_lanes = self.most_lanes.max(other.most_lanes);
        self.hand_overs += other.hand_overs;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} flows ({} to a clean end both ways), {} bytes read, {} came twice, {} re-sent, {} \
             events, {} session timers, {} virtual seconds, drained within {} ms; {} dials, {} \
             probes, {} moves, {} lanes drained, {} plans with a lane on probation, at most {} \
             lanes at once, {} hand-overs",
            self.flows,
            self.clean,
            self.bytes,
            self.duplicates,
            self.resent,
            self.events,
            self.timeouts,
            self.virtual_seconds,
            self.drained_in / MS,
            self.dials,
            self.probes,
            self.moves,
            self.drained,
            self.held,
            self.most_lanes,
            self.hand_overs,
        )
    }
}

/// The longest that acknowledged bytes may stand still once everything has healed.
const STALL: Nanos = 5 * SEC;

/// What is watched of a flow: duplicates, re-sent bytes, and since when its base stands.
#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    duplicates: u64,
    resent: u64,
    base: u64,
    since: Nanos,
}

/// Watches flows while they live.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) healed_at: Option<Nanos>,
    /// Since when some lane is attached at both ends.
    pub(crate) joined_at: Nanos,
    flows: BTreeMap<(u32, usize, FlowId), Watched>,
}

impl Watch {
    /// Looks at all flows. What is kept was granted, so it must move where lanes are well,
    /// whatever the readers do.
    pub(crate) fn observe(&mut self, now: Nanos, (era, side): (u32, usize), session: &Session) {
        for flow in session.flows() {
            let fresh = Watched { since: now, ..Watched::default() };
            let watched = self.flows.entry((era, side, flow.id)).or_insert(fresh);
            watched.duplicates = flow.rx.assembler.duplicate();
            watched.resent = flow.tx.resent;
            let base = flow.tx.buffer.base();
            if base != watched.base || flow.tx.buffer.retained() == 0 {
                (watched.base, watched.since) = (base, now);
            }
            let well = self.healed_at.map_or(now, |healed| self.joined_at.max(healed));
            let since = watched.since.max(well);
            assert!(now < since + STALL, "{} stands still at {side}: {flow:#?}", flow.id);
        }
    }

    /// Duplicate and re-sent bytes of all flows.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let sum = |of: fn(&Watched) -> u64| self.flows.values().map(of).sum();
        (sum(|w| w.duplicates), sum(|w| w.resent))
    }
}

/// What a session holds is bounded at any time.
pub(crate) fn check_bounds(session: &Session, memory: &Memory) {
    let mut windows = 0;
    for flow in session.flows() {
        let (tx, rx) = (&flow.tx, &flow.rx);
        let granted = tx.max_offset - tx.buffer.base();
        assert!(tx.buffer.retained() <= granted, "{}: more is kept than granted", flow.id);
        assert!(tx.next <= tx.buffer.end(), "{}: sent what was not written", flow.id);
        let assembler = &rx.assembler;
        assert!(assembler.highest() <= rx.max_offset(), "{}: received beyond the window", flow.id);
        let held = assembler.highest() - assembler.read_offset();
        assert!(held <= rx.window(), "{}: {held} bytes held of {}", flow.id, rx.window());
        for lane in &tx.lanes {
            assert!(lane.segments.iter().rev().skip(1).all(|s| !s.open), "two open segments");
        }
        windows += rx.window();
    }
    assert_eq!(memory.used(), windows, "memory set aside is not what the windows are");
}

/// Every byte written before the end was read, unless who was to read cut it short.
pub(crate) fn check_end(run: &FlowRun) {
    let opener = run.plan.opener;
    let number = run.number;
    let Some(ours) = run.apps[opener].as_ref() else { return };
    assert!(ours.is_done(), "flow {number}: the opener's application waits for ever: {run:?}");
    if run.lost {
        for app in run.apps.iter().flatten() {
            assert!(app.is_done(), "flow {number}: waits although the session is over: {run:?}");
        }
        return;
    }
    let refused = matches!(&ours.read_end, Some(ReadEnd::Broken(FlowError::Failed(_))));
    let Some(theirs) = run.apps[1 - opener].as_ref() else {
        // The acceptor refused it, by plan or for its limit.
        assert!(run.incoming <= 1, "flow {number} came in {} times", run.incoming);
        assert_eq!(ours.read, 0, "flow {number}: bytes from nobody");
        let broken = matches!(ours.read_end, Some(ReadEnd::Broken(_) | ReadEnd::Dropped));
        assert!(broken, "flow {number} was declined, but {ours:?}");
        if run.plan.answer == Answer::Refuse && ours.read_end != Some(ReadEnd::Dropped) {
            let informed = refused || ours.reset;
            assert!(informed, "flow {number} was refused, but {ours:?}");
        }
        return;
    };
    assert_eq!(run.incoming, 1, "flow {number} came in {} times", run.incoming);
    assert!(theirs.is_done(), "flow {number}: the acceptor's application waits for ever: {run:?}");
    check_direction(number, ours, theirs);
    check_direction(number, theirs, ours);
}

/// May `app` have reset the flow?
fn aborts(app: &App) -> bool {
    app.reset || app.read_end == Some(ReadEnd::Dropped)
}

fn check_direction(number: usize, from: &App, to: &App) {
    assert!(to.read <= from.written, "flow {number}: read more than was written");
    match &to.read_end {
        Some(ReadEnd::End) => {
            assert!(from.finished, "flow {number}: an end that was never written");
            assert_eq!(to.read, from.written, "flow {number}: the end came early");
        }
        Some(ReadEnd::Broken(FlowError::ResetByPeer(_))) => {
            assert!(aborts(from), "flow {number}: a reset by nobody: {from:?} {to:?}");
            assert!(!from.finished, "flow {number}: a reset instead of the end {from:?} {to:?}");
            if !aborts(to) {
                assert_eq!(to.read, from.written, "flow {number}: cut short by a reset");
            }
        }
        Some(ReadEnd::Broken(FlowError::ResetHere)) => assert!(to.reset, "{number}: {to:?}"),
        Some(ReadEnd::Broken(other)) => panic!("flow {number}: ended with {other:?}"),
        Some(ReadEnd::Dropped) => {}
        None => panic!("flow {number}: never ended"),
    }
    match &from.write_error {
        None => {}
        Some(FlowError::ResetByPeer(_)) => assert!(aborts(to), "{number}: {from:?} {to:?}"),
        Some(FlowError::ResetHere) => assert!(aborts(from), "{number}: {from:?}"),
        Some(other) => panic!("flow {number}: writing ended with {other:?}"),
    }
    if !aborts(from) && !aborts(to) {
        assert_eq!(to.read_end, Some(ReadEnd::End), "flow {number}: {from:?} {to:?}");
        assert!(from.write_error.is_none() && from.written == from.plan.total);
    }
}
