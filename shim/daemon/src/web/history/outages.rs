//! What failed, from when to when, and for how long nothing could move: told from the events of lanes and sessions.
//!
//! **An outage** is of an uplink and a peer. It begins when a lane over the uplink is suspected, and ends when a lane
//! over it answers again or is set up. What a lane's end adds is that it is no mere pause. A lane that ends without a
//! suspicion has not failed: somebody wanted it so. A session without any lane is an outage of no uplink.
//!
//! **A gap** is a time in which a session's bytes did not move: the silence after which a lane was suspected, where
//! another one answered, since from then on its bytes go there; else until one answers.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::time::Millis;

/// Outages that are kept. A day of failures is some; at eight a minute it is the last half hour.
const MAX_OUTAGES: usize = 256;

/// Sessions whose lanes are followed; beyond, those that came first are forgotten.
const MAX_SESSIONS: usize = 1024;

/// Lanes of a session that are followed: more than there are.
const MAX_LANES: usize = 64;

/// The longest reason, in characters.
const MAX_REASON: usize = 160;

/// An event, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(in crate::web) struct Occurrence<'a> {
    pub(in crate::web) at: Millis,
    pub(in crate::web) peer: Option<&'a str>,
    pub(in crate::web) session: Option<u128>,
    pub(in crate::web) lane: Option<u64>,
    pub(in crate::web) uplink: Option<&'a str>,
    pub(in crate::web) what: Happened<'a>,
}

/// What happened.
#[derive(Clone, Copy, Debug)]
pub(in crate::web) enum Happened<'a> {
    LaneUp,
    /// With the silence that led to it, where we noticed it.
    LaneSuspected(Millis),
    LaneOneWay,
    LaneRecovered,
    LaneMigrated {
        from: &'a str,
    },
    LaneDown(&'a str),
    SessionDetached,
    SessionResumed,
    SessionOver,
}

/// A lane that there is.
#[derive(Clone, Copy, Debug)]
pub(in crate::web) struct LaneNow<'a> {
    pub(in crate::web) peer: &'a str,
    pub(in crate::web) session: u128,
    pub(in crate::web) lane: u64,
    pub(in crate::web) uplink: &'a str,
    pub(in crate::web) suspect: bool,
}

/// What an event was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Failures that began.
    pub(super) failures: u64,
    /// A gap that is over.
    pub(super) gap: Option<Millis>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Severity {
    /// A lane was silent.
    Silent,
    /// One direction is lost.
    OneWay,
    /// A lane ended in it.
    Down,
    /// A session has no lane at all: its flows wait.
    NoLane,
}

/// Something that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Outage {
    pub(super) id: u64,
    /// Empty where it is of all uplinks, or unknown.
    pub(super) uplink: String,
    pub(super) peer: String,
    pub(super) from: Millis,
    pub(super) to: Option<Millis>,
    pub(super) severity: Severity,
    pub(super) reason: String,
    /// The live flows that went on.
    pub(super) survivors: u64,
}

#[derive(Debug, Default)]
struct SessionLanes {
    /// The lanes, and whether each is suspect.
    lanes: BTreeMap<u64, bool>,
    /// Since when no lane has answered.
    stalled: Option<Millis>,
}

/// The outages and the lanes that there are.
#[derive(Debug, Default)]
pub(super) struct Outages {
    outages: VecDeque<Outage>,
    next: u64,
    sessions: BTreeMap<u128, SessionLanes>,
    /// The sessions in the order in which they came.
    order: VecDeque<u128>,
}

