//! Keeps the history, and makes what viewers are shown: once for all of them, and only while there are any.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::history::{Happened, History, Millis, Occurrence, SLOT};
use super::state::{Frame, Meter, lanes_now, reading, short};
use crate::admin::EventReport;
use crate::report::{Detail, Report, ReportSource};
use throughline::{Event, EventKind, Followed, Node, SuspectedBy};

/// How often viewers are shown what there is. A failure is shown as soon as it is known.
const FRAME_INTERVAL: Duration = Duration::from_secs(1);

/// The shortest time between two frames, however much happens: a report looks at every flow.
const MIN_FRAME_INTERVAL: Duration = Duration::from_millis(200);

/// Events that are shown.
const MAX_EVENTS: usize = 100;

/// What viewers are shown: texts of an event stream, the same for all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Frames {
    /// The moment.
    pub(super) state: Bytes,
    /// Failures and events, and the number of this text.
    pub(super) log: (u64, Bytes),
}

/// The history, and the frames.
pub(super) struct Board {
    inner: Mutex<Inner>,
    frames: watch::Sender<Frames>,
    came: Notify,
    can_change: AtomicBool,
}

struct Inner {
    history: History,
    meter: Meter,
    events: std::collections::VecDeque<EventReport>,
    /// The number of the text of failures and events; and whether it is to be made anew.
    log: (u64, bool),
    /// The plots, as of which step.
    plots: Option<(Millis, Bytes)>,
    host: String,
}

impl Board {
    /// Begins a history.
    pub(super) fn new() -> Arc<Self> {
        let inner = Inner {
            history: History::new(now()),
            meter: Meter::default(),
            events: std::collections::VecDeque::new(),
            log: (0, true),
            plots: None,
            host: host_name(),
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
            frames: watch::Sender::default(),
            came: Notify::new(),
            can_change: AtomicBool::new(false),
        })
    }

    /// Says whether the page may offer changes.
    pub(super) fn set_can_change(&self, can_change: bool) {
        self.can_change.store(can_change, Ordering::Relaxed);
    }

    /// Begins to show frames to somebody: the next one is made at once.
    pub(super) fn subscribe(&self) -> watch::Receiver<Frames> {
        // What was made for somebody before is old, and counts as seen.
        let frames = self.frames.subscribe();
        self.came.notify_one();
        frames
    }

    /// Returns the plots, as the text of an event stream.
    pub(super) fn plots(&self) -> Bytes {
        let mut inner = self.inner.lock();
        let as_of = inner.history.series().last_slot().map_or(0, |slot| slot.0);
        if let Some((of, text)) = &inner.plots
            && *of == as_of
        {
            return text.clone();
        }
        let series = inner.history.series();
        let text = message("plots", &json!({ "hour": series.hour(), "day": series.day() }));
        inner.plots = Some((as_of, text.clone()));
        text
    }

    /// Follows the node, takes readings, and makes frames while somebody looks. Ends with the node. Cancel-safe: it can
    /// be begun anew, and goes on with what it has.
    pub(super) async fn keep(&self, node: &Node, report: &ReportSource) {
        let mut events = node.events();
        for event in &events.recent {
            self.handle(event);
        }
        // Lanes may be older than the events that are kept.
        self.resync(&report(Detail::Lanes));
        let mut readings = interval(Duration::from_millis(SLOT));
        readings.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut due = Instant::now();
        loop {
            let is_watched = self.frames.receiver_count() > 0;
            tokio::select! {
                followed = events.live.next() => match followed {
                    Some(Followed::Event(event)) => {
                        self.handle(&event);
                        due = due.min(Instant::now() + MIN_FRAME_INTERVAL);
                    }
                    Some(Followed::Missed(_)) => self.resync(&report(Detail::Lanes)),
                    None => return,
                },
                () = self.came.notified() => due = Instant::now(),
                _ = readings.tick(), if !is_watched => self.read(&report(Detail::Lanes)),
                () = sleep_until(due.into()), if is_watched => {
                    self.show(&report(Detail::Flows));
                    due = Instant::now() + FRAME_INTERVAL;
                }
            }
        }
    }

    /// Shows a text to all viewers.
    #[cfg(test)]
    pub(super) fn show_for_test(&self, state: Bytes) {
        self.frames.send_replace(Frames { state, log: (1, Bytes::new()) });
    }

    fn handle(&self, event: &Event) {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        // Begun anew, the keeper sees again what it has seen.
        if inner.events.back().is_some_and(|last| event.seq <= last.seq) {
            return;
        }
        let peer = event.peer.as_ref().map(ToString::to_string);
        if let Some(what) = happened(&event.kind) {
            inner.history.handle(&Occurrence {
                at: millis(event.at),
                peer: peer.as_deref(),
                session: event.session.map(|id| id.0),
                lane: event.lane.map(|id| id.0),
                uplink: event.uplink.as_deref(),
                what,
            });
        }
        if inner.events.len() == MAX_EVENTS {
            inner.events.pop_front();
        }
        inner.events.push_back(EventReport::from(event));
        inner.log.1 = true;
    }

    fn resync(&self, report: &Report) {
        let mut inner = self.inner.lock();
        inner.history.resync(now(), &lanes_now(report));
        inner.log.1 = true;
    }

    fn read(&self, report: &Report) {
        let at = now();
        let mut inner = self.inner.lock();
        if inner.history.wants_reading(at) {
            inner.log.1 |= inner.history.read(&reading(report, at));
        }
    }

    fn show(&self, report: &Report) {
        self.read(report);
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let can_change = self.can_change.load(Ordering::Relaxed);
        let frame = Frame { now: now(), host: &inner.host, can_change };
        let mut state = inner.meter.state(report, frame);
        state.slot = inner.history.series().last_slot();
        state.minute = inner.history.series().last_minute();
        let state = message("state", &state);
        let log = match inner.log {
            (number, false) => (number, self.frames.borrow().log.1.clone()),
            (number, true) => {
                inner.log = (number + 1, false);
                (number + 1, inner.log_text())
            }
        };
        self.frames.send_replace(Frames { state, log });
    }
}

