//! What is found: severity, cause and cure, and how it is shown.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::catalogue::Code;
use crate::shell;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// It is as it should be.
    Ok,
    /// Good to know; nothing need be done.
    Note,
    /// It works, and worse than it should: the next failure may end it.
    Warning,
    /// It does not work.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its code, by which `throughline explain` and docs/ERRORS.md say more.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about, such as a peer or a path to it.
    pub subject: String,
    /// What is the case, and why, in sentences.
    pub cause: String,
    /// What to do about it, in sentences; `null` where nothing need be done.
    pub cure: Option<String>,
}

/// All that was found, the worst first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The worst severity.
    pub severity: Severity,
    /// The findings.
    pub findings: Vec<Finding>,
}

impl Finding {
    /// Creates one that nothing need be done about.
    pub(super) fn new(
        code: Code,
        severity: Severity,
        subject: impl Into<String>,
        cause: impl Into<String>,
    ) -> Self {
        Self { code, severity, subject: subject.into(), cause: cause.into(), cure: None }
    }

    pub(super) fn cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = Some(cure.into());
        self
    }
}

impl Diagnosis {
    pub(super) fn new(mut findings: Vec<Finding>) -> Self {
        // Stable: those of one severity stay in the order in which they were looked for.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let severity = findings.first().map_or(Severity::Ok, |worst| worst.severity);
        Self { severity, findings }
    }
}

/// What stands in texts for the configuration that is examined, where a command names it.
const FILE: &str = "-c FILE`";

impl Diagnosis {
    /// Names the configuration in the commands of causes and cures, so that they can be pasted.
    pub(super) fn of_file(mut self, path: &Path) -> Self {
        let named = format!("-c {}`", shell::path(path));
        for finding in &mut self.findings {
            for text in std::iter::once(&mut finding.cause).chain(&mut finding.cure) {
                *text = text.replace(FILE, &named);
            }
        }
        self
    }
}

/// The columns of text; what follows the first line is set in.
const WIDTH: usize = 100;
const INDENT: &str = "    ";

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<7} {}  {}", self.severity, self.code, self.subject)?;
        write_wrapped(f, &self.cause)?;
        match &self.cure {
            Some(cure) => write_wrapped(f, &format!("Cure: {cure}")),
            None => Ok(()),
        }
    }
}

fn write_wrapped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for line in text.lines() {
        // What a file's error shows of the file keeps its columns.
        if line.len() <= WIDTH || line.contains(" | ") {
            write!(f, "\n{INDENT}{line}")?;
            continue;
        }
        let mut column = WIDTH;
        for word in line.split(' ') {
            let length = word.chars().count();
            if column + 1 + length > WIDTH {
                write!(f, "\n{INDENT}{word}")?;
                column = length;
            } else {
                write!(f, " {word}")?;
                column += 1 + length;
            }
        }
    }
    Ok(())
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let counted = |severity, noun| {
            let count = self.findings.iter().filter(|f| f.severity == severity).count();
            (count, format!("{count} {noun}{}", if count == 1 { "" } else { "s" }))
        };
        let (errors, of_errors) = counted(Severity::Error, "error");
        let (warnings, of_warnings) = counted(Severity::Warning, "warning");
        let (_, notes) = counted(Severity::Note, "note");
        match (errors, warnings) {
            (0, 0) => write!(f, "All is well ({notes})."),
            _ => write!(f, "{of_errors}, {of_warnings}, {notes}."),
        }
    }
}
