//! The timeline: a line per ISP, a line per flow, time from left to right.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use super::super::flow::{Ending, Flow, Meter, Via};
use super::super::paint::Paint;
use super::super::scene::Scene;
use super::super::script::Isp;
use super::super::text::{rate, time};

/// The heights of a bar.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Marks a time in which nothing arrived.
const NOTHING: char = '×';
/// A round trip of this length or more is drawn full: far too long for interactive use.
const FULL_ROUND_TRIP: Duration = Duration::from_millis(400);
/// An echo unanswered for longer is shown as stuck.
const STUCK: Duration = Duration::from_millis(400);
/// The interval over which the displayed rate is measured.
const RATE_INTERVAL: Duration = Duration::from_millis(500);
/// The columns beside the bars.
const MARGINS: usize = 13 + 27;
/// The number of bars: fewer are meaningless, and more than three a second add nothing.
const BAR_COUNT: RangeInclusive<usize> = 20..=66;
/// The smallest terminal that the timeline fits into: columns and lines.
pub(super) const MIN_TERMINAL: (u16, u16) = ((MARGINS + *BAR_COUNT.start()) as u16, 12);
/// The beginning of the first line.
const TITLE: &str = "throughline demo";

/// Returns the number of bars that a terminal of `width` has room for.
pub(super) fn columns(width: usize) -> usize {
    width.saturating_sub(MARGINS).clamp(*BAR_COUNT.start(), *BAR_COUNT.end())
}

/// Returns the lines of the timeline at the time `now` of the run.
pub(super) fn draw(scene: &Scene, now: Duration, columns: usize, paint: Paint) -> Vec<String> {
    let length = scene.script.length;
    let clock = format!("{:4.1} s of {:.0} s", now.min(length).as_secs_f64(), length.as_secs_f64());
    // A line that wraps would spoil the redrawing.
    let title: String = scene.title.chars().take(columns + MARGINS - TITLE.len() - 2).collect();
    let mut lines = vec![
        format!("{}  {title}", paint.bold(TITLE)),
        paint.dim(&format!("  {:<11}{clock:>columns$}", "")),
    ];
    for isp in Isp::BOTH {
        lines.push(isp_line(scene, isp, now, columns, paint));
    }
    lines.push(String::new());
    for flow in &scene.flows {
        if flow.via == Via::Tcp {
            lines.push(paint.dim("  the same echo over plain TCP through ISP A:"));
        }
        lines.push(flow_line(scene, flow, now, columns, paint));
    }
    lines
}

/// Returns the time that a column stands for.
fn span(scene: &Scene, column: usize, columns: usize) -> Range<Duration> {
    let at = |column: usize| scene.script.length.mul_f64(column as f64 / columns as f64);
    at(column)..at(column + 1)
}

fn isp_line(scene: &Scene, isp: Isp, now: Duration, columns: usize, paint: Paint) -> String {
    let script = &scene.script;
    let mut line = format!("  {:<11}", isp.title());
    let mut column = 0;
    while column < columns {
        // Columns of one state are drawn together, so that its name can be written into them.
        let state = |column: usize| {
            let span = span(scene, column, columns);
            (span.start < now).then(|| script.is_down(isp, &(span.start..span.end.min(now))))
        };
        let first = state(column);
        let length = (column..columns).take_while(|&column| state(column) == first).count();
        line += &match first {
            None => paint.dim(&"·".repeat(length)),
            Some(false) => paint.green(&"█".repeat(length)),
            Some(true) => paint.red(&centred("DEAD", '░', length)),
        };
        column += length;
    }
    let dead = script.failures.iter().find(|f| f.isp == isp && f.down.contains(&now));
    line + &match dead {
        Some(failure) => {
            paint.red(&format!("  dead for {}", time(now.saturating_sub(failure.down.start))))
        }
        None => paint.green("  up"),
    }
}

fn centred(word: &str, fill: char, length: usize) -> String {
    let fill = |count| std::iter::repeat_n(fill, count).collect::<String>();
    let Some(rest) = length.checked_sub(word.len() + 2) else { return fill(length) };
    format!("{} {word} {}", fill(rest / 2), fill(rest - rest / 2))
}

