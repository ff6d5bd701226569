//! What flows did around a failure: a panel for each system below the other, a line for each run.

use std::ops::Range;

use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::Ranged;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;

use super::axis::Axis;
use super::{Area, BAND, GRID, INK, MUTED, NAMES, colour, decade, decades, style, svg, whole};
use crate::report::model::{FlowRun, Report, Run, Situation};
use crate::support::Outcome;

/// Pixels for a system.
const PANEL: u32 = 80;
/// Between two of them.
const GAP: u32 = 12;
/// The ticks' labels.
const TICKS: u32 = 62;
const AXIS: u32 = 36;
const TOP: u32 = 20;
/// More lines would hide one another.
const LINES: usize = 5;

/// What all panels of a plot have in common.
struct Frame {
    echo: bool,
    /// Seconds from the failure.
    x: Range<f64>,
    /// Mbit/s, or for an echo the decade of milliseconds.
    y: Range<f64>,
    y_ticks: Vec<f64>,
}

/// A panel: its place among the others, and what is in it.
struct Panel<'a> {
    number: usize,
    is_last: bool,
    system: &'a str,
    runs: &'a [(&'a Run, &'a FlowRun)],
}

/// Draws what a flow did: throughput, or for an echo round trips on an axis of decades.
pub(in crate::report) fn draw(
    report: &Report,
    situation: &Situation,
    flow: &str,
) -> Outcome<String> {
    let systems = report.systems(situation);
    let seen: Vec<Vec<(&Run, &FlowRun)>> = systems
        .iter()
        .map(|system| report.flows(situation, system, flow).take(LINES).collect())
        .collect();
    let flows: Vec<&FlowRun> = seen.iter().flatten().map(|(_, flow)| *flow).collect();
    let frame = Frame::around(&flows, flow == "echo", report.parameters.rate_mbits as f64);
    let what = if frame.echo { "Echo round trips" } else { "Throughput" };
    let title = format!("{what} around {} ({flow}), by system", situation.failure);
    svg(&title, TOP + systems.len() as u32 * PANEL + AXIS, |root| {
        let (head, mut rest) = root.split_vertically(TOP);
        for (number, (system, runs)) in systems.iter().zip(&seen).enumerate() {
            let is_last = number + 1 == systems.len();
            let (area, below) = rest.split_vertically(PANEL + if is_last { AXIS } else { 0 });
            rest = below;
            let panel = Panel { number, is_last, system, runs };
            panel.draw(&frame, root, &head, &area)?;
        }
        if !frame.echo {
            let unit = ((NAMES + TICKS) as i32 - 8, TOP as i32 / 2);
            root.draw(&Text::new("Mbit/s", unit, style(HPos::Right, MUTED)))?;
        }
        Ok(())
    })
}

impl Frame {
    /// Returns a frame that holds all of `flows`; `rate` is an ISP's.
    fn around(flows: &[&FlowRun], echo: bool, rate: f64) -> Self {
        let values = || flows.iter().flat_map(|flow| flow.trace.values.iter().flatten().copied());
        let (y, y_ticks) = if echo {
            let range = decades(values());
            let most = values().fold(1.0, f64::max).log10().max(range.start + 1.0);
            // Labels at the very ends would touch those of the next panel.
            let range = range.start - 0.2..most + 0.2;
            (range.clone(), whole(&range))
        } else {
            // Both ISPs at once; what comes in a burst after a pause is cut off.
            let most = values().fold(rate, f64::max).min(2.0 * rate) * 1.1;
            let ticks = [0.0, rate, 2.0 * rate].into_iter().filter(|tick| *tick <= most);
            (0.0..most, ticks.collect())
        };
        let end = flows.iter().map(|flow| end(flow).ceil()).fold(1.0, f64::max);
        let begin = flows.iter().map(|flow| flow.trace.from_s).fold(-1.0, f64::min);
        Self { echo, x: begin..end, y, y_ticks }
    }
}

