//! The results of the demo: a table for people, an object for programs, one verdict for both.

use std::time::Duration;

use serde::Serialize;

use super::flow::{Ending, Flow, Flows, Kind, Meter, Via};
use super::paint::Paint;
use super::script::Script;
use super::text::{bytes, count, time};

/// A gap from which on a person calls a flow stuck.
const STUCK: Duration = Duration::from_secs(1);
/// A gap that nobody notices, typing or watching.
const UNNOTICED: Duration = Duration::from_millis(200);

/// The result of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether every flow through Throughline ended by itself with every byte right.
    pub(super) ok: bool,
    pub(super) flows: Vec<FlowReport>,
    failures: Vec<FailureReport>,
    /// By how much this machine was late itself at the worst, which is in every gap.
    machine_late_ms: f64,
    #[serde(skip)]
    late: Duration,
}

/// The result of a flow.
#[derive(Debug, Serialize)]
pub(super) struct FlowReport {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) via: &'static str,
    /// The longest gap of each failure; of an echo, the worst round trip.
    pub(super) gaps_ms: Vec<f64>,
    pub(super) bytes: u64,
    pub(super) sha256_ok: bool,
    /// What went wrong, if anything did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(skip)]
    gaps: Vec<Duration>,
}

#[derive(Debug, Serialize)]
struct FailureReport {
    isp: &'static str,
    down_s: f64,
    up_s: f64,
    #[serde(skip)]
    title: &'static str,
}

/// Less than this a machine is late now and then that has nothing else to do.
const LATE: Duration = Duration::from_millis(20);
/// A machine that is this late has no time for what the demo measures.
const TOO_LATE: Duration = Duration::from_millis(500);

/// The size of an echo message, in bytes.
const ECHO_MESSAGE: u64 = 64;

impl Report {
    /// Judges the flows at the time `now` of the run, on a machine that was `late` by so much.
    pub(super) fn new(script: &Script, flows: &Flows, now: Duration, late: Duration) -> Self {
        let flows: Vec<_> = flows.iter().map(|flow| FlowReport::new(script, flow, now)).collect();
        let ours = flows.iter().filter(|flow| flow.via == Via::Throughline.name());
        let failures = script.failures.iter().map(|failure| FailureReport {
            isp: failure.isp.name(),
            down_s: seconds(failure.down.start),
            up_s: seconds(failure.down.end),
            title: failure.isp.title(),
        });
        Self {
            ok: { ours }.all(|flow| flow.sha256_ok),
            failures: failures.collect(),
            flows,
            machine_late_ms: millis(late),
            late,
        }
    }

    /// Returns the results as one JSON object on one line.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and texts are JSON")
    }

    /// Returns the table and the verdict.
    pub(super) fn table(&self, paint: Paint) -> String {
        let mut text = format!("  {:<24}", "longest gap when");
        for failure in &self.failures {
            text += &format!("{:>14}", format!("{} died", failure.title));
        }
        text += &format!("{:>16}   SHA-256\n", "moved");
        for flow in &self.flows {
            text += &flow.row(paint);
        }
        text + "\n" + &self.verdict(paint)
    }

    /// Returns whether a flow of ours has wrong bytes, which no machine is too busy for.
    fn has_wrong_bytes(&self) -> bool {
        let ours = self.flows.iter().filter(|flow| flow.via == Via::Throughline.name());
        { ours }.any(FlowReport::is_wrong)
    }

    fn verdict(&self, paint: Paint) -> String {
        let mut text = String::new();
        for flow in &self.flows {
            if let Some(error) = &flow.error {
                text += &paint.red(&format!("  ✘ {} ({}): {error}\n", flow.name, flow.via));
            }
        }
        let worst = |via: Via| {
            let gaps = self.flows.iter().filter(|flow| flow.via == via.name());
            gaps.flat_map(|flow| &flow.gaps).max().copied().unwrap_or_default()
        };
        let (ours, tcp) = (time(worst(Via::Throughline)), worst(Via::Tcp));
        if self.ok {
            text +=
                &paint.green("  ✔ Both ISPs failed silently, one after the other. No flow broke,");
            text += &format!("\n    every byte is right, and nothing waited longer than {ours}.\n");
        } else if self.late >= TOO_LATE && !self.has_wrong_bytes() {
            text += &paint
                .red("  ✘ A flow broke or did not end in time, on a machine that was too busy:");
            text += "\n    try again when it has less to do.\n";
        } else {
            text += &paint.red("  ✘ A flow broke or a byte is wrong. This is a bug:");
            text += "\n    please report it with the lines above.\n";
        }
        let stuck = if tcp >= STUCK { "was stuck for" } else { "waited at most" };
        text += &format!("    Plain TCP through ISP A {stuck} {}.\n", time(tcp));
        if self.late >= LATE {
            let late = time(self.late);
            text += &format!(
                "    This machine was late itself, by {late} at the worst: that is in the waits.\n"
            );
        }
        text + &paint.dim("    Only the internet is emulated, on loopback; all the rest is real.")
    }
}