fn flow_line(scene: &Scene, flow: &Flow, now: Duration, columns: usize, paint: Paint) -> String {
    let mut line = format!("  {:<11}", flow.kind.name());
    let meter = flow.meter.lock();
    for column in 0..columns {
        let span = span(scene, column, columns);
        // Half a column would show half a rate.
        if span.end > now {
            line.push(' ');
            continue;
        }
        let bar = match &*meter {
            Meter::Bulk(meter) => bar(meter.rate(&span) / scene.rate as f64),
            Meter::Echo(meter) => {
                let worst = meter.worst(&span, now);
                if worst >= FULL_ROUND_TRIP {
                    NOTHING
                } else {
                    // The square root shows 20 ms and 80 ms apart, and 400 ms too.
                    bar((worst.as_secs_f64() / FULL_ROUND_TRIP.as_secs_f64()).sqrt())
                }
            }
        };
        let bar_text = bar.to_string();
        line += &if bar == NOTHING { paint.red(&bar_text) } else { paint.cyan(&bar_text) };
    }
    let ending = flow.ending.lock();
    line + "  "
        + &match (&*meter, &*ending) {
            (_, Some(Ending::Died(_))) => paint.red("died"),
            (_, Some(Ending::Wrong(_))) => paint.red("WRONG BYTES"),
            (Meter::Bulk(meter), _) => {
                let current = rate(meter.rate(&(now.saturating_sub(RATE_INTERVAL)..now)));
                format!("{current:<11} {}", worst_so_far(scene, now, |w| meter.longest_gap(w, now)))
            }
            (Meter::Echo(meter), _) if meter.waiting(now) >= STUCK => {
                paint.red(&format!("stuck for {}", time(meter.waiting(now))))
            }
            (Meter::Echo(meter), _) => {
                let last = meter.last().map(time).unwrap_or_default();
                format!("{last:<11} {}", worst_so_far(scene, now, |w| meter.worst(w, now)))
            }
        }
}

fn bar(share: f64) -> char {
    if share <= 0.0 {
        return NOTHING;
    }
    BARS[((share * BARS.len() as f64) as usize).min(BARS.len() - 1)]
}

/// Formats the worst gap of all failures so far.
fn worst_so_far(
    scene: &Scene,
    now: Duration,
    gap: impl Fn(&Range<Duration>) -> Duration,
) -> String {
    let begun = (0..scene.script.failures.len()).map(|failure| scene.script.window(failure));
    let worst = begun.filter(|window| window.start <= now).map(|window| gap(&window)).max();
    worst.map(|gap| format!("worst {}", time(gap))).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::super::flow::{Clock, flows};
    use super::super::super::script::Script;
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn scene() -> Scene {
        Scene {
            title: "two ISPs".into(),
            script: Script::new(ms(22_000)),
            flows: flows(),
            clock: Clock::start(),
            rate: 200_000_000,
        }
    }

    #[test]
    fn the_line_of_a_dead_isp_shows_when_and_for_how_long() {
        let scene = scene();
        let lines = draw(&scene, ms(9_000), 44, Paint::off());
        println!("{}", lines.join("\n"));
        let a = &lines[2];
        assert!(a.starts_with("  ISP A      ██████████░ DEAD ░"), "{a}");
        assert!(a.ends_with("dead for 4.0 s"), "{a}");
        assert!(lines[3].ends_with("  up"), "{}", lines[3]);
        // The bars of all lines begin and end in the same columns.
        let bars: String = lines[2].chars().skip(13).take(44).collect();
        assert_eq!(bars.chars().filter(|c| *c == '·').count(), 44 - 18, "{bars}");
    }

    #[test]
    fn bars_show_the_rate_and_crosses_show_that_nothing_arrived() {
        let scene = scene();
        for at in (0..6_000).step_by(50) {
            if at < 3_000 {
                scene.flows[0].read(ms(at), 1_200_000);
                scene.flows[3].echo(|meter| {
                    meter.sent(ms(at));
                    meter.answered(ms(at + 20));
                });
            }
        }
        scene.flows[3].echo(|meter| meter.sent(ms(3_000)));
        let lines = draw(&scene, ms(6_000), 44, Paint::off());
        println!("{}", lines.join("\n"));
        assert!(lines[5].starts_with("  download   ██████×"), "{}", lines[5]);
        assert!(lines[5].contains("█××××××"), "{}", lines[5]);
        let tcp = lines.last().unwrap();
        assert!(tcp.starts_with("  echo       ▂▂▂▂▂▂××××"), "{tcp}");
        assert!(tcp.ends_with("stuck for 3.0 s"), "{tcp}");
    }

    #[test]
    fn the_timeline_fits_its_terminal() {
        let scene = scene();
        scene.flows[1].read(ms(10), 1);
        for (width, title) in [(80, "short".to_owned()), (62, "long ".repeat(50))] {
            let scene = Scene { title, ..scene.clone() };
            for line in draw(&scene, ms(22_000), columns(width), Paint::off()) {
                assert!(line.chars().count() <= width, "{line}");
            }
        }
    }
}
