//! What is logged, and where to.

use tracing_subscriber::EnvFilter;

/// The variable that says what is logged.
const LOG_VARIABLE: &str = "THROUGHLINE_LOG";

/// What is logged where it says nothing. A library warns in words of its own of what we say in ours
/// (a packet that could not be sent, a handshake that failed), so of these errors only.
const LOGGED: &str = "error,throughline=info";

/// Logs go to stderr, at the levels that the variable sets, else as in [`LOGGED`].
pub(crate) fn start_logging() -> Result<(), String> {
    let wanted = std::env::var(LOG_VARIABLE).unwrap_or_default();
    tracing_subscriber::fmt()
        .with_env_filter(filter(&wanted)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .try_init()
        .map_err(|error| format!("Logging cannot be started: {error}."))
}

/// The filter that `wanted` asks for.
fn filter(wanted: &str) -> Result<EnvFilter, String> {
    if wanted.is_empty() {
        return Ok(EnvFilter::new(LOGGED));
    }
    let filter = EnvFilter::try_new(wanted)
        .map_err(|error| format!("{LOG_VARIABLE}={wanted} is no log filter: {error}."))?;
    // fast-socks5 logs passwords at DEBUG; whatever is asked for, that is not.
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
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Which of some lines, each with a number, a filter lets through.
    fn logged(wanted: &str) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter(wanted).unwrap())
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            error!(target: "quinn_udp", "<1>");
            warn!(target: "quinn_udp", "<2>");
            info!(target: "throughline::net", "<3>");
            debug!(target: "throughline::net", "<4>");
            debug!(target: "fast_socks5::server", "<5>");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        (1..=5).filter(|n| text.contains(&format!("<{n}>"))).map(|n| n.to_string()).collect()
    }

    #[test]
    fn a_library_is_heard_at_errors_only_unless_more_is_asked_for_and_a_password_never() {
        assert_eq!(logged(""), "13");
        assert_eq!(logged("info"), "123");
        assert_eq!(logged("throughline=debug"), "34");
        assert_eq!(logged("trace"), "1234");
    }
}