impl FlowReport {
    /// Returns whether its bytes are wrong, and not only fewer.
    fn is_wrong(&self) -> bool {
        self.error.as_ref().is_some_and(|error| error.starts_with(WRONG))
    }

    fn new(script: &Script, flow: &Flow, now: Duration) -> Self {
        let ending = flow.ending.lock().clone();
        let ended_well = matches!(ending, Some(Ending::Right | Ending::Wrong(_)));
        // A flow that ended well has no gap after the end of the run.
        let now = if ended_well { script.length } else { now };
        let windows = (0..script.failures.len()).map(|failure| script.window(failure));
        let (gaps, bytes): (Vec<_>, _) = match &*flow.meter.lock() {
            Meter::Bulk(meter) => {
                (windows.map(|window| meter.longest_gap(&window, now)).collect(), meter.bytes())
            }
            Meter::Echo(meter) => {
                let bytes = meter.answers() as u64 * ECHO_MESSAGE;
                (windows.map(|window| meter.worst(&window, now)).collect(), bytes)
            }
        };
        let error = match ending {
            Some(Ending::Right) => None,
            Some(Ending::Wrong(what)) => Some(format!("{WRONG}{what}")),
            Some(Ending::Died(reason)) => Some(format!("died: {reason}")),
            None => Some("did not end after the run".to_owned()),
        };
        Self {
            name: flow.name,
            kind: flow.kind.name(),
            via: flow.via.name(),
            gaps_ms: gaps.iter().map(|gap| millis(*gap)).collect(),
            bytes,
            sha256_ok: error.is_none(),
            error,
            gaps,
        }
    }

    fn row(&self, paint: Paint) -> String {
        let (via, name) = if self.via == Via::Tcp.name() {
            ("plain TCP", Kind::Echo.name())
        } else {
            (self.via, self.name)
        };
        let mut row = format!("  {via:<12} {name:<11}");
        for gap in &self.gaps {
            row += &if *gap >= STUCK {
                paint.red(&format!("{:>14}", format!("stuck {}", time(*gap))))
            } else if *gap > UNNOTICED {
                paint.yellow(&format!("{:>14}", time(*gap)))
            } else {
                paint.green(&format!("{:>14}", time(*gap)))
            };
        }
        let moved = if self.kind == Kind::Echo.name() {
            format!("{} echoes", count(self.bytes / ECHO_MESSAGE))
        } else {
            bytes(self.bytes)
        };
        row += &format!("{moved:>16}   ");
        row += &match &self.error {
            None => paint.green("right"),
            Some(_) if self.is_wrong() => paint.red("WRONG"),
            Some(_) => paint.red("cut off"),
        };
        row + "\n"
    }
}

/// What the error begins with of a flow whose bytes are wrong, and not only fewer.
const WRONG: &str = "wrong bytes: ";

/// Rounds to tenths of milliseconds.
fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}

