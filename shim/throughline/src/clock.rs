//! Clocks beside [`std::time::Instant`]: the one that goes on while the system is suspended, and the
//! wall clock.
//!
//! `Instant` is CLOCK_MONOTONIC on Linux, which stands still in a suspended machine. A peer's does
//! not: what is promised to it (how long a session lingers) is counted by CLOCK_BOOTTIME. The two
//! drift apart by exactly the time suspended, and that is how a suspension is noticed
//! ([`SuspendDetector`]). Time on
//! the wall is for people only; nothing depends on it.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, Timespec, clock_gettime};

#[cfg(any(target_os = "linux", target_os = "android"))]
const BOOT: ClockId = ClockId::Boottime;

/// Elsewhere the monotonic clock does not stand still.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BOOT: ClockId = ClockId::Monotonic;

/// A shorter gap between the clocks is no suspension: they are read one after the other, on a machine
/// that may be busy.
const MIN_SUSPENSION: Duration = Duration::from_millis(500);

/// A moment on the clock that goes on while the system is suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BootTime(Duration);

impl BootTime {
    /// Returns the time now.
    pub(crate) fn now() -> Self {
        Self(read(BOOT))
    }

    /// Returns the time that long ago.
    pub(crate) fn ago(time: Duration) -> Self {
        Self(read(BOOT).saturating_sub(time))
    }

    /// Returns the time that has passed since, suspended or not.
    pub(crate) fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

/// Returns the wall-clock time, for people.
#[allow(clippy::disallowed_methods, reason = "shown to people; nothing depends on it")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// Notices that the system was suspended.
#[derive(Debug)]
pub(crate) struct SuspendDetector {
    /// The difference of the clocks when they were last compared: the time suspended since the boot.
    known: Duration,
}

impl SuspendDetector {
    /// Detects suspensions from now on.
    pub(crate) fn new() -> Self {
        Self { known: clock_difference() }
    }

    /// Returns for how long the system was suspended since the last call, if it was.
    pub(crate) fn suspended_for(&mut self) -> Option<Duration> {
        self.compare(clock_difference())
    }

    fn compare(&mut self, difference: Duration) -> Option<Duration> {
        let gap = difference.saturating_sub(self.known);
        if gap < MIN_SUSPENSION {
            return None;
        }
        self.known = difference;
        Some(gap)
    }
}

fn clock_difference() -> Duration {
    // The monotonic clock first, so that a pause in between never looks like a shorter suspension.
    let awake = read(ClockId::Monotonic);
    read(BOOT).saturating_sub(awake)
}

fn read(clock: ClockId) -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    Duration::new(tv_sec.try_into().unwrap_or(0), tv_nsec.try_into().unwrap_or(0))
}

/// Completes when the system may have been suspended; [`SuspendDetector::suspended_for`] tells whether
/// it was.
///
/// On Linux the kernel reports it (a timer on the wall clock that is cancelled when that is set, which
/// resuming does); it costs no wakeup. Elsewhere this wakes every 15 s.
pub(crate) async fn may_have_been_suspended() {
    #[cfg(target_os = "linux")]
    if let Ok(alarm) = alarm::Alarm::new() {
        return alarm.cancelled().await;
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
}

#[cfg(target_os = "linux")]
mod alarm {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::io::Errno;
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    /// The year 2100: the timer is there to be cancelled, not to fire.
    const NEVER: Timespec = Timespec { tv_sec: 4_102_444_800, tv_nsec: 0 };

    /// A timer that is cancelled when the wall clock is set.
    pub(super) struct Alarm(AsyncFd<OwnedFd>);

    impl Alarm {
        #[allow(
            deprecated,
            reason = "unsound only for a type whose descriptor changes, which an OwnedFd's does not; \
                      its replacement is unsafe"
        )]
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            let when = Itimerspec { it_interval: zero, it_value: NEVER };
            let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
            timerfd_settime(&timer, flags, &when)?;
            Ok(Self(AsyncFd::with_interest(timer, Interest::READABLE)?))
        }

        pub(super) async fn cancelled(self) {
            loop {
                let Ok(mut ready) = self.0.readable().await else { return };
                let mut count = [0; 8];
                match rustix::io::read(ready.get_inner(), &mut count) {
                    Err(Errno::AGAIN) => ready.clear_ready(),
                    // ECANCELED is what we wait for; whatever else it is, a look costs nothing.
                    _ => return,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_passes_like_any_other_while_awake() {
        let then = BootTime::now();
        std::thread::sleep(Duration::from_millis(20));
        let passed = then.elapsed();
        assert!(
            (Duration::from_millis(20)..Duration::from_secs(5)).contains(&passed),
            "{passed:?}"
        );
    }

    #[test]
    fn a_suspension_is_noticed_once_and_a_busy_machine_is_none() {
        let secs = Duration::from_secs;
        let mut detector = SuspendDetector { known: secs(10) };
        assert_eq!(detector.compare(secs(10) + MIN_SUSPENSION / 2), None);
        assert_eq!(detector.compare(secs(3610)), Some(secs(3600)));
        assert_eq!(detector.compare(secs(3610)), None);
        // The clocks never come closer; if they seem to, nothing has happened.
        assert_eq!(detector.compare(secs(1)), None);
    }

    #[test]
    fn a_machine_that_runs_notices_no_suspension() {
        let mut detector = SuspendDetector::new();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(detector.suspended_for(), None);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_alarm_is_armed_and_silent_while_no_clock_is_set() {
        let alarm = alarm::Alarm::new().unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(50), alarm.cancelled()).await;
        waited.unwrap_err();
    }
}
