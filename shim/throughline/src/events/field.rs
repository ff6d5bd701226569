//! The fields of an event as plain values, for JSON and whatever else is not Rust.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::detector::{OneWayDetectedBy, SuspectedBy};
use throughline_proto::types::{LaneId, PeerId};

/// The value of an event's field, from [`EventKind::fields`](super::EventKind::fields).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum FieldValue {
    /// A truth.
    Bool(bool),
    /// A count: of bytes, packets, percent.
    Integer(u64),
    /// A duration in milliseconds; the field's key ends in `_ms`.
    Millis(f64),
    /// An address, a name, a reason.
    Text(String),
    /// Numbers of lanes.
    Lanes(Vec<u64>),
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Integer(value) => write!(f, "{value}"),
            Self::Millis(value) => write!(f, "{value}"),
            Self::Text(value) => f.write_str(value),
            Self::Lanes(value) => write!(f, "{value:?}"),
        }
    }
}

/// Takes a field with its key.
pub(super) type Record<'a> = &'a mut dyn FnMut(&'static str, FieldValue);

/// A type that an event's field can have. One that stands for several fields ignores its key.
pub(super) trait EventField {
    fn record(&self, key: &'static str, record: Record<'_>);
}

/// Fields that are one value.
macro_rules! single_value {
    ($($type:ty: $value:expr;)*) => {
        $(impl EventField for $type {
            fn record(&self, key: &'static str, record: Record<'_>) {
                record(key, $value(self));
            }
        })*
    };
}

single_value! {
    bool: |value: &Self| FieldValue::Bool(*value);
    u64: |value: &Self| FieldValue::Integer(*value);
    Duration: |value: &Self| FieldValue::Millis(value.as_secs_f64() * 1e3);
    String: |value: &Self| FieldValue::Text(value.clone());
    IpAddr: |value: &Self| FieldValue::Text(value.to_string());
    SocketAddr: |value: &Self| FieldValue::Text(value.to_string());
    PeerId: |value: &Self| FieldValue::Text(value.to_string());
    Vec<LaneId>: |value: &Self| FieldValue::Lanes(value.iter().map(|id| id.0).collect());
}

/// The dial of an unreachable peer: `local` and `remote`.
impl EventField for Option<(IpAddr, SocketAddr)> {
    fn record(&self, _: &'static str, record: Record<'_>) {
        if let Some((local, remote)) = self {
            local.record("local", record);
            remote.record("remote", record);
        }
    }
}

/// `detected_by`; at our end also `rule` and `silence_ms`.
impl EventField for SuspectedBy {
    fn record(&self, key: &'static str, record: Record<'_>) {
        match self {
            Self::Us { rule, silence } => {
                record(key, FieldValue::Text("us".to_owned()));
                record("rule", FieldValue::Text(rule.to_string()));
                silence.record("silence_ms", record);
            }
            Self::Peer => record(key, FieldValue::Text("peer".to_owned())),
        }
    }
}

/// `detected_by`; at our end also `received`.
impl EventField for OneWayDetectedBy {
    fn record(&self, key: &'static str, record: Record<'_>) {
        match self {
            Self::Us { received } => {
                record(key, FieldValue::Text("us".to_owned()));
                received.record("received", record);
            }
            Self::Peer => record(key, FieldValue::Text("peer".to_owned())),
        }
    }
}
