//! The log: what goes into it, and where it goes.

use tracing_subscriber::EnvFilter;

/// The environment variable with the log filter.
const FILTER_VARIABLE: &str = "THROUGHLINE_LOG";

/// The log filter if the variable is not set.
///
/// Other libraries log errors only: they warn about what we report in our own words, such as a
/// handshake that failed.
const DEFAULT_FILTER: &str = "error,throughline=info";

/// Starts logging to stderr, filtered by the environment variable, else by [`DEFAULT_FILTER`].
pub(crate) fn start_logging() -> Result<(), String> {
    let directives = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    tracing_subscriber::fmt()
        .with_env_filter(filter(&directives)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .try_init()
        .map_err(|error| format!("logging cannot be started: {error}"))
}

/// Returns the filter for `directives`; the default one if there are none.
fn filter(directives: &str) -> Result<EnvFilter, String> {
    if directives.is_empty() {
        return Ok(EnvFilter::new(DEFAULT_FILTER));
    }
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        format!(
            "{FILTER_VARIABLE}={directives} is not a log filter ({error}); write one like info, \
             or throughline=debug"
        )
    })?;
    // fast-socks5 logs passwords at DEBUG, which no filter may enable.
    Ok(match "fast_socks5=info".parse() {
        Ok(quiet) => filter.add_directive(quiet),
        Err(_) => filter,
    })
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing::{debug, error, info, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Returns the numbers of the lines that a filter lets through.
    fn logged(directives: &str) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(directives).unwrap())
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            error!(target: "quinn_udp", "<1>");
            warn!(target: "quinn_udp", "<2>");
            info!(target: "throughline::engine", "<3>");
            debug!(target: "throughline::engine", "<4>");
            debug!(target: "fast_socks5::server", "<5>");
        });
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        (1..=5).filter(|n| text.contains(&format!("<{n}>"))).map(|n| n.to_string()).collect()
    }

    #[test]
    fn libraries_log_errors_only_by_default_and_passwords_never() {
        assert_eq!(logged(""), "13");
        assert_eq!(logged("info"), "123");
        assert_eq!(logged("throughline=debug"), "34");
        assert_eq!(logged("trace"), "1234");
    }
}
