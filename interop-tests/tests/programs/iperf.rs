//! iperf3, both directions at once.

use std::process::Stdio;
use std::time::{Duration, Instant};

use interop_tests::lab::Outcome;
use interop_tests::process::{self, Process};
use serde_json::Value;
use tokio::process::Command;

use crate::failure::{self, Over};
use crate::site::{self, Sites};
use crate::skip::skipped;
use crate::turn;

/// Bytes that must move before, during and after each failure: much more than what keeps lanes
/// alive.
const STEP: u64 = 4 << 20;

/// Seconds of a run; there are more of them if the failures are not over.
const LENGTH: u64 = 8;

/// A second that ends within this after a failure may be without a byte: the one it falls in, and
/// what its start was told later than it was.
const AROUND: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread")]
async fn iperf3_has_throughput_both_ways_in_every_second_while_each_isp_dies() -> Outcome {
    if skipped("iperf3", &["iperf3"], "iperf3") {
        return Ok(());
    }
    let _turn = turn::shared().await;
    let port = process::free_tcp_port()?;
    let mut command = std::process::Command::new("iperf3");
    command.args(["--server", "--json", "--bind", "127.0.0.1", "--port", &port.to_string()]);
    let _server = Process::start("iperf3", command.stdout(Stdio::null()))?;
    Sites::start(&site::forward("iperf", port))?
        .run(async |sites: &Sites| {
            let ingress = sites.near.ingress("iperf")?;
            let over = Over::default();
            let measuring = async {
                let mut runs = Vec::new();
                while !over.yet() {
                    let began = Instant::now();
                    let mut command = Command::new("iperf3");
                    command.args(["--client", "127.0.0.1", "--port", &ingress.port().to_string()]);
                    command.args(["--bidir", "--json", "--time", &LENGTH.to_string()]);
                    // The upload as the server received it: to send is to fill buffers.
                    command.arg("--get-server-output");
                    let output = command.kill_on_drop(true).output().await?;
                    let said = String::from_utf8(output.stdout)?;
                    assert!(output.status.success(), "iperf3: {}: {said}", output.status);
                    runs.push((began, serde_json::from_str::<Value>(&said)?));
                }
                Outcome::Ok(runs)
            };
            let carried = || failure::carried(sites);
            let failures = failure::each_isp_dies(sites, &over, carried, STEP);
            let (runs, died) = tokio::try_join!(measuring, failures)?;
            for (began, report) in &runs {
                judge(*began, report, &died)?;
            }
            Ok(())
        })
        .await
}

/// Every second of a run but those around a failure has bytes that were received, at both ends.
fn judge(began: Instant, report: &Value, died: &[Instant]) -> Outcome {
    assert!(report["error"].is_null(), "iperf3 says: {}", report["error"]);
    for (way, end, sum) in
        [("down", report, "sum_bidir_reverse"), ("up", &report["server_output_json"], "sum")]
    {
        let seconds = end["intervals"].as_array().ok_or(format!("no intervals: {report}"))?;
        assert!(seconds.len() as u64 >= LENGTH, "{} seconds of {LENGTH} {way}", seconds.len());
        let mut rates = Vec::new();
        // What may follow the last second is a moment's rest.
        for second in &seconds[..LENGTH as usize] {
            let second = &second[sum];
            assert_eq!(second["sender"], false, "not the receiver's word");
            let rate = second["bits_per_second"].as_f64().ok_or("no rate")?;
            let end = second["end"].as_f64().ok_or("no end")?;
            let ended = began + Duration::from_secs_f64(end);
            let around = died.iter().any(|at| (*at..*at + AROUND).contains(&ended));
            assert!(rate > 0.0 || around, "nothing {way} in the second that ended at {end}");
            rates.push(format!("{:.0}", rate / 1e6));
        }
        println!("    iperf3: Mbit/s {way} each second: {}", rates.join(" "));
    }
    Ok(())
}
