//! The log: what goes into it, and where it goes.

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, reload};

use crate::journal::{self, Journal};
use crate::log_filter;

/// The environment variable with the log filter.
const FILTER_VARIABLE: &str = "THROUGHLINE_LOG";

/// The environment variable with the form of the log: `text`, `json` or `journal`.
const FORMAT_VARIABLE: &str = "THROUGHLINE_LOG_FORMAT";

/// Puts another filter into place.
type Replace = Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>;

/// What is logged, while the program runs.
pub(crate) struct LogControl {
    replace: Replace,
    /// The environment says what is logged, and nobody else.
    by_environment: bool,
}

impl LogControl {
    /// Logs what the configuration says from now on, unless the environment says what is logged.
    pub(crate) fn set(&self, configured: Option<&str>) -> Result<(), String> {
        if self.by_environment {
            return Ok(());
        }
        let filter = log_filter::parse(configured.unwrap_or_default());
        (self.replace)(filter.map_err(|error| error.to_string())?)
    }
}

/// Where the log goes, and in which form.
enum Format {
    /// Lines on stderr.
    Text,
    /// Lines of JSON on stderr.
    Json,
    Journal(Journal),
}

impl Format {
    /// Returns what the environment says; without a word of it the journal, where stderr leads there anyway.
    fn of_environment() -> Result<Self, String> {
        match std::env::var(FORMAT_VARIABLE).unwrap_or_default().as_str() {
            // A journal that cannot be opened still reads what is written to stderr.
            "" if journal::has_stderr() => Ok(Journal::open().map_or(Self::Text, Self::Journal)),
            "" | "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            "journal" => Journal::open().map(Self::Journal).map_err(|error| {
                format!(
                    "{FORMAT_VARIABLE}=journal, and systemd's journal cannot be reached: {error}; write text or json"
                )
            }),
            other => Err(unknown_format(other)),
        }
    }
}

fn unknown_format(format: &str) -> String {
    format!("{FORMAT_VARIABLE}={format} is not a form of the log; write text, json or journal")
}

/// Starts logging, filtered by the environment variable, else by the default.
pub(crate) fn start_logging() -> Result<LogControl, String> {
    let (filter, by_environment) = environment_filter()?;
    let (filter, handle) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let started = match Format::of_environment()? {
        Format::Journal(journal) => registry.with(journal).try_init(),
        // What an event concerns is in its own fields.
        Format::Json => {
            registry.with(lines.json().flatten_event(true).with_span_list(false)).try_init()
        }
        Format::Text => {
            let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            registry.with(lines.with_ansi(is_terminal)).try_init()
        }
    };
    started.map_err(|error| format!("logging cannot be started: {error}"))?;
    let replace = move |filter| handle.reload(filter).map_err(|error| error.to_string());
    Ok(LogControl { replace: Box::new(replace), by_environment })
}

/// Starts logging lines on stderr, in a process that is to have a single thread.
pub(crate) fn start_logging_to_stderr() -> Result<(), String> {
    let (filter, _) = environment_filter()?;
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let format = std::env::var(FORMAT_VARIABLE).unwrap_or_default();
    let started = match format.as_str() {
        "json" => builder.json().flatten_event(true).with_span_list(false).try_init(),
        // The journal takes a thread.
        "" | "text" | "journal" => builder.with_ansi(is_terminal).try_init(),
        other => return Err(unknown_format(other)),
    };
    started.map_err(|error| format!("logging cannot be started: {error}"))
}

/// Returns the filter of the environment, else the default one, and whether it is the environment's.
fn environment_filter() -> Result<(EnvFilter, bool), String> {
    let directives = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let filter = log_filter::parse(&directives).map_err(|error| {
        format!(
            "{FILTER_VARIABLE}={directives} is not a log filter ({error}); write one like info, \
             or throughline=debug"
        )
    })?;
    Ok((filter, !directives.is_empty()))
}
