//! The report as one HTML page that needs nothing else: no script, no font, no other file.

use std::fmt::Write as _;

use super::model::{Report, Situation};
use super::plot::{self, escape};
use super::{prose, table};
use crate::field;
use crate::support::Outcome;

const CSS: &str = include_str!("page.css");

/// Variables of the style sheet on a dark page; plots have rules of their own.
const DARK: &str = "  :root { --page: #161618; --ink: #ececec; --muted: #a8a8a8; --line: #3a3a3e; \
    --ours: #5cb8f2; --others: #f0a04b }";

const HOW_TO_READ: &str = "<p>Each site has two ISPs. One fails at second 0; what the applications' \
    flows saw is what counts. <b class=\"ours\">Blue, discs: with Throughline.</b> \
    <b class=\"others\">Orange, diamonds: without.</b> Systems are named beside their rows.</p>\n\
    <ul>\n\
    <li><b>Stalls</b>: a mark for each run, further right is worse, each line is ten times the one \
    before. The bar is the median. An arrowhead is a flow that still stood still when we gave up \
    (≥), a cross one that ended with an error.</li>\n\
    <li><b>Throughput</b>: what the receiver got, in steps of 50 ms. A peak after a pause is what \
    had been waiting; above twice an ISP's rate it is cut off. A line that ends in a dot was ended by us: it ran well again.</li>\n\
    <li><b>Echo</b>: each message's round trip at the time it was sent. While a flow stands still \
    the first message waits longest, so a stall is a cliff with a slope after it. No line: no \
    answer. The scale is in steps of ten.</li>\n\
    </ul>\n";

/// Returns the page.
///
/// # Errors
/// When a plot cannot be drawn.
pub fn render(report: &Report) -> Outcome<String> {
    let title = escape(table::title());
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{CSS}@media (prefers-color-scheme: dark) {{\n{DARK}\n{}}}\n\
         </style>\n</head>\n<body>\n<h1>{title}</h1>\n<ul class=\"facts\">\n",
        plot::dark()
    );
    for line in table::facts(report) {
        let _ = writeln!(page, "<li>{}</li>", escape(&line));
    }
    let _ = write!(page, "</ul>\n<h2>How to read this</h2>\n{HOW_TO_READ}");
    let _ = writeln!(page, "<p>{}</p>", escape(table::READ));
    for situation in report.situations() {
        section(&mut page, report, situation)?;
    }
    field(&mut page, &report.field);
    page += "</body>\n</html>\n";
    Ok(page)
}

fn section(page: &mut String, report: &Report, situation: &Situation) -> Outcome {
    let heading = escape(&table::heading(situation));
    let sentence = escape(&prose::failure(&situation.failure));
    let _ = writeln!(page, "<h2>{heading}</h2>\n<p>{sentence}</p>");
    html_table(page, &table::table(report, situation));
    for flow in &situation.flows {
        let stalls = plot::strip::draw(report, situation, flow)?;
        let time = plot::time::draw(report, situation, flow)?;
        let over = if flow == "echo" { "round trips" } else { "throughput" };
        let what = escape(prose::flow(flow));
        let _ = writeln!(page, "<h3>Stalls: {what}</h3>\n<div class=\"wide\">{stalls}</div>");
        let _ = writeln!(
            page,
            "<h3>{}: {over} around the failure</h3>\n<div class=\"wide\">{time}</div>",
            escape(flow)
        );
    }
    Ok(())
}

/// Adds the tables of the field.
fn field(page: &mut String, tables: &[field::Table]) {
    if tables.is_empty() {
        return;
    }
    let _ = writeln!(page, "<h2>{}</h2>", escape(table::FIELD));
    for field::Table { title, head, rows, bars } in tables {
        let _ = writeln!(page, "<h3>{}</h3>", escape(title));
        html_table(page, &table::Table { head: head.clone(), rows: rows.clone() });
        let bars: String = bars.iter().map(|bar| format!("<li>{}</li>\n", escape(bar))).collect();
        let _ = writeln!(page, "<ul>\n{bars}</ul>");
    }
}

fn html_table(page: &mut String, table: &table::Table) {
    let row = |cells: &[String], tag: &str| -> String {
        let cells = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell)));
        format!("<tr>{}</tr>\n", cells.collect::<String>())
    };
    let body: String = table.rows.iter().map(|cells| row(cells, "td")).collect();
    let head = row(&table.head, "th");
    let _ = writeln!(page, "<div class=\"wide\"><table>\n{head}{body}</table></div>");
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::report;
    use super::*;

    #[test]
    fn it_has_every_system_failure_and_plot() {
        let page = render(&report()).unwrap();
        for part in [
            "Throughline auto",
            "plain TCP",
            "blackhole (client side, IPv4",
            "The ISP drops everything",
            "How to read this",
            "prefers-color-scheme: dark",
            "Left out: MPTCP",
            "<h3>Bonds &amp; shares</h3>",
            "<li>`bond`: 187.00, wanted ≥ 187: met</li>",
        ] {
            assert!(page.contains(part), "{part}");
        }
        // Stalls and time, of echo and download.
        assert_eq!(page.matches("<svg").count(), 4);
        assert_eq!(page.matches("</svg>").count(), 4);
    }

    #[test]
    fn it_needs_nothing_from_elsewhere_and_no_script() {
        let page = render(&report()).unwrap();
        for foreign in ["http:", "https:", "//", "<script", "<link", "src=", "url(", "@import"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
    }

    #[test]
    fn what_comes_from_the_machine_is_text() {
        let page = render(&report()).unwrap();
        assert!(page.contains("&lt;a processor&gt;") && !page.contains("<a processor>"));
    }
}
