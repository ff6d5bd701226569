//! The report: a chosen part of the matrix of systems, failures, sides, families and flows, run in
//! the lab and written down for people (`report.md`, `report.html`) and for programs
//! (`report.json`).
//!
//! # Model
//!
//! [`options`] says what is asked for, [`matrix`] what of that there can be here, and why not the
//! rest. Systems are compared case by case in rounds: each system once, then each once more, so
//! that an hour in which the machine is slow is slow for all of them. `observe` turns what a run
//! saw into a row of [`model`], which is all that [`table`] and [`page`] know: a report can be
//! drawn again from its JSON.
//!
//! Tables of the field ([`crate::field`]) follow where they are asked for.
//!
//! The three files are written after every run. What is there after an interruption is what had
//! been run.

pub mod contender;
pub mod machine;
pub mod matrix;
pub mod model;
mod observe;
pub mod options;
pub mod page;
mod plot;
mod progress;
mod prose;
pub mod stats;
pub mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use matrix::{Case, Matrix};
use model::{Report, Run};
use options::{Options, ReportPlan};
use progress::Progress;

use crate::field;
use crate::lab::enter;
use crate::support::Outcome;

/// Runs may be repeated so often because the machine was late, for each that is wanted.
const ATTEMPTS: usize = 5;

/// Makes a report: runs, or reads a former one, and writes. Fails where a flow through Throughline
/// broke, a byte was wrong, or a run could not be made.
///
/// # Errors
/// When what is asked for makes no sense, there can be no lab here, or a file cannot be written;
/// the message says what to do.
pub fn make(options: &Options) -> Outcome<ExitCode> {
    let place = Place::new(&options.out)?;
    if let Some(file) = &options.render {
        let report = read(file)?;
        place.write(&report)?;
        println!("{place}");
        return Ok(ExitCode::SUCCESS);
    }
    let plan = options.plan()?;
    let matrix = Matrix::new(&plan, contender::missing)?;
    enter::enter()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(enter::until_signal(run(plan, matrix, place)))
}

async fn run(plan: ReportPlan, matrix: Matrix, place: Place) -> Outcome<ExitCode> {
    for line in &matrix.left_out {
        println!("left out: {line}");
    }
    let mut report = Report {
        machine: machine::look(),
        parameters: plan.parameters(),
        left_out: matrix.left_out,
        runs: Vec::new(),
        field: Vec::new(),
    };
    let mut progress = Progress::new(&matrix.cases, plan.runs, plan.watch);
    for _ in 0..plan.runs {
        for case in &matrix.cases {
            let attempts = if plan.believe.is_some() { ATTEMPTS } else { 1 };
            for attempt in 1..=attempts {
                progress.begins(case);
                let run = once(case, &plan).await;
                let last = run.believed || run.error.is_some() || attempt == attempts;
                progress.ended(&run, last);
                report.runs.push(run);
                report.machine.end();
                place.write(&report)?;
                if last {
                    break;
                }
            }
        }
    }
    if let Some(tables) = &plan.field {
        report.field = field::make(tables).await?;
        report.machine.end();
        place.write(&report)?;
    }
    println!("\n{}\n{place}", table::render(&report));
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One run. That it cannot be made is a result, too: the others are worth having.
async fn once(case: &Case, plan: &ReportPlan) -> Run {
    let scenario = case.scenario(plan);
    match scenario.run_for(plan.watching()).await {
        Ok(seen) => observe::run(case, plan, &seen).await,
        Err(error) => observe::failed(case, &error.to_string()),
    }
}

fn read(file: &Path) -> Outcome<Report> {
    let text =
        std::fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    Ok(serde_json::from_slice(&text).map_err(|error| {
        format!("{} is no report.json of this version: {error}", file.display())
    })?)
}

/// Where a report is written.
struct Place(PathBuf);

impl Place {
    fn new(directory: &Path) -> Outcome<Self> {
        std::fs::create_dir_all(directory).map_err(|error| {
            format!(
                "cannot make the directory {}: {error}; --out names another",
                directory.display()
            )
        })?;
        Ok(Self(directory.to_owned()))
    }

    fn write(&self, report: &Report) -> Outcome {
        let files = [
            ("report.json", serde_json::to_string(report)? + "\n"),
            ("report.md", table::render(report)),
            ("report.html", page::render(report)?),
        ];
        for (name, text) in files {
            let file = self.0.join(name);
            std::fs::write(&file, text)
                .map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "written: {}/report.{{html,md,json}}", self.0.display())
    }
}
