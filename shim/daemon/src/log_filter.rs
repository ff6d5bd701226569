//! Which lines are logged: the filter that the environment or the configuration names.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// The filter where nothing names one.
///
/// Other libraries log errors only: they warn about what we report in our own words, such as a
/// handshake that failed.
const DEFAULT_FILTER: &str = "error,throughline=info";

/// Returns the filter for `directives`; the default one if there are none.
///
/// # Errors
/// They are not a filter.
pub(crate) fn parse(directives: &str) -> Result<EnvFilter, ParseError> {
    if directives.is_empty() {
        return Ok(EnvFilter::new(DEFAULT_FILTER));
    }
    let filter = EnvFilter::try_new(directives)?;
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
            .with_env_filter(parse(directives).unwrap())
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
