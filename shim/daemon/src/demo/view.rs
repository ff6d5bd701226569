//! How a run is shown: a live picture in a terminal, plain lines elsewhere, nothing for programs.

mod live;
pub(super) mod paint;
mod picture;
mod plain;
pub(super) mod text;

use std::io::IsTerminal;

use super::DemoArgs;
use super::flow::{Clock, Flows};
use super::script::Script;
use paint::Paint;

/// Where a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Screen {
    /// A picture redrawn in place.
    Live,
    /// A line a second.
    Plain,
    /// Nothing.
    Silent,
}

/// What every view reads.
#[derive(Clone)]
pub(super) struct Scene {
    pub(super) title: String,
    pub(super) script: Script,
    pub(super) flows: Flows,
    pub(super) clock: Clock,
    /// Bit/s of an ISP: a full bar.
    pub(super) rate: u64,
}

/// Whether the picture does not fit into the terminal.
fn is_too_small() -> bool {
    let (columns, lines) = picture::LEAST_TERMINAL;
    crossterm::terminal::size().is_ok_and(|(width, height)| width < columns || height < lines)
}

impl Screen {
    /// What suits standard output and the arguments.
    pub(super) fn choose(args: &DemoArgs) -> Self {
        if args.json {
            Self::Silent
        } else if args.plain || !std::io::stdout().is_terminal() || is_too_small() {
            Self::Plain
        } else {
            Self::Live
        }
    }

    /// Colours, where they are seen and wanted.
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
