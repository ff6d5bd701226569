//! The log in JSON: what happened on Tuesday night is answered from a file, by the command of the manual.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use throughline_emulator::Profile;
use throughline_fixture::{Outcome, ProgramPair, Shape, alone, process};

/// Returns the command of the manual.
fn command_of_the_manual() -> String {
    let manual = include_str!("../../../../docs/CONFIG.md");
    let line = manual.lines().find_map(|line| line.strip_prefix("$ jq -rR "));
    format!("jq -rR {}", line.expect("the manual has it"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_json_says_what_happened_in_a_night() -> Outcome {
    if process::installed("jq").is_none() {
        assert!(std::env::var_os("THROUGHLINE_NO_SKIP").is_none(), "jq is not installed");
        eprintln!("SKIPPED: the log in JSON: jq is not installed (apt-get install jq)");
        return Ok(());
    }
    let _alone = alone().await;
    let shape =
        Shape { profile: Profile::new(50_000_000, Duration::from_millis(10)), ..Shape::default() };
    let program = Path::new(env!("CARGO_BIN_EXE_throughline"));
    let starter = ["env", "THROUGHLINE_LOG_FORMAT=json"];
    let pair = ProgramPair::start_program(program, shape, "", &starter)?;
    let log = pair.near.log();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).map_err(|error| format!("{line}: {error}"))?;
        assert!(line["timestamp"].is_string() && line["message"].is_string(), "{line}");
    }
    // As of the night of the manual, with a line before and one after it, and one that somebody else wrote.
    let is_event = |line: &&str| line.contains("\"lane-up\"") && line.contains("isp-a");
    let first = log.lines().find(is_event).ok_or("no event")?;
    let at = |time: &str| {
        let stamp = serde_json::from_str::<Value>(first).unwrap()["timestamp"].take();
        first.replace(stamp.as_str().unwrap(), time)
    };
    let night = [
        at("2026-11-24T21:59:59.999999Z"),
        at("2026-11-24T22:00:00.000000Z"),
        "Starting Throughline...".to_owned(),
        at("2026-11-25T05:59:59.999999Z"),
        at("2026-11-25T06:00:00.000000Z"),
    ];
    let file = pair.directory().join("throughline.json");
    std::fs::write(&file, night.join("\n") + "\n" + &log)?;
    let command = command_of_the_manual()
        .replace("/var/log/throughline.json", file.to_str().ok_or("a path")?);
    let output = Command::new("sh").args(["-c", &command]).output()?;
    let said = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    for (line, time) in lines.iter().zip(["2026-11-24T22:00:00", "2026-11-25T05:59:59"]) {
        assert!(line.starts_with(time) && line.contains("  far  isp-a  lane up"), "{line}");
    }
    Ok(())
}
