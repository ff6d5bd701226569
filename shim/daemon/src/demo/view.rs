//! Shows a run: a live timeline in a terminal, plain lines elsewhere, nothing for programs.

mod live;
mod plain;
mod timeline;

use std::io::IsTerminal;

use super::args::DemoArgs;
use super::paint::Paint;
use super::scene::Scene;

/// Where a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Screen {
    /// A timeline redrawn in place.
    Live,
    /// A line a second.
    Plain,
    /// Nothing.
    Silent,
}

/// Returns whether the timeline does not fit into the terminal.
fn is_too_small() -> bool {
    let (columns, lines) = timeline::MIN_TERMINAL;
    crossterm::terminal::size().is_ok_and(|(width, height)| width < columns || height < lines)
}

impl Screen {
    /// Chooses the view that suits standard output and the arguments.
    pub(super) fn choose(args: &DemoArgs) -> Self {
        if args.json {
            Self::Silent
        } else if args.plain || !std::io::stdout().is_terminal() || is_too_small() {
            Self::Plain
        } else {
            Self::Live
        }
    }

    /// Returns colours if they are visible and wanted.
    pub(super) fn paint(self) -> Paint {
        Paint::new(self == Self::Live && std::env::var_os("NO_COLOR").is_none())
    }

    /// Shows the run until it ends.
    pub(super) async fn show(self, scene: &Scene) {
        match self {
            Self::Live => live::show(scene, self.paint()).await,
            Self::Plain => plain::show(scene).await,
            Self::Silent => scene.clock.until(scene.script.length).await,
        }
    }
}
