//! iperf3, both ways at once.

use std::process::Stdio;
use std::time::{Duration, Instant};

use interop_tests::process::{self, Process};
use interop_tests::skip::skipped;
use interop_tests::support::Outcome;
use serde_json::Value;
use tokio::process::Command;

use crate::failure::{self, Over};
use crate::turn;
use throughline_fixture::{ProgramPair, Shape, forward};

/// Bytes that must move before, during and after each failure: much more than what keeps lanes
/// alive.
const STEP: u64 = 4 << 20;

/// Seconds of a run; there are more of them if the failures are not over.
const LENGTH: u64 = 8;

/// A second that ends within this after a failure may be without a byte: the one it falls in, and
/// what its start was told later than it was.
const AROUND: Duration = Duration::from_millis(1500);

/// The directions, and what makes iperf3 take each. Two clients, each with a server: `--bidir`
/// tells its two connections apart by the order in which they arrive, which is kept mostly, and
/// not always.
const WAYS: [(&str, &[&str]); 2] = [("up", &[]), ("down", &["--reverse"])];

#[tokio::test(flavor = "multi_thread")]
async fn iperf3_has_throughput_both_ways_in_every_second_while_each_isp_dies() -> Outcome {
    if skipped("iperf3", &["iperf3"], "iperf3") {
        return Ok(());
    }
    let _turn = turn::shared().await;
    let (mut servers, mut ingresses) = (Vec::new(), String::new());
    for (way, _) in WAYS {
        let port = process::free_tcp_port()?;
        let mut command = std::process::Command::new("iperf3");
        command.args(["--server", "--json", "--bind", "127.0.0.1", "--port", &port.to_string()]);
        servers.push(Process::start("iperf3", command.stdout(Stdio::null()))?);
        ingresses += &forward(way, port);
    }
    ProgramPair::start(Shape::default(), &ingresses)?
        .run(async |pair: &ProgramPair| {
            let over = Over::default();
            let [up, down] = WAYS.map(|way| measure(pair, &over, way));
            let carried = || failure::carried(pair);
            let failures = failure::each_isp_dies(pair, &over, carried, STEP);
            let (up, down, died) = tokio::try_join!(up, down, failures)?;
            for (began, report) in &up {
                // What the server received: to send is to fill buffers.
                judge("up", *began, &report["server_output_json"], &died)?;
            }
            for (began, report) in &down {
                judge("down", *began, report, &died)?;
            }
            Ok(())
        })
        .await
}

/// Runs of iperf3 in one direction until the failures are over: when each began, and its report.
async fn measure(
    pair: &ProgramPair,
    over: &Over,
    (way, options): (&str, &[&str]),
) -> Outcome<Vec<(Instant, Value)>> {
    let port = pair.near.ingress(way)?.port().to_string();
    let mut runs = Vec::new();
    while !over.yet() {
        let began = Instant::now();
        let mut command = Command::new("iperf3");
        command.args(["--client", "127.0.0.1", "--port", &port, "--json", "--get-server-output"]);
        command.args(["--time", &LENGTH.to_string()]).args(options);
        let output = command.kill_on_drop(true).output().await?;
        let said = String::from_utf8(output.stdout)?;
        assert!(output.status.success(), "iperf3 {way}: {}: {said}", output.status);
        let report: Value = serde_json::from_str(&said)?;
        assert!(report["error"].is_null(), "iperf3 {way} says: {}", report["error"]);
        runs.push((began, report));
    }
    Ok(runs)
}

/// Every second of the receiver but those around a failure has bytes.
fn judge(way: &str, began: Instant, receiver: &Value, died: &[Instant]) -> Outcome {
    let seconds = receiver["intervals"].as_array().ok_or(format!("no intervals: {receiver}"))?;
    assert!(seconds.len() as u64 >= LENGTH, "{} seconds of {LENGTH} {way}", seconds.len());
    let mut rates = Vec::new();
    // What may follow the last second is a moment's rest.
    for second in &seconds[..LENGTH as usize] {
        let second = &second["sum"];
        assert_eq!(second["sender"], false, "not the receiver's word");
        let rate = second["bits_per_second"].as_f64().ok_or("no rate")?;
        let end = second["end"].as_f64().ok_or("no end")?;
        let ended = began + Duration::from_secs_f64(end);
        let around = died.iter().any(|at| (*at..*at + AROUND).contains(&ended));
        assert!(rate > 0.0 || around, "nothing {way} in the second that ended at {end}");
        rates.push(format!("{:.0}", rate / 1e6));
    }
    println!("    iperf3: Mbit/s {way} each second: {}", rates.join(" "));
    Ok(())
}