impl Inner {
    fn log_text(&self) -> Bytes {
        let events = self.events.iter().rev().map(|event| {
            json!({
                "seq": event.seq,
                "time": event.time,
                "event": event.event,
                "peer": event.peer.as_deref().map(short),
                "uplink": event.uplink.as_deref().map(short),
                "lane": event.lane,
                "text": short(&event.text),
            })
        });
        let events: Vec<_> = events.collect();
        message("log", &json!({ "failures": self.history.failures(), "events": events }))
    }
}

/// Returns a message of an event stream (WHATWG HTML §9.2). JSON has no line breaks in it.
fn message(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

/// Returns what an event is to the history, if anything.
fn happened(kind: &EventKind) -> Option<Happened<'_>> {
    Some(match kind {
        EventKind::LaneUp { .. } => Happened::LaneUp,
        EventKind::LaneSuspected { detected_by, .. } => match detected_by {
            SuspectedBy::Us { silence, .. } => Happened::LaneSuspected(whole_millis(*silence)),
            _ => Happened::LaneSuspected(0),
        },
        EventKind::LaneOneWay { .. } => Happened::LaneOneWay,
        EventKind::LaneRecovered { .. } => Happened::LaneRecovered,
        EventKind::LaneMigrated { from, .. } => Happened::LaneMigrated { from },
        EventKind::LaneDown { reason, .. } => Happened::LaneDown(reason),
        EventKind::SessionDetached { .. } => Happened::SessionDetached,
        EventKind::SessionResumed { .. } => Happened::SessionResumed,
        EventKind::SessionOver { .. } => Happened::SessionOver,
        _ => return None,
    })
}

fn whole_millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

fn millis(at: SystemTime) -> Millis {
    whole_millis(at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}

#[expect(
    clippy::disallowed_methods,
    reason = "plots and failures bear the time of the wall clock, for people"
)]
fn now() -> Millis {
    millis(SystemTime::now())
}

fn host_name() -> String {
    short(&rustix::system::uname().nodename().to_string_lossy())
}