impl Panel<'_> {
    fn draw(&self, frame: &Frame, root: &Area<'_>, head: &Area<'_>, area: &Area<'_>) -> Outcome {
        let Frame { echo, x, y, y_ticks } = frame;
        let x_axis = Axis::new(x, seconds(x.clone()));
        let mut chart = ChartBuilder::on(area)
            .margin_left(NAMES)
            .margin_right(20)
            .margin_bottom(if self.is_last { 0 } else { GAP })
            .y_label_area_size(TICKS)
            .x_label_area_size(if self.is_last { AXIS + GAP } else { 0 })
            .build_cartesian_2d(x_axis, Axis::new(y, y_ticks.clone()))?;
        let until = self.runs.iter().map(|(run, _)| run.window_s[0]).fold(0.0, f64::max);
        let lasting = [(0.0, y.start), (until, y.end)];
        chart.draw_series([Rectangle::new(lasting, BAND.filled())])?;
        let second = |value: &f64| format!("{value:.0}");
        let tick = |value: &f64| if *echo { decade(value) } else { format!("{value:.0}") };
        let mut mesh = chart.configure_mesh();
        mesh.bold_line_style(GRID)
            .axis_style(GRID)
            .x_labels(30)
            .y_labels(10)
            .y_label_formatter(&tick)
            .x_label_formatter(&second)
            .label_style(style(HPos::Center, MUTED))
            .axis_desc_style(style(HPos::Center, MUTED));
        if self.is_last {
            mesh.x_desc("seconds from the failure");
        }
        mesh.draw()?;
        let strike = [(0.0, y.start), (0.0, y.end)];
        chart.draw_series([PathElement::new(strike, INK.stroke_width(1))])?;
        for (run, flow) in self.runs {
            line(&mut chart, run, flow, *echo, y.end)?;
        }
        name(root, self.system, (TOP + self.number as u32 * PANEL) as i32)?;
        let (left, top) = chart.backend_coord(&(0.0, y.end));
        if self.number == 0 {
            head.draw(&Text::new("failure", (left, top - 10), style(HPos::Center, INK)))?;
        }
        if self.runs.iter().any(|(_, flow)| flow.stall.at_least) {
            let middle = chart.backend_coord(&(x.end / 2.0, f64::midpoint(y.start, y.end)));
            root.draw(&Text::new("stands still", middle, style(HPos::Center, MUTED)))?;
        }
        Ok(())
    }
}

fn name(root: &Area<'_>, system: &str, top: i32) -> Outcome {
    let at = (NAMES as i32 - 10, top + (PANEL - GAP) as i32 / 2);
    Ok(root.draw(&Text::new(system.to_owned(), at, style(HPos::Right, INK)))?)
}

/// A run's line, interrupted where there is nothing, with a dot where it was ended in order.
fn line<X, Y>(
    chart: &mut ChartContext<'_, SVGBackend<'_>, Cartesian2d<X, Y>>,
    run: &Run,
    flow: &FlowRun,
    log: bool,
    top: f64,
) -> Outcome
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    let colour = colour(run.ours).mix(0.8);
    let trace = &flow.trace;
    let at = |index: usize| trace.from_s + (index as f64 + 0.5) * trace.step_s;
    let value = |value: f64| if log { value.max(1.0).log10() } else { value.min(top) };
    let points: Vec<Option<(f64, f64)>> = trace
        .values
        .iter()
        .enumerate()
        .map(|(index, this)| this.map(|this| (at(index), value(this))))
        .collect();
    for part in points.split(Option::is_none).filter(|part| !part.is_empty()) {
        let part: Vec<_> = part.iter().flatten().copied().collect();
        if let [alone] = part[..] {
            chart.draw_series([Circle::new(alone, 1, colour.filled())])?;
        } else {
            chart.draw_series([PathElement::new(part, colour.stroke_width(2))])?;
        }
    }
    if flow.error.is_none()
        && let Some(last) = points.iter().rev().flatten().next()
    {
        chart.draw_series([Circle::new(*last, 3, colour.filled())])?;
    }
    Ok(())
}

/// Returns when a flow's line ends.
fn end(flow: &FlowRun) -> f64 {
    flow.trace.from_s + flow.trace.values.len() as f64 * flow.trace.step_s
}

/// Ticks at seconds, about ten of them.
fn seconds(range: Range<f64>) -> Vec<f64> {
    let length = range.end - range.start;
    let step = [1.0, 2.0, 5.0, 10.0, 30.0, 60.0].into_iter().find(|step| length / step <= 12.0);
    let step = step.unwrap_or(300.0);
    let first = (range.start / step).ceil() as i64;
    let last = (range.end / step).floor() as i64;
    (first..=last).map(|n| n as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::model::tests::{report, run};
    use super::*;

    #[test]
    fn every_system_has_a_panel_and_every_run_a_line() {
        let mut report = report();
        report.runs.push(run("Throughline auto", 44.0, false));
        let situation = report.situations()[0].clone();
        for (flow, tick) in [("echo", "10 ms"), ("download", "Mbit/s")] {
            let svg = draw(&report, &situation, flow).unwrap();
            for part in ["Throughline auto", "plain TCP", "stands still", "seconds from", tick] {
                assert!(svg.contains(part), "{part}: {svg}");
            }
            // Two runs that ended in order: a point alone and a dot each; one that did not.
            assert_eq!(svg.matches("<circle").count(), 2 * 2 + 1, "{svg}");
        }
    }

    #[test]
    fn ticks_are_seconds_and_zero_is_one() {
        assert_eq!(seconds(-2.0..5.0), [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(seconds(-2.0..17.0), [-2.0, 0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0]);
        assert!(seconds(-2.0..55.0).contains(&0.0));
    }
}
