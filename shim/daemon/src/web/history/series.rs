//! Rates and delays by uplink: an hour in steps of five seconds, a day in steps of a minute.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

use super::time::Millis;

/// How far apart readings are: a failure of a few seconds is seen in the hour's plot.
pub(in crate::web) const SLOT: Millis = 5_000;

/// Steps that are kept: an hour.
const MAX_SLOTS: usize = 720;

/// Minutes that are kept: a day.
const MAX_MINUTES: usize = 1440;

const MINUTE: Millis = 60_000;

/// Uplinks that are followed: more lines than this nobody tells apart. A step has 12 bytes of each, so that all of it is
/// half a megabyte at the most.
pub(in crate::web) const MAX_UPLINKS: usize = 16;

/// What the uplinks have carried so far, and their delay.
#[derive(Clone, Debug, Default)]
pub(in crate::web) struct Reading {
    pub(in crate::web) at: Millis,
    pub(in crate::web) uplinks: Vec<UplinkReading>,
}

/// The same of one uplink.
#[derive(Clone, Debug, Default)]
pub(in crate::web) struct UplinkReading {
    pub(in crate::web) name: String,
    pub(in crate::web) received: u64,
    pub(in crate::web) sent: u64,
    /// The flows so far that outlived a failure.
    pub(in crate::web) survivors: u64,
    /// The shortest round trip of the lanes that answer, in milliseconds.
    pub(in crate::web) rtt: Option<f32>,
}

/// What an uplink carried in a step: bit/s, and milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    received: f32,
    sent: f32,
    rtt: Option<f32>,
}

#[derive(Clone, Debug, PartialEq)]
struct Slot {
    at: Millis,
    /// By the place of the uplink's name.
    points: [Option<Point>; MAX_UPLINKS],
}

/// What is kept.
#[derive(Debug, Default)]
pub(in crate::web) struct Series {
    /// The uplinks, and when each was read last.
    names: Vec<(String, Millis)>,
    slots: VecDeque<Slot>,
    minutes: VecDeque<Slot>,
    /// The slots of the minute that is not over.
    gathered: Vec<Slot>,
    last: Option<Reading>,
}

/// A step as JSON: by name, the received and sent bit/s and the milliseconds of delay.
pub(in crate::web) type SlotRow = (Millis, BTreeMap<String, (u64, u64, Option<f32>)>);

/// All of them as JSON, in columns.
#[derive(Debug, Serialize)]
pub(in crate::web) struct Columns {
    step_ms: Millis,
    at: Vec<Millis>,
    uplinks: BTreeMap<String, Column>,
}

#[derive(Debug, Default, Serialize)]
struct Column {
    received: Vec<Option<u64>>,
    sent: Vec<Option<u64>>,
    rtt: Vec<Option<f32>>,
}

impl Series {
    /// Returns whether it is time for a reading.
    pub(super) fn wants_reading(&self, now: Millis) -> bool {
        // Timers are late by different times; and a clock that was set back would let it wait for long.
        let due = |last: &Reading| now < last.at || now + SLOT / 10 >= last.at + SLOT;
        self.last.as_ref().is_none_or(due)
    }

    /// Adds a step of what there is between the last reading and this one; returns the flows of each uplink that have
    /// outlived a failure meanwhile.
    pub(super) fn read(&mut self, reading: &Reading) -> Vec<(String, u64)> {
        let before = self.last.replace(reading.clone());
        let Some(before) = before.filter(|before| reading.at > before.at) else {
            // The clock was set back: what seems to be to come would be in the way.
            let is_past = |slot: &Slot| slot.at < reading.at;
            self.slots.retain(is_past);
            self.minutes.retain(is_past);
            self.gathered.clear();
            return Vec::new();
        };
        let seconds = (reading.at - before.at) as f32 / 1e3;
        let mut slot = Slot { at: reading.at, points: [None; MAX_UPLINKS] };
        let mut survivors = Vec::new();
        for now in &reading.uplinks {
            let Some(then) = before.uplinks.iter().find(|then| then.name == now.name) else {
                continue;
            };
            // They are counted anew where another process began.
            let rate = |now: u64, then: u64| now.saturating_sub(then) as f32 * 8.0 / seconds;
            if let Some(place) = self.place(&now.name, reading.at) {
                slot.points[place] = Some(Point {
                    received: rate(now.received, then.received),
                    sent: rate(now.sent, then.sent),
                    rtt: now.rtt,
                });
            }
            match now.survivors.saturating_sub(then.survivors) {
                0 => {}
                flows => survivors.push((now.name.clone(), flows)),
            }
        }
        self.push(slot);
        survivors
    }

