//! The log: what goes into it, and where it goes.

use tracing_subscriber::EnvFilter;

use crate::log_filter;

/// The environment variable with the log filter.
const FILTER_VARIABLE: &str = "THROUGHLINE_LOG";

/// The environment variable with the form of the log: `text`, or `json`.
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

/// Starts logging what a builder says, and returns what puts another filter into place: builders of different forms
/// have different types.
macro_rules! start {
    ($builder:expr) => {{
        let subscriber = $builder.with_filter_reloading();
        let handle = subscriber.reload_handle();
        subscriber.try_init().map_err(|error| format!("logging cannot be started: {error}"))?;
        let replace =
            move |filter: EnvFilter| handle.reload(filter).map_err(|error| error.to_string());
        Box::new(replace) as Replace
    }};
}

/// Returns whether the environment wants lines of JSON.
fn wants_json() -> Result<bool, String> {
    match std::env::var(FORMAT_VARIABLE).unwrap_or_default().as_str() {
        "" | "text" => Ok(false),
        "json" => Ok(true),
        other => {
            Err(format!("{FORMAT_VARIABLE}={other} is not a form of the log; write text or json"))
        }
    }
}

/// Starts logging to stderr, filtered by the environment variable, else by the default.
pub(crate) fn start_logging() -> Result<LogControl, String> {
    let directives = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let filter = log_filter::parse(&directives).map_err(|error| {
        format!(
            "{FILTER_VARIABLE}={directives} is not a log filter ({error}); write one like info, \
             or throughline=debug"
        )
    })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let replace = match wants_json()? {
        // What an event concerns is in its own fields.
        true => start!(builder.json().flatten_event(true).with_span_list(false)),
        false => {
            let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
            start!(builder.with_ansi(is_terminal))
        }
    };
    Ok(LogControl { replace, by_environment: !directives.is_empty() })
}
