//! A table, as it is printed and as it stands in a report.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A table with its bars.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// What it is about.
    pub title: String,
    /// The columns.
    pub head: Vec<String>,
    /// The rows, as many cells as there are columns.
    pub rows: Vec<Vec<String>>,
    /// What is wanted, and whether it was met; a line each.
    pub bars: Vec<String>,
}

impl Table {
    /// Returns whether every run could be made and no flow broke: a remark in bold says otherwise.
    pub fn is_sound(&self) -> bool {
        !self.rows.iter().flatten().any(|cell| cell.starts_with("**"))
    }

    pub(super) fn new(title: String, head: &[&str]) -> Self {
        let head = head.iter().map(|cell| (*cell).to_owned()).collect();
        Self { title, head, rows: Vec::new(), bars: Vec::new() }
    }

    /// Adds a row, and shows it to whoever waits for the rest.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        eprintln!("  {}", cells.join(" | "));
        self.rows.push(cells);
    }

    /// Adds a bar, if there is anything to judge.
    pub(super) fn bar(&mut self, bar: Option<String>) {
        self.bars.extend(bar);
    }
}

impl fmt::Display for Table {
    /// As Markdown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        writeln!(f, "| {} |", self.head.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(self.head.len()))?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | ").replace('\n', " "))?;
        }
        if !self.bars.is_empty() {
            writeln!(f)?;
        }
        self.bars.iter().try_for_each(|bar| writeln!(f, "- {bar}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new("Shares".into(), &["Queue", "Ratio"]);
        table.row(vec!["10 ms".into(), "0.5".into()]);
        table.bar(None);
        table.bar(Some("a bar".into()));
        let text = "### Shares\n\n| Queue | Ratio |\n|---|---|\n| 10 ms | 0.5 |\n\n- a bar\n";
        assert_eq!(table.to_string(), text);
    }
}
