//! An event as an entry of the journal, in its native protocol: <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.

use std::fmt::{self, Write};

use throughline_proto::types::printable;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// The longest value in bytes; a longer one ends with `…`. So an entry fits into a datagram.
pub(super) const MAX_VALUE: usize = 8 << 10;

/// The longest entry in bytes. What more fields there are is in its message only.
pub(super) const MAX_ENTRY: usize = 64 << 10;

/// What is before the name of each field of an event.
const PREFIX: &str = "THROUGHLINE_";

/// The longest name that journald takes.
const MAX_NAME: usize = 64;

/// Returns the entry of an event.
pub(super) fn of(event: &Event<'_>) -> Vec<u8> {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let metadata = event.metadata();
    let mut entry = head(*metadata.level(), &(fields.message + &fields.shown));
    put(&mut entry, "TARGET", metadata.target());
    if let (Some(file), Some(line)) = (metadata.file(), metadata.line()) {
        put(&mut entry, "CODE_FILE", file);
        put(&mut entry, "CODE_LINE", &line.to_string());
    }
    for (name, value) in &fields.fields {
        let before = entry.len();
        put(&mut entry, name, value);
        if entry.len() > MAX_ENTRY {
            entry.truncate(before);
        }
    }
    entry
}

/// Returns the entry that tells of entries that were lost.
pub(super) fn of_lost(count: u64) -> Vec<u8> {
    let text = format!("{count} lines of the log were lost here, since journald did not take them");
    let mut entry = head(Level::WARN, &text);
    put(&mut entry, "THROUGHLINE_LOST", &count.to_string());
    entry
}

/// Returns what each entry begins with.
fn head(level: Level, message: &str) -> Vec<u8> {
    let mut entry = Vec::with_capacity(512);
    put(&mut entry, "MESSAGE", message);
    put(&mut entry, "PRIORITY", priority(level));
    put(&mut entry, "SYSLOG_IDENTIFIER", "throughline");
    entry
}

/// Returns the level in the words of syslog (RFC 5424, section 6.2.1): error, warning, informational, debug.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    }
}

/// Appends a field, with the length of its value before it: so nothing in the value can be another field.
fn put(entry: &mut Vec<u8>, name: &str, value: &str) {
    let value = shortened(value);
    entry.extend_from_slice(name.as_bytes());
    entry.push(b'\n');
    entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
    entry.extend_from_slice(value.as_bytes());
    entry.push(b'\n');
}

/// Returns the value as it is shown on one line, and no longer than it may be.
fn shortened(value: &str) -> String {
    let value = printable(value);
    if value.len() <= MAX_VALUE {
        return value.into_owned();
    }
    let end = value.floor_char_boundary(MAX_VALUE - '…'.len_utf8());
    format!("{}…", &value[..end])
}

/// The fields of an event: its message, the others as they are shown behind it, and each with the name that it has in
/// the journal.
#[derive(Default)]
struct Fields {
    message: String,
    shown: String,
    fields: Vec<(String, String)>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: String) {
        let _ = write!(self.shown, " {}={value}", field.name());
        self.fields.push((name(field.name()), value));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "message" => self.message = value,
            _ => self.add(field, value),
        }
    }
}

/// Returns a field's name in the journal: capitals, digits and underscores are allowed.
fn name(field: &str) -> String {
    let allowed = |c: char| match c.is_ascii_alphanumeric() {
        true => c.to_ascii_uppercase(),
        false => '_',
    };
    PREFIX.chars().chain(field.chars().map(allowed)).take(MAX_NAME).collect()
}
