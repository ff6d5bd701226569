//! Plots as SVG: one look for all of them.
//!
//! Two colours say one thing, whether Throughline carries a flow; which system it is stands beside
//! it in words, so that nobody has to tell colours apart. Colours are those of a light page. On a
//! dark one [`dark`] exchanges them.

mod axis;
pub(super) mod strip;
pub(super) mod time;

use std::fmt::Write as _;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::support::Outcome;

/// Where plots are drawn.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// How wide all plots are.
const WIDTH: u32 = 920;
/// Left of the plot: systems' names.
const NAMES: u32 = 190;

const INK: RGBColor = RGBColor(0x1A, 0x1A, 0x1A);
const MUTED: RGBColor = RGBColor(0x5F, 0x5F, 0x5F);
const GRID: RGBColor = RGBColor(0xDC, 0xDC, 0xDC);
/// While the failure lasts, where that is a time of its own.
const BAND: RGBColor = RGBColor(0xEC, 0xEC, 0xF2);
/// Blue and orange differ in every kind of colour blindness, and in lightness.
const OURS: RGBColor = RGBColor(0x00, 0x6A, 0xA8);
const OTHERS: RGBColor = RGBColor(0xC0, 0x50, 0x00);

/// What becomes of the colours on a dark page.
const DARK: [(RGBColor, &str); 6] = [
    (INK, "#ECECEC"),
    (MUTED, "#A8A8A8"),
    (GRID, "#3A3A3E"),
    (BAND, "#2A2A33"),
    (OURS, "#5CB8F2"),
    (OTHERS, "#F0A04B"),
];

/// Returns a system's colour.
fn colour(ours: bool) -> RGBColor {
    if ours { OURS } else { OTHERS }
}

/// CSS rules for a dark page.
pub(super) fn dark() -> String {
    let mut rules = String::new();
    for (RGBColor(red, green, blue), dark) in DARK {
        let light = format!("#{red:02X}{green:02X}{blue:02X}");
        for what in ["fill", "stroke"] {
            let _ = writeln!(rules, "  svg [{what}=\"{light}\"] {{ {what}: {dark} }}");
        }
    }
    rules
}

/// Draws one; `title` is for those who do not see it.
fn svg(title: &str, height: u32, draw: impl FnOnce(&Area<'_>) -> Outcome) -> Outcome<String> {
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        draw(&root)?;
        root.present()?;
    }
    let open = format!("<svg role=\"img\" aria-label=\"{}\"", escape(title));
    // The name space is for files of their own.
    Ok(text.replacen("<svg", &open, 1).replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1))
}

/// Returns a text's look: where it stands to its point, and the colour.
fn style(horizontal: HPos, colour: RGBColor) -> TextStyle<'static> {
    let text: TextStyle<'static> = ("sans-serif", 15).into_text_style(&(WIDTH, 1));
    let pos = Pos::new(horizontal, VPos::Center);
    TextStyle { color: colour.to_backend_color(), pos, ..text }
}

/// Text in HTML.
pub(super) fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;")
}

/// Returns the tick of a logarithmic axis of milliseconds: `10 ms`, `1 s`.
fn decade(log: &f64) -> String {
    let ms = 10f64.powf(*log);
    if ms < 999.0 { format!("{ms:.0} ms") } else { format!("{:.0} s", ms / 1000.0) }
}

/// Returns the decades that hold all of these milliseconds, two at least; less than 1 is 1.
fn decades(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (mut least, mut most) = (f64::MAX, 1.0f64);
    for value in values {
        least = least.min(value.max(1.0));
        most = most.max(value);
    }
    let low = least.min(most).log10().floor();
    low..most.log10().ceil().max(low + 2.0)
}

/// Whole numbers of a range.
fn whole(range: &std::ops::Range<f64>) -> Vec<f64> {
    (range.start.ceil() as i64..=range.end.floor() as i64).map(|n| n as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dark_page_exchanges_every_colour_that_is_drawn() {
        let rules = dark();
        for part in ["[fill=\"#006AA8\"] { fill: #5CB8F2 }", "[stroke=\"#DCDCDC\"]"] {
            assert!(rules.contains(part), "{rules}");
        }
    }

    #[test]
    fn a_plot_has_a_title_and_no_address_in_it() {
        let svg = svg("a < b", 100, |root| Ok(root.fill(&INK)?)).unwrap();
        assert!(svg.starts_with("<svg role=\"img\" aria-label=\"a &lt; b\""), "{svg}");
        assert!(svg.contains("#1A1A1A") && !svg.contains("http"), "{svg}");
    }

    #[test]
    fn decades_hold_what_is_plotted() {
        assert_eq!(decades([30.0, 15_000.0].into_iter()), 1.0..5.0);
        assert_eq!(decades([0.2, 3.0].into_iter()), 0.0..2.0);
        assert_eq!(decades(std::iter::empty()), 0.0..2.0);
        let ticks: Vec<_> = whole(&(1.0..5.0)).iter().map(decade).collect();
        assert_eq!(ticks, ["10 ms", "100 ms", "1 s", "10 s", "100 s"]);
    }
}
