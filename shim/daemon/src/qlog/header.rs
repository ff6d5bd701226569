//! The first record of a file: what the others are. QUIC's library knows of a connection neither which lane it is, nor
//! which end it is seen from, nor what time it was; a reader of the file wants to.

use serde_json::{Value, json};

use crate::admin::QlogAnswer;

/// What precedes each record (RFC 7464 §2).
const RECORD: char = '\u{1e}';

/// Returns the first record with what is known of the lane; as it is where it is none that is understood.
pub(super) fn complete(record: &str, peer: &str, lane: &QlogAnswer) -> String {
    let mut header: Value = match serde_json::from_str(record.trim_start_matches(RECORD).trim()) {
        Ok(header @ Value::Object(_)) => header,
        _ => return record.to_owned(),
    };
    let end = if lane.dialed { "client" } else { "server" };
    let over = lane.uplink.as_deref().map_or_else(String::new, |uplink| format!(" over {uplink}"));
    let title = format!("lane l{} to {peer}{over}", lane.lane);
    let (local, remote, session) = (lane.local, lane.remote, &lane.session);
    let description = format!("{local} to {remote}, session {session}");
    let reference = json!({
        "reference_time": lane.began_ms, "time_format": "relative", "protocol_type": ["QUIC"],
    });
    header["title"] = title.clone().into();
    header["description"] = description.clone().into();
    if let Some(trace) = header.get_mut("trace").and_then(Value::as_object_mut) {
        trace.insert("title".to_owned(), title.into());
        trace.insert("description".to_owned(), description.into());
        trace.insert("vantage_point".to_owned(), json!({ "name": "throughline", "type": end }));
        trace.insert("common_fields".to_owned(), reference);
    }
    format!("{RECORD}{header}\n")
}

/// Returns a record that says something to whoever reads the file, after the last of these `records`.
pub(super) fn remark(records: &str, text: &str) -> String {
    let last = records.rsplit(RECORD).find_map(|record| serde_json::from_str(record.trim()).ok());
    let time = last.as_ref().and_then(|last: &Value| last.get("time")).cloned();
    let time = time.unwrap_or_else(|| json!(0.0));
    let remark = json!({ "time": time, "name": "loglevel:warning", "data": { "message": text } });
    format!("{RECORD}{remark}\n")
}
