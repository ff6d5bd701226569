//! Events as JSON: what `throughline events --json` prints, one object a line.
//!
//! A stable mirror of [`Event`]: fields are added, never renamed or removed. Every event has `seq`,
//! `time`, `event` and `text`; `peer`, `session`, `lane` and `uplink` are `null` where it concerns
//! none; the fields of its kind are what [`EventKind::fields`](throughline::EventKind::fields) says.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use throughline::{Event, FieldValue};

/// An event as JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventReport {
    /// Its number since the start of the daemon; there are no gaps.
    pub seq: u64,
    /// The time in UTC, with milliseconds (RFC 3339).
    pub time: String,
    /// The kind of event: `lane-up`, `lane-suspected`, ….
    pub event: String,
    /// The peer's name in the configuration.
    pub peer: Option<String>,
    /// The session's id, 32 hexadecimal digits.
    pub session: Option<String>,
    /// The lane's number in the session.
    pub lane: Option<u64>,
    /// The uplink at this end.
    pub uplink: Option<String>,
    /// The event as a phrase for people.
    pub text: String,
    /// The fields that only some kinds have.
    #[serde(flatten)]
    pub fields: BTreeMap<String, Value>,
}

impl EventReport {
    /// Returns a field that only some kinds have; `null` where this event has none.
    pub fn field(&self, key: &str) -> &Value {
        self.fields.get(key).unwrap_or(&Value::Null)
    }
}

impl From<&Event> for EventReport {
    fn from(event: &Event) -> Self {
        Self {
            seq: event.seq,
            time: humantime::format_rfc3339_millis(event.at).to_string(),
            event: event.kind.name().to_owned(),
            peer: event.peer.as_ref().map(ToString::to_string),
            session: event.session.map(|id| format!("{:032x}", id.0)),
            lane: event.lane.map(|id| id.0),
            uplink: event.uplink.clone(),
            text: event.kind.to_string(),
            fields: event.kind.fields().map(|(key, value)| (key.to_owned(), json(value))).collect(),
        }
    }
}

fn json(value: FieldValue) -> Value {
    match value {
        FieldValue::Bool(value) => value.into(),
        FieldValue::Integer(value) => value.into(),
        FieldValue::Millis(value) => value.into(),
        FieldValue::Lanes(value) => value.into(),
        other => other.to_string().into(),
    }
}

/// Formats the event as a line for people: the time, the peer, the lane, the uplink, the event.
impl fmt::Display for EventReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.time)?;
        let lane = self.lane.map(|lane| format!("l{lane}"));
        for word in [&self.peer, &lane, &self.uplink].into_iter().flatten() {
            write!(f, "  {word}")?;
        }
        write!(f, "  {}", self.text)
    }
}
