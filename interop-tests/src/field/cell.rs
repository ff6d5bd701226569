//! A cell of a table: a trial, as often as is wanted, and its medians.

use std::time::Duration;

use crate::lab::activity::Activity;
use crate::lab::trial::{Trial, Tried, mean};
use crate::report::stats::median;

/// Medians of some runs of one trial.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    /// Bulk, in Mbit/s.
    pub(super) mbits: Option<f64>,
    /// Echo: the median, in milliseconds.
    pub(super) p50: Option<f64>,
    /// The 99th percentile.
    pub(super) p99: Option<f64>,
    /// The first rival, in Mbit/s.
    pub(super) rival: Option<f64>,
    /// What the daemons did.
    pub(super) activity: Option<Activity>,
    /// Of the last run: the flow's and the first rival's Mbit/s in each second.
    pub(super) seconds: [Vec<f64>; 2],
    /// What went wrong in a run.
    pub(super) wrong: Option<String>,
}

impl Cell {
    /// Runs the trial so often.
    pub(super) async fn run(trial: &Trial, runs: usize) -> Self {
        let (mut all, mut wrong) = (Vec::new(), None);
        for _ in 0..runs {
            match trial.run().await {
                Ok(tried) => {
                    wrong = wrong.or(tried.wrong().map(str::to_owned));
                    all.push(tried);
                }
                Err(error) => wrong = Some(first_line(&error.to_string())),
            }
        }
        Self { wrong, ..Self::of(&all) }
    }

    fn of(all: &[Tried]) -> Self {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let trip = |index: usize| median(all.iter().filter_map(|t| Some(ms(t.trips()?[index]))));
        let activity = |field: fn(&Activity) -> f64| {
            median(all.iter().filter_map(|tried| tried.activity.as_ref().map(field)))
        };
        let rival = |tried: &Tried| tried.rivals.first().map(|(_, seconds)| seconds.clone());
        let last = all.last();
        let flow = last.and_then(|t| t.flows.iter().find(|flow| !flow.seconds.is_empty()));
        Self {
            mbits: median(all.iter().filter_map(Tried::mbits)),
            p50: trip(0),
            p99: trip(1),
            rival: median(all.iter().filter_map(|tried| rival(tried).map(|r| mean(&r)))),
            activity: activity(|a| a.suspicions).map(|suspicions| Activity {
                suspicions,
                reported: activity(|a| a.reported).unwrap_or_default(),
                twice: activity(|a| a.twice).unwrap_or_default(),
                replaced: activity(|a| a.replaced).unwrap_or_default(),
                ends: all
                    .iter()
                    .filter_map(|t| t.activity.as_ref())
                    .flat_map(|a| a.ends.clone())
                    .collect(),
            }),
            seconds: [
                flow.map(|flow| flow.seconds.clone()).unwrap_or_default(),
                last.and_then(rival).unwrap_or_default(),
            ],
            wrong: None,
        }
    }

    /// Returns what went wrong, and which lanes ended why, to stand in the last column.
    pub(super) fn remark(&self) -> String {
        let wrong = self.wrong.as_ref().map(|wrong| format!("**{wrong}**"));
        let ends = self.activity.iter().flat_map(|activity| activity.ends.clone());
        wrong.into_iter().chain(ends).collect::<Vec<_>>().join("; ")
    }

    /// Returns what the daemons did, in four columns: suspicions and reported ones a minute and lane,
    /// percent of the bytes twice, lanes replaced.
    pub(super) fn activity_columns(&self) -> [String; 4] {
        let column = |number: fn(&Activity) -> f64, digits: usize| {
            self.activity.as_ref().map_or("–".into(), |a| format!("{:.digits$}", number(a)))
        };
        [
            column(|a| a.suspicions, 1),
            column(|a| a.reported, 1),
            column(|a| a.twice * 100.0, 2),
            column(|a| a.replaced, 0),
        ]
    }
}

/// The heads of [`Cell::activity_columns`].
pub(super) const ACTIVITY_HEADS: [&str; 4] =
    ["Suspicions /min lane", "… that lasted or re-sent", "Bytes twice %", "Lanes replaced"];

/// A number of a table.
pub(super) fn show(number: Option<f64>, digits: usize) -> String {
    number.map_or("–".into(), |number| format!("{number:.digits$}"))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::flow::Kind;
    use crate::lab::trial::FlowTried;

    fn tried(mbits: f64, p99: u64) -> Tried {
        let flow = |kind, seconds, trips| FlowTried {
            kind,
            seconds,
            trips,
            gap: Duration::ZERO,
            end: Ok(1),
        };
        let trips = Some([10, p99].map(Duration::from_millis));
        let flows = vec![
            flow(Kind::Echo, vec![], trips),
            flow(Kind::Download, vec![mbits, mbits + 2.0], None),
        ];
        Tried { flows, rivals: vec![], activity: None }
    }

    #[test]
    fn a_cell_is_the_median_of_its_runs() {
        let cell = Cell::of(&[tried(1.0, 30), tried(9.0, 90), tried(4.0, 40)]);
        assert_eq!((cell.mbits, cell.p50, cell.p99), (Some(5.0), Some(10.0), Some(40.0)));
        assert_eq!(cell.rival, None);
        assert_eq!(cell.seconds[0], [4.0, 6.0]);
        assert_eq!(cell.activity_columns(), ["–"; 4]);
        assert_eq!(Cell::of(&[]).mbits, None);
    }

    #[test]
    fn a_remark_says_what_went_wrong_and_why_lanes_ended() {
        let ended = |why: &str| {
            let activity = Activity { ends: vec![why.into()], ..Activity::default() };
            Tried { activity: Some(activity), ..tried(1.0, 1) }
        };
        let cell = Cell::of(&[ended("silent"), tried(1.0, 1), ended("closed")]);
        assert_eq!(cell.remark(), "silent; closed");
        assert_eq!(
            Cell { wrong: Some("stuck".into()), ..cell }.remark(),
            "**stuck**; silent; closed"
        );
    }
}
