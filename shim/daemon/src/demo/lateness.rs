//! How late this machine is itself: whatever it has no time for waits, and that is no failure of an ISP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a thread sleeps that looks by how much later it wakes up.
const NAP: Duration = Duration::from_millis(5);

/// A thread that does nothing but sleep, and knows by how much too long at the worst.
pub(super) struct Lateness {
    is_over: Arc<AtomicBool>,
    sleeper: JoinHandle<Duration>,
}

impl Lateness {
    pub(super) fn watch() -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let end = is_over.clone();
        let sleeper = std::thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !end.load(Ordering::Relaxed) {
                let began = Instant::now();
                std::thread::sleep(NAP);
                worst = worst.max(began.elapsed().saturating_sub(NAP));
            }
            worst
        });
        Self { is_over, sleeper }
    }

    /// Returns by how much this machine was late at the worst.
    pub(super) fn worst(self) -> Duration {
        self.is_over.store(true, Ordering::Relaxed);
        self.sleeper.join().unwrap_or_default()
    }
}
