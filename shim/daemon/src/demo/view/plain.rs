//! One line per second, for logs and pipes.

use std::time::Duration;

use super::super::flow::{Ending, Flow, Meter, Via};
use super::super::scene::Scene;
use super::super::script::Isp;
use super::super::text::{print_line, rate, time};

const LINE_INTERVAL: Duration = Duration::from_secs(1);
/// An echo unanswered for longer is shown as stuck.
const STUCK: Duration = Duration::from_millis(400);

pub(super) async fn show(scene: &Scene) {
    print_line(format_args!("throughline demo: {}", scene.title));
    let mut at = Duration::ZERO;
    while at < scene.script.length {
        let before = at;
        at = (at + LINE_INTERVAL).min(scene.script.length);
        scene.clock.until(at).await;
        print_line(line(scene, before, at));
    }
    print_line("");
}

/// Describes what happened from `before` to `at`.
fn line(scene: &Scene, before: Duration, at: Duration) -> String {
    let mut line = format!("{:5.1} s ", at.as_secs_f64());
    for isp in Isp::BOTH {
        let down = scene.script.is_down(isp, &(before..at));
        line += &format!(" {} {:<5}", isp.title(), if down { "DEAD" } else { "up" });
    }
    for flow in &scene.flows {
        let name = if flow.via == Via::Tcp { "plain TCP echo" } else { flow.name };
        line += &format!(" | {name} {:<10}", state(flow, before, at));
    }
    line.trim_end().to_owned()
}

fn state(flow: &Flow, before: Duration, at: Duration) -> String {
    match &*flow.ending.lock() {
        Some(Ending::Died(_)) => return "died".into(),
        Some(Ending::Wrong(_)) => return "WRONG".into(),
        Some(Ending::Right) | None => {}
    }
    match &*flow.meter.lock() {
        Meter::Bulk(meter) => rate(meter.rate(&(before..at))),
        Meter::Echo(meter) if meter.waiting(at) >= STUCK => {
            format!("stuck {}", time(meter.waiting(at)))
        }
        Meter::Echo(meter) => time(meter.worst(&(before..at), at)),
    }
}
