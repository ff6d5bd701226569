//! Clocks beside [`std::time::Instant`]: the one that goes on while the machine sleeps, and the
//! one on the wall.
//!
//! `Instant` is CLOCK_MONOTONIC on Linux, which stands still in a suspended machine. A peer's does
//! not: what is promised to it (how long a session lingers) is counted by CLOCK_BOOTTIME. The two
//! drift apart by exactly the time slept, and that is how a sleep is noticed ([`Sleep`]). Time on
//! the wall is for people only; nothing depends on it.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, Timespec, clock_gettime};

#[cfg(any(target_os = "linux", target_os = "android"))]
const BOOT: ClockId = ClockId::Boottime;

/// Elsewhere the monotonic clock does not stand still.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const BOOT: ClockId = ClockId::Monotonic;

/// A gap that is no sleep: the two clocks are read one after the other, on a machine that may be
/// busy.
const LEAST_SLEEP: Duration = Duration::from_millis(500);

/// A moment on the clock that goes on while the machine sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BootTime(Duration);

impl BootTime {
    /// Now.
    pub(crate) fn now() -> Self {
        Self(read(BOOT))
    }

    /// So long ago.
    #[cfg(test)]
    pub(crate) fn ago(time: Duration) -> Self {
        Self(read(BOOT).saturating_sub(time))
    }

    /// The time that has passed since, asleep or awake.
    pub(crate) fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

/// The time on the wall, for people.
#[allow(clippy::disallowed_methods, reason = "told to people; nothing depends on it")]
pub(crate) fn wall() -> SystemTime {
    SystemTime::now()
}

/// Notices that the machine slept.
#[derive(Debug)]
pub(crate) struct Sleep {
    /// How far the clocks were apart when last looked at: the time slept since the boot.
    slept: Duration,
}

impl Sleep {
    /// From now on.
    pub(crate) fn watch() -> Self {
        Self { slept: apart() }
    }

    /// How long the machine has slept since this was last asked, if it has.
    pub(crate) fn noticed(&mut self) -> Option<Duration> {
        self.compare(apart())
    }

    fn compare(&mut self, apart: Duration) -> Option<Duration> {
        let gap = apart.saturating_sub(self.slept);
        if gap < LEAST_SLEEP {
            return None;
        }
        self.slept = apart;
        Some(gap)
    }
}

fn apart() -> Duration {
    // The monotonic clock first, so that a pause in between never looks like less sleep.
    let awake = read(ClockId::Monotonic);
    read(BOOT).saturating_sub(awake)
}

fn read(clock: ClockId) -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    Duration::new(tv_sec.try_into().unwrap_or(0), tv_nsec.try_into().unwrap_or(0))
}

/// Completes when the machine may have slept: look with [`Sleep::noticed`] then.
///
/// On Linux the kernel says so (a timer on the wall clock that is cancelled when that is set, which
/// resuming does); it costs no wakeup. Elsewhere this wakes every 15 s.
pub(crate) async fn may_have_slept() {
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
    fn a_sleep_is_noticed_once_and_a_busy_machine_is_none() {
        let second = Duration::from_secs(1);
        let mut sleep = Sleep { slept: 10 * second };
        assert_eq!(sleep.compare(10 * second + LEAST_SLEEP / 2), None);
        assert_eq!(sleep.compare(3610 * second), Some(3600 * second));
        assert_eq!(sleep.compare(3610 * second), None);
        // The clocks never come closer; if they seem to, nothing has happened.
        assert_eq!(sleep.compare(second), None);
    }

    #[test]
    fn an_awake_machine_notices_no_sleep() {
        let mut sleep = Sleep::watch();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(sleep.noticed(), None);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_alarm_is_armed_and_silent_while_no_clock_is_set() {
        let alarm = alarm::Alarm::new().unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(50), alarm.cancelled()).await;
        waited.unwrap_err();
    }
}