    /// Returns the place of an uplink; none where there are too many.
    fn place(&mut self, name: &str, at: Millis) -> Option<usize> {
        if let Some(place) = self.names.iter().position(|(known, _)| known == name) {
            self.names[place].1 = at;
            return Some(place);
        }
        if self.names.len() < MAX_UPLINKS {
            self.names.push((name.to_owned(), at));
            return Some(self.names.len() - 1);
        }
        // That of an uplink of which nothing is kept any more.
        let oldest = self.minutes.front().map_or(0, |slot| slot.at);
        let place = self.names.iter().position(|(_, last)| *last < oldest)?;
        self.names[place] = (name.to_owned(), at);
        Some(place)
    }

    fn push(&mut self, slot: Slot) {
        let minute = slot.at / MINUTE;
        if self.gathered.first().is_some_and(|first| first.at / MINUTE != minute) {
            let gathered = std::mem::take(&mut self.gathered);
            push_bounded(&mut self.minutes, whole(&gathered), MAX_MINUTES);
        }
        self.gathered.push(slot.clone());
        push_bounded(&mut self.slots, slot, MAX_SLOTS);
    }

    /// Returns the last step.
    pub(in crate::web) fn last_slot(&self) -> Option<SlotRow> {
        self.slots.back().map(|slot| self.row(slot))
    }

    /// Returns the last whole minute.
    pub(in crate::web) fn last_minute(&self) -> Option<SlotRow> {
        self.minutes.back().map(|slot| self.row(slot))
    }

    fn row(&self, slot: &Slot) -> SlotRow {
        let points = self.names.iter().zip(&slot.points);
        let row = points.filter_map(|((name, _), point)| {
            let point = (*point)?;
            Some((name.clone(), (point.received as u64, point.sent as u64, point.rtt.map(tenths))))
        });
        (slot.at, row.collect())
    }

    /// Returns the hour.
    pub(in crate::web) fn hour(&self) -> Columns {
        self.columns(&self.slots, SLOT)
    }

    /// Returns the day.
    pub(in crate::web) fn day(&self) -> Columns {
        self.columns(&self.minutes, MINUTE)
    }

    fn columns(&self, slots: &VecDeque<Slot>, step_ms: Millis) -> Columns {
        let of = |place: usize| {
            let mut column = Column::default();
            for point in slots.iter().map(|slot| slot.points[place]) {
                column.received.push(point.map(|point| point.received as u64));
                column.sent.push(point.map(|point| point.sent as u64));
                column.rtt.push(point.and_then(|point| point.rtt).map(tenths));
            }
            column
        };
        let uplinks = self.names.iter().enumerate();
        let uplinks = uplinks.map(|(place, (name, _))| (name.clone(), of(place))).collect();
        Columns { step_ms, at: slots.iter().map(|slot| slot.at).collect(), uplinks }
    }
}

fn push_bounded(slots: &mut VecDeque<Slot>, slot: Slot, bound: usize) {
    if slots.len() == bound {
        slots.pop_front();
    }
    slots.push_back(slot);
}

/// Returns a minute: the mean of the rates, and the longest of the delays, which is what somebody looks for.
fn whole(gathered: &[Slot]) -> Slot {
    let at = gathered.last().map_or(0, |slot| slot.at);
    let mut points = [None; MAX_UPLINKS];
    for (place, whole) in points.iter_mut().enumerate() {
        let of: Vec<Point> = gathered.iter().filter_map(|slot| slot.points[place]).collect();
        let mean = |rate: fn(&Point) -> f32| of.iter().map(rate).sum::<f32>() / of.len() as f32;
        if !of.is_empty() {
            let rtt = of.iter().filter_map(|point| point.rtt).reduce(f32::max);
            *whole = Some(Point { received: mean(|p| p.received), sent: mean(|p| p.sent), rtt });
        }
    }
    Slot { at, points }
}

fn tenths(value: f32) -> f32 {
    (value * 10.0).round() / 10.0
}
