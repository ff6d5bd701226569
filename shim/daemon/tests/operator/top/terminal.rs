//! A terminal, of which a program is the only one: what it shows, and how it was left.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use throughline_fixture::{DEADLINE, POLL_INTERVAL};
use tokio::process::{Child, Command};

/// A program in a terminal of its own.
pub(crate) struct Terminal {
    child: Child,
    /// The end of whoever looks and types.
    outside: File,
    inside: OwnedFd,
    modes_before: LocalModes,
    shown: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// Starts the built program with these arguments.
    pub(crate) fn start(args: &[&str], (width, height): (u16, u16)) -> Self {
        let outside =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&outside).unwrap();
        unlockpt(&outside).unwrap();
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let inside = ioctl_tiocgptpeer(&outside, flags).unwrap();
        tcsetwinsize(&outside, winsize(width, height)).unwrap();
        let stdio = || Stdio::from(inside.try_clone().unwrap());
        let modes_before = tcgetattr(&inside).unwrap().local_modes;
        // As its controlling terminal: else it would not be told of another size.
        let mut command = Command::new("setsid");
        command.args(["--ctty", env!("CARGO_BIN_EXE_throughline")]).args(args);
        command.env("TERM", "xterm-256color").kill_on_drop(true);
        command.stdin(stdio()).stdout(stdio()).stderr(stdio());
        let child = command.spawn().unwrap();
        let shown = Arc::new(Mutex::new(vt100::Parser::new(nonzero(height), nonzero(width), 0)));
        let (outside, screen) = (File::from(outside), shown.clone());
        let mut reads = outside.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 65_536];
            // An error once the program and the test have closed the other end.
            while let Ok(len) = reads.read(&mut bytes) {
                screen.lock().process(&bytes[..len]);
            }
        });
        Self { child, outside, inside, modes_before, shown }
    }

    pub(crate) fn text(&self) -> String {
        self.shown.lock().screen().contents()
    }

    /// Waits until the screen is so; returns how long that took.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> Duration {
        let began = Instant::now();
        while !is_so(&self.text()) {
            assert!(began.elapsed() < DEADLINE, "{what} is not shown:\n{}", self.text());
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        began.elapsed()
    }

    /// Waits until the screen has this; returns how long that took.
    pub(crate) async fn shows(&self, text: &str) -> Duration {
        self.until(text, |screen| screen.contains(text)).await
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.outside.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn resize(&self, width: u16, height: u16) {
        self.shown.lock().screen_mut().set_size(nonzero(height), nonzero(width));
        tcsetwinsize(&self.outside, winsize(width, height)).unwrap();
    }

    pub(crate) fn id(&self) -> i32 {
        self.child.id().unwrap().try_into().unwrap()
    }

    /// Waits for the program's end, which has to leave the terminal as it was; returns whether it succeeded.
    pub(crate) async fn ends(mut self) -> bool {
        let status = tokio::time::timeout(DEADLINE, self.child.wait())
            .await
            .expect("it does not end")
            .unwrap();
        assert_eq!(
            tcgetattr(&self.inside).unwrap().local_modes,
            self.modes_before,
            "the modes are not as before"
        );
        self.until("the former screen", |_| {
            let shown = self.shown.lock();
            !shown.screen().alternate_screen() && !shown.screen().hide_cursor()
        })
        .await;
        status.success()
    }
}

fn nonzero(number: u16) -> NonZeroU16 {
    NonZeroU16::new(number).unwrap()
}

fn winsize(width: u16, height: u16) -> Winsize {
    Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 }
}