impl Outages {
    /// Returns them, the oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Outage> {
        self.outages.iter()
    }

    /// Adds flows that outlived the last failure of an uplink.
    pub(super) fn add_survivors(&mut self, uplink: &str, flows: u64) {
        if let Some(last) = self.outages.iter_mut().rev().find(|outage| outage.uplink == uplink) {
            last.survivors += flows;
        }
    }

    pub(super) fn handle(&mut self, event: &Occurrence<'_>) -> Seen {
        let (peer, uplink) = (event.peer.unwrap_or_default(), event.uplink.unwrap_or_default());
        let mut seen = Seen::default();
        match event.what {
            Happened::LaneUp | Happened::LaneRecovered => {
                self.answers(event, (peer, uplink), &mut seen);
            }
            Happened::LaneSuspected(silence) => {
                self.suspect(event, (peer, uplink), silence, &mut seen);
            }
            Happened::LaneOneWay => self.worsen((peer, uplink), Severity::OneWay, ""),
            Happened::LaneMigrated { from } => {
                if self.is_suspect(event) {
                    self.worsen((peer, from), Severity::Down, "its lane was migrated away");
                }
                self.answers(event, (peer, uplink), &mut seen);
            }
            Happened::LaneDown(reason) => {
                if self.is_suspect(event) {
                    self.worsen((peer, uplink), Severity::Down, reason);
                }
                if let Some((session, lane)) = self.session(event).zip(event.lane) {
                    session.lanes.remove(&lane);
                }
                self.stall_if_silent(event, 0);
            }
            Happened::SessionDetached => {
                self.stall_if_silent(event, 0);
                // As a rule its uplinks have failed, which counts already.
                let counts = !self.outages.iter().any(|o| o.peer == peer && o.to.is_none());
                self.begin((peer, ""), event.at, Severity::NoLane);
                seen.failures += u64::from(counts);
            }
            Happened::SessionResumed => self.end((peer, ""), event.at),
            Happened::SessionOver => {
                self.forget(event);
                let ended = |outage: &&mut Outage| outage.peer == peer && outage.to.is_none();
                self.outages.iter_mut().filter(ended).for_each(|open| open.to = Some(event.at));
            }
        }
        seen
    }

    /// Goes on with the lanes that there are, where events are not known: they came before, or were missed.
    pub(super) fn resync(&mut self, at: Millis, lanes: &[LaneNow<'_>]) {
        self.sessions.clear();
        self.order.clear();
        for lane in lanes {
            let event = Occurrence {
                at,
                peer: Some(lane.peer),
                session: Some(lane.session),
                lane: Some(lane.lane),
                uplink: Some(lane.uplink),
                what: Happened::LaneUp,
            };
            self.set_suspect(&event, lane.suspect);
            if !lane.suspect {
                self.end((lane.peer, lane.uplink), at);
                self.end((lane.peer, ""), at);
            }
        }
    }

    /// A lane over the uplink answers.
    fn answers(&mut self, event: &Occurrence<'_>, of: (&str, &str), seen: &mut Seen) {
        self.end(of, event.at);
        self.set_suspect(event, false);
        if let Some(since) = self.session(event).and_then(|session| session.stalled.take()) {
            seen.gap = Some(event.at.saturating_sub(since));
        }
    }

    fn suspect(
        &mut self,
        event: &Occurrence<'_>,
        of: (&str, &str),
        silence: Millis,
        seen: &mut Seen,
    ) {
        let since = event.at.saturating_sub(silence);
        self.set_suspect(event, true);
        if self.begin(of, since, Severity::Silent) {
            seen.failures += 1;
        }
        if !self.stall_if_silent(event, silence) && silence > 0 {
            seen.gap = Some(silence);
        }
    }

    /// Notes since when nothing answers, where nothing does; returns whether that is so.
    fn stall_if_silent(&mut self, event: &Occurrence<'_>, silence: Millis) -> bool {
        let Some(session) = self.session(event) else { return false };
        let silent = session.lanes.values().all(|suspect| *suspect);
        if silent {
            session.stalled.get_or_insert(event.at.saturating_sub(silence));
        }
        silent
    }

    fn session(&mut self, event: &Occurrence<'_>) -> Option<&mut SessionLanes> {
        let id = event.session?;
        if !self.sessions.contains_key(&id) {
            if self.order.len() == MAX_SESSIONS
                && let Some(oldest) = self.order.pop_front()
            {
                self.sessions.remove(&oldest);
            }
            self.order.push_back(id);
        }
        Some(self.sessions.entry(id).or_default())
    }

    fn is_suspect(&mut self, event: &Occurrence<'_>) -> bool {
        let lane = self.session(event).zip(event.lane);
        lane.is_some_and(|(session, lane)| session.lanes.get(&lane) == Some(&true))
    }

    fn set_suspect(&mut self, event: &Occurrence<'_>, suspect: bool) {
        let Some((session, lane)) = self.session(event).zip(event.lane) else { return };
        if session.lanes.len() < MAX_LANES || session.lanes.contains_key(&lane) {
            session.lanes.insert(lane, suspect);
        }
    }

    fn forget(&mut self, event: &Occurrence<'_>) {
        if let Some(id) = event.session {
            self.sessions.remove(&id);
            self.order.retain(|known| *known != id);
        }
    }

    /// Begins an outage, unless there is one; returns whether it has begun.
    fn begin(&mut self, of: (&str, &str), from: Millis, severity: Severity) -> bool {
        if self.open(of).is_some() {
            return false;
        }
        if self.outages.len() == MAX_OUTAGES {
            self.outages.pop_front();
        }
        let (peer, uplink) = (of.0.to_owned(), of.1.to_owned());
        let (id, reason) = (self.next, String::new());
        self.next += 1;
        let outage = Outage { id, uplink, peer, from, to: None, severity, reason, survivors: 0 };
        self.outages.push_back(outage);
        true
    }

    fn worsen(&mut self, of: (&str, &str), severity: Severity, reason: &str) {
        if let Some(outage) = self.open(of) {
            outage.severity = severity;
            if !reason.is_empty() {
                outage.reason = reason.chars().take(MAX_REASON).collect();
            }
        }
    }

    fn end(&mut self, of: (&str, &str), at: Millis) {
        if let Some(outage) = self.open(of) {
            outage.to = Some(at.max(outage.from));
        }
    }

    fn open(&mut self, (peer, uplink): (&str, &str)) -> Option<&mut Outage> {
        let is_it = |outage: &&mut Outage| {
            outage.to.is_none() && outage.peer == peer && outage.uplink == uplink
        };
        self.outages.iter_mut().rev().find(is_it)
    }
}
