//! `throughline top`: what a daemon does, as it does it.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::daemon::DaemonArgs;
use super::output::fail_as;
use crate::admin::{self, AdminError, UplinkChange};
use crate::catalogue::Code;
use crate::report::Detail;
use crate::top::board::Board;
use crate::top::feed::{Answered, follow};
use crate::top::screen::{Action, Change, Key, Screen};
use crate::top::view;

/// How often a thread looks whether it is to end, between keys.
const KEY_POLL: Duration = Duration::from_millis(200);

/// Keys that wait for their turn; more are dropped.
const MAX_KEYS: usize = 64;

/// Answers that wait to be drawn; then no more are asked for.
const MAX_ANSWERS: usize = 2;

/// Which daemon.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Which daemon.
    #[command(flatten)]
    pub daemon: DaemonArgs,
}

pub(super) async fn execute(args: TopArgs) -> ExitCode {
    let path = match args.daemon.socket_path() {
        Ok(path) => path,
        Err(code) => return code,
    };
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let reason = "`top` draws on a terminal; `throughline status` prints the same once";
        return fail_as(Code::NoTerminal, reason);
    }
    // Whatever ends this from here on restores the terminal; a panic does by the hook that this sets.
    let outcome = match ratatui::try_init() {
        Ok(terminal) => run(terminal, &path).await,
        Err(error) => Err(error),
    };
    ratatui::restore();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail_as(Code::NoTerminal, format!("the terminal cannot be used: {error}")),
    }
}

async fn run(terminal: DefaultTerminal, path: &Path) -> io::Result<()> {
    let ends = Ends::new()?;
    let (answers, received) = mpsc::channel(MAX_ANSWERS);
    // All in one task: a panic in any of them ends the others.
    tokio::select! {
        outcome = draw(terminal, path, received, ends) => outcome,
        () = follow(path, Detail::Lanes, answers.clone()) => Ok(()),
        () = follow(path, Detail::Flows, answers.clone()) => Ok(()),
    }
}

async fn draw(
    mut terminal: DefaultTerminal,
    path: &Path,
    mut answers: mpsc::Receiver<Answered>,
    mut ends: Ends,
) -> io::Result<()> {
    let (done, mut changed) = mpsc::channel(MAX_KEYS);
    let mut watched = Watched::new(path.to_owned(), done);
    let mut keys = read_keys();
    terminal.draw(|frame| watched.draw(frame))?;
    loop {
        tokio::select! {
            Some((detail, answer)) = answers.recv() => watched.take(detail, answer),
            Some(message) = changed.recv() => watched.message = Some(message),
            key = keys.recv() => match key {
                Some(Some(key)) if watched.press(key) => return Ok(()),
                // Another size: it is drawn anew.
                Some(_) => {}
                // The terminal is gone.
                None => return Ok(()),
            },
            () = ends.next() => return Ok(()),
        }
        terminal.draw(|frame| watched.draw(frame))?;
    }
}

/// The signals that end it.
struct Ends([Signal; 4]);

impl Ends {
    fn new() -> io::Result<Self> {
        let of = |kind: SignalKind| signal(kind);
        Ok(Self([
            of(SignalKind::terminate())?,
            of(SignalKind::interrupt())?,
            of(SignalKind::hangup())?,
            of(SignalKind::quit())?,
        ]))
    }

    async fn next(&mut self) {
        let [terminate, interrupt, hangup, quit] = &mut self.0;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
            _ = quit.recv() => {}
        }
    }
}

/// A daemon, as it was last seen.
struct Watched {
    path: PathBuf,
    board: Board,
    screen: Screen,
    message: Option<String>,
    /// Whether it has ever answered.
    is_known: bool,
    /// Since when it has not answered, and why.
    silent: Option<(Instant, String)>,
    /// Where changes say what came of them.
    done: mpsc::Sender<String>,
}

impl Watched {
    fn new(path: PathBuf, done: mpsc::Sender<String>) -> Self {
        let (board, screen) = (Board::default(), Screen::default());
        Self { path, board, screen, message: None, is_known: false, silent: None, done }
    }

