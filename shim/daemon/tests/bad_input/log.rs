//! The log of this program's nodes, at the daemon's default level.

use std::io;
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use tracing_subscriber::fmt::MakeWriter;

static LINES: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static INIT: Once = Once::new();

#[derive(Clone)]
struct Capture;

impl io::Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Capture {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Starts to capture the log.
pub(crate) fn capture() {
    INIT.call_once(|| {
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
            .with_ansi(false)
            .with_writer(Capture)
            .init();
    });
}

/// Returns the whole log.
pub(crate) fn text() -> String {
    String::from_utf8_lossy(&LINES.lock().unwrap()).into_owned()
}

/// Waits for a line that contains all of `parts`.
///
/// Tests run concurrently, so one of the parts has to be the test's own.
pub(crate) async fn expect_line(parts: &[&str]) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let text = text();
        if text.lines().any(|line| parts.iter().all(|part| line.contains(part))) {
            return;
        }
        if Instant::now() >= until {
            let warnings: Vec<&str> = text.lines().filter(|line| line.contains("WARN")).collect();
            let last = warnings[warnings.len().saturating_sub(20)..].join("\n");
            panic!("no line with all of {parts:?}; the last warnings:\n{last}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
