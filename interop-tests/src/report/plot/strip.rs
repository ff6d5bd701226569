//! How stalls are distributed: a row for each system, a mark for each run, on an axis of decades.

use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::axis::Axis;
use super::{GRID, INK, MUTED, NAMES, WIDTH, colour, decade, decades, style, svg, whole};
use crate::report::model::{FlowRun, Report, Run, Situation};
use crate::report::stats;
use crate::support::Outcome;

/// Pixels for a system.
const ROW: u32 = 34;
/// Right of the plot: medians.
const MEDIANS: u32 = 90;
const AXIS: u32 = 30;
const TOP: u32 = 20;

/// Draws the stalls of a flow in a situation.
pub(in crate::report) fn draw(
    report: &Report,
    situation: &Situation,
    flow: &str,
) -> Outcome<String> {
    let systems = report.systems(situation);
    let seen: Vec<Vec<(&Run, &FlowRun)>> =
        systems.iter().map(|system| report.flows(situation, system, flow).collect()).collect();
    let range = decades(seen.iter().flatten().map(|(_, flow)| flow.stall.ms));
    let rows = systems.len() as u32;
    let title = format!("Stalls of {flow} under {}, by system, logarithmic", situation.failure);
    svg(&title, TOP + rows * ROW + AXIS, |root| {
        let ticks = whole(&range);
        let mut chart = ChartBuilder::on(root)
            .margin_top(TOP)
            .margin_left(NAMES)
            .margin_right(MEDIANS)
            .x_label_area_size(AXIS)
            .build_cartesian_2d(Axis::new(&range, ticks), f64::from(rows)..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .bold_line_style(GRID)
            .axis_style(GRID)
            .x_labels(10)
            .x_label_formatter(&decade)
            .label_style(style(HPos::Center, MUTED))
            .draw()?;
        let head = |x: u32, text: &str, side| {
            root.draw(&Text::new(text.to_owned(), (x as i32, TOP as i32 / 2), style(side, MUTED)))
        };
        head(WIDTH - MEDIANS + 8, "median", HPos::Left)?;
        for (row, (system, runs)) in systems.iter().zip(&seen).enumerate() {
            let middle = row as f64 + 0.5;
            let place = |ms: f64, row: f64| chart.backend_coord(&(ms.max(1.0).log10(), row));
            let (_, y) = place(1.0, middle);
            let name = (NAMES as i32 - 10, y);
            root.draw(&Text::new((*system).to_owned(), name, style(HPos::Right, INK)))?;
            let Some(summary) = stats::summary(runs.iter().map(|(_, flow)| flow.stall)) else {
                let nothing = "no run that counts";
                let at = ((NAMES + 10) as i32, y);
                root.draw(&Text::new(nothing, at, style(HPos::Left, MUTED)))?;
                continue;
            };
            let (x, y) = place(summary.median.ms, middle);
            root.draw(&PathElement::new([(x, y - 12), (x, y + 12)], INK.stroke_width(2)))?;
            for (number, (run, flow)) in runs.iter().enumerate() {
                mark(root, place(flow.stall.ms, middle + jitter(number, runs.len())), run, flow)?;
            }
            let at = ((WIDTH - MEDIANS + 8) as i32, y);
            root.draw(&Text::new(stats::stall(summary.median), at, style(HPos::Left, INK)))?;
        }
        Ok(())
    })
}

/// Marks of many runs would hide one another.
fn jitter(number: usize, count: usize) -> f64 {
    if count == 1 { 0.0 } else { (number as f64 * 0.618_034).fract() * 0.5 - 0.25 }
}

/// A run: a disc (ours) or a diamond; an arrowhead where it still stood still, a cross where the
/// flow ended wrongly.
fn mark(root: &super::Area<'_>, (x, y): (i32, i32), run: &Run, flow: &FlowRun) -> Outcome {
    let colour = colour(run.ours).mix(0.85);
    if flow.stall.at_least {
        let head = vec![(x - 5, y - 6), (x + 7, y), (x - 5, y + 6)];
        root.draw(&Polygon::new(head, colour.filled()))?;
    } else if flow.error.is_some() {
        root.draw(&Cross::new((x, y), 5, colour.stroke_width(2)))?;
    } else if run.ours {
        root.draw(&Circle::new((x, y), 5, colour.filled()))?;
    } else {
        let diamond = vec![(x - 6, y), (x, y - 6), (x + 6, y), (x, y + 6)];
        root.draw(&Polygon::new(diamond, colour.filled()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::model::tests::{report, run};
    use super::*;

    #[test]
    fn systems_have_rows_runs_have_marks_and_medians_are_in_words() {
        let mut report = report();
        report.runs.push(run("Throughline auto", 44.0, false));
        let situation = report.situations()[0].clone();
        let svg = draw(&report, &situation, "echo").unwrap();
        for part in ["Throughline auto", "plain TCP", "41 ms", "≥ 15.0 s", "100 ms"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert_eq!(svg.matches("<circle").count(), 2);
        assert_eq!(svg.matches("<polygon").count(), 1);
    }

    #[test]
    fn a_system_without_runs_that_count_says_so() {
        let mut report = report();
        report.runs[0].believed = false;
        let situation = report.situations()[0].clone();
        assert!(draw(&report, &situation, "echo").unwrap().contains("no run that counts"));
    }
}