    fn take(&mut self, detail: Detail, answer: Result<crate::report::Report, AdminError>) {
        let now = Instant::now();
        match (detail, answer) {
            (Detail::Lanes, Ok(report)) => {
                (self.is_known, self.silent) = (true, None);
                self.board.take_lanes(&report, now);
            }
            (Detail::Flows, Ok(report)) => self.board.take_flows(&report, now),
            (Detail::Lanes, Err(error)) => {
                let (since, _) = self.silent.get_or_insert((now, String::new()));
                self.silent = Some((*since, reason(&error)));
            }
            // The other question is asked more often, and says so.
            (Detail::Flows, Err(_)) => {}
        }
    }

    /// Takes a key; returns whether that is the end.
    fn press(&mut self, key: Key) -> bool {
        self.message = None;
        match self.screen.press(key, &self.board) {
            None => {}
            Some(Action::Quit) => return true,
            Some(Action::Hint(hint)) => self.message = Some(hint.to_owned()),
            Some(Action::Change(change)) => {
                self.message = Some(format!("asking the daemon about {} …", change.uplink));
                // It may take seconds, in which the screen goes on.
                tokio::spawn(apply(self.path.clone(), change, self.done.clone()));
            }
        }
        false
    }

    fn draw(&mut self, frame: &mut ratatui::Frame<'_>) {
        let path = self.path.display();
        let silence = match &self.silent {
            None if self.is_known => None,
            None => Some(format!("waiting for the daemon at {path}")),
            Some((since, reason)) if self.is_known => Some(format!(
                "the daemon does not answer at {path} for {} s ({reason}), so what is shown is old; it is asked again \
                 twice a second",
                since.elapsed().as_secs()
            )),
            Some((since, reason)) => Some(format!(
                "waiting for the daemon at {path} for {} s ({reason}); it is asked twice a second, until q",
                since.elapsed().as_secs()
            )),
        };
        view::draw(
            frame,
            &self.board,
            &mut self.screen,
            self.message.as_deref(),
            silence.as_deref(),
        );
    }
}

/// Returns why a daemon does not answer, for whoever sees where it should.
fn reason(error: &AdminError) -> String {
    match error {
        AdminError::NotRunning { source, .. } | AdminError::PermissionDenied { source, .. } => {
            source.to_string()
        }
        AdminError::InvalidAnswer { reason, .. } => reason.clone(),
        other => other.to_string(),
    }
}

/// Has an uplink drained or used again, and says what came of it.
async fn apply(path: PathBuf, Change { uplink, change, .. }: Change, done: mpsc::Sender<String>) {
    let said = match admin::change_uplink(&path, &uplink, change).await {
        Ok(answer) => answer.warning.unwrap_or(match change {
            UplinkChange::Drain => format!("{uplink} is drained; r puts it back into use"),
            UplinkChange::Resume => format!("{uplink} is in use"),
        }),
        Err(error) => error.to_string(),
    };
    // Nobody hears it any more where the program ends.
    let _ = done.send(said).await;
}

/// Reads keys in a thread of its own, which ends with whoever receives them; `None` is another size of the terminal.
fn read_keys() -> mpsc::Receiver<Option<Key>> {
    let (keys, received) = mpsc::channel(MAX_KEYS);
    std::thread::spawn(move || {
        while !keys.is_closed() {
            match event::poll(KEY_POLL) {
                Ok(false) => continue,
                Ok(true) => {}
                // The terminal is gone.
                Err(_) => return,
            }
            let Ok(event) = event::read() else { return };
            if let Some(key) = meaning(&event) {
                let _ = keys.try_send(key);
            }
        }
    });
    received
}

fn meaning(event: &Event) -> Option<Option<Key>> {
    let key = match event {
        Event::Resize(..) => return Some(None),
        Event::Key(key) if key.kind != KeyEventKind::Release => key,
        _ => return None,
    };
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(Some(match key.code {
        // Raw mode has no Ctrl-C.
        KeyCode::Char('c') if is_control => Key::Interrupt,
        KeyCode::Char(c) if !is_control => Key::Char(c),
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Tab => Key::Tab,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        _ => return None,
    }))
}
