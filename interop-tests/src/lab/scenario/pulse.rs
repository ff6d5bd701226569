//! How far the machine itself can be believed: a thread that wakes every millisecond, and how late
//! it was.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long it sleeps each time: short beside the gaps that are measured.
const WAKE_INTERVAL: Duration = Duration::from_millis(1);
/// Lateness below this is common on an idle machine and not kept.
const LEAST_LATENESS: Duration = Duration::from_millis(2);

/// The running thread.
pub(super) struct Pulse {
    late: Arc<Mutex<Vec<(Instant, Duration)>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    pub(super) fn start() -> Self {
        let (late, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen, ends) = (Arc::clone(&late), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let begun = Instant::now();
                std::thread::sleep(WAKE_INTERVAL);
                let late = begun.elapsed().saturating_sub(WAKE_INTERVAL);
                if late > LEAST_LATENESS {
                    seen.lock().unwrap_or_else(|e| e.into_inner()).push((Instant::now(), late));
                }
            }
        });
        Self { late, stop, thread: Some(thread) }
    }

    /// Returns the latest that it was between two times.
    pub(super) fn worst(&self, from: Instant, to: Instant) -> Duration {
        let late = self.late.lock().unwrap_or_else(|e| e.into_inner());
        let inside = late.iter().filter(|(at, late)| *at >= from && *at - *late <= to);
        inside.map(|(_, late)| *late).max().unwrap_or_default()
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