/// Rounds to milliseconds.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::super::flow::flows;
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A run of 22 s in which everything goes on with small gaps, but plain TCP hangs.
    fn run() -> (Script, Flows) {
        let (script, flows) = (Script::new(ms(22_000)), flows());
        for flow in &flows {
            for at in (0..22_000).step_by(20) {
                flow.read(ms(at), 2500);
                let hangs = flow.via == Via::Tcp && (5_000..11_200).contains(&at);
                flow.echo(|meter| {
                    meter.sent(ms(at));
                    meter.answered(if hangs { ms(11_200) } else { ms(at + 21) });
                });
            }
            flow.end(Ending::Right);
        }
        (script, flows)
    }

    #[test]
    fn a_good_run_is_ok_and_shows_where_plain_tcp_was_stuck() {
        let (script, flows) = run();
        let report = Report::new(&script, &flows, ms(23_000), ms(3));
        assert!(report.ok);
        let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
        assert_eq!(json["ok"], true);
        assert_eq!(json["flows"][0]["gaps_ms"], serde_json::json!([20.0, 20.0]));
        assert_eq!(json["flows"][0]["kind"], "download");
        assert_eq!(json["flows"][2]["gaps_ms"], serde_json::json!([21.0, 21.0]));
        assert_eq!(json["flows"][3]["via"], "tcp");
        assert_eq!(json["flows"][3]["gaps_ms"][0], 6200.0);
        assert_eq!(json["flows"][1]["sha256_ok"], true);
        let table = report.table(Paint::off());
        println!("{table}");
        assert!(table.contains("stuck 6.2 s"), "{table}");
        assert!(table.contains("2.8 MB   right"), "{table}");
        assert!(table.contains("nothing waited longer than 21 ms"), "{table}");
        assert!(!table.contains("late itself"), "{table}");
        // A terminal of 80 columns wraps none of it.
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    }

    #[test]
    fn a_wrong_byte_or_a_dead_flow_fails_the_run_but_a_dead_tcp_connection_does_not() {
        for (index, ending, ok) in [
            (0, Ending::Wrong("SHA-256 differs".into()), false),
            (1, Ending::Died("connection reset".into()), false),
            (3, Ending::Died("connection reset".into()), true),
        ] {
            let (script, flows) = run();
            *flows[index].ending.lock() = Some(ending);
            let report = Report::new(&script, &flows, ms(23_000), ms(3));
            assert_eq!(report.ok, ok, "flow {index}");
            assert!(!report.flows[index].sha256_ok);
            assert!(report.table(Paint::off()).contains("✘"));
        }
    }

    #[test]
    fn a_machine_that_was_late_is_not_passed_over() {
        let (script, flows) = run();
        let at = |late| Report::new(&script, &flows, ms(23_000), ms(late));
        let busy = at(312).table(Paint::off());
        assert!(
            busy.contains("late itself, by 312 ms") && busy.contains("No flow broke"),
            "{busy}"
        );
        assert!(at(312).json().contains("\"machine_late_ms\":312"), "{}", at(312).json());
        *flows[0].ending.lock() = Some(Ending::Died("not finished".into()));
        let table = at(900).table(Paint::off());
        assert!(table.contains("too busy") && !table.contains("bug"), "{table}");
        assert!(table.contains("cut off") && !table.contains("WRONG"), "{table}");
        assert!(at(10).table(Paint::off()).contains("bug"));
        // No machine is too busy for the right bytes.
        *flows[0].ending.lock() = Some(Ending::Wrong("at byte 7".into()));
        let wrong = at(900).table(Paint::off());
        assert!(wrong.contains("WRONG") && wrong.contains("This is a bug"), "{wrong}");
        assert!(
            [busy, table].iter().flat_map(|t| t.lines()).all(|line| line.chars().count() <= 80)
        );
    }

    #[test]
    fn a_flow_that_died_has_a_gap_from_its_last_byte_until_now() {
        let (script, flows) = (Script::new(ms(22_000)), flows());
        flows[0].read(ms(5_000), 1);
        let report = Report::new(&script, &flows, ms(23_000), ms(3));
        assert_eq!(report.flows[0].gaps_ms, [18_000.0, 18_000.0]);
        assert!(!report.ok);
    }
}
