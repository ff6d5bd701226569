//! The timeline, redrawn in place; what was on the screen before stays above it.

use std::io::{self, Write};
use std::time::Duration;

use crossterm::cursor::{Hide, MoveToColumn, MoveUp, Show};
use crossterm::style::Print;
use crossterm::terminal::{self, Clear, ClearType};
use crossterm::{execute, queue};

use super::super::paint::Paint;
use super::super::scene::Scene;
use super::timeline;

/// Redraws ten times a second: smooth for the eye, negligible for the CPU.
const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

/// Shows the cursor again, however the view ends.
struct HiddenCursor;

impl Drop for HiddenCursor {
    fn drop(&mut self) {
        // A terminal that is gone needs no cursor.
        let _ = execute!(io::stdout(), Show);
    }
}

pub(super) async fn show(scene: &Scene, paint: Paint) {
    let _ = execute!(io::stdout(), Hide);
    let _cursor = HiddenCursor;
    let mut drawn = 0;
    let mut at = Duration::ZERO;
    while at < scene.script.length {
        at = (at + REDRAW_INTERVAL).min(scene.script.length);
        scene.clock.until(at).await;
        let width = terminal::size().map_or(80, |(width, _)| usize::from(width));
        let lines = timeline::draw(scene, scene.clock.now(), timeline::columns(width), paint);
        if redraw(&lines, drawn).is_err() {
            return;
        }
        drawn = lines.len() as u16;
    }
}

fn redraw(lines: &[String], drawn: u16) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if drawn > 0 {
        queue!(out, MoveUp(drawn))?;
    }
    for line in lines {
        queue!(out, MoveToColumn(0), Print(line), Clear(ClearType::UntilNewLine), Print("\n"))?;
    }
    out.flush()
}
