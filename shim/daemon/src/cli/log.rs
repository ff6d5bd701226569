//! The log: what goes into it, and where it goes.

use tracing_subscriber::EnvFilter;

use crate::log_filter;

/// The environment variable with the log filter.
const FILTER_VARIABLE: &str = "THROUGHLINE_LOG";

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

/// Starts logging to stderr, filtered by the environment variable, else by the default.
pub(crate) fn start_logging() -> Result<LogControl, String> {
    let directives = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let filter = log_filter::parse(&directives).map_err(|error| {
        format!(
            "{FILTER_VARIABLE}={directives} is not a log filter ({error}); write one like info, \
             or throughline=debug"
        )
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_filter_reloading();
    let handle = subscriber.reload_handle();
    subscriber.try_init().map_err(|error| format!("logging cannot be started: {error}"))?;
    let replace = move |filter| handle.reload(filter).map_err(|error| error.to_string());
    Ok(LogControl { replace: Box::new(replace), by_environment: !directives.is_empty() })
}
