//! The report by its command line: a run that is made, one that is drawn anew, and mistakes.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use interop_tests::lab::enter;
use interop_tests::support::Outcome;

fn report(out: &Path, arguments: &str) -> Outcome<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_interop"));
    command.arg("report").arg("--out").arg(out).args(arguments.split_whitespace());
    Ok(command.stdin(Stdio::null()).output()?)
}

#[test]
fn a_run_is_shown_on_plain_lines_and_written_in_three_ways() -> Outcome {
    if enter::skipped("a_run_is_shown_on_plain_lines_and_written_in_three_ways") {
        return Ok(());
    }
    let place = tempfile::tempdir()?;
    let arguments = "--systems tcp --failures brown-out --flows echo --rate 50 --watch 2";
    let output = report(place.path(), arguments)?;
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    assert!(said.contains("[1/1] brown-out (client, IPv4): plain TCP: echo "), "{said}");
    assert!(!said.contains('\x1b'), "this is no terminal: {said}");
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.path().join("report.json"))?)?;
    let flow = &json["runs"][0]["flows"][0];
    // 20 ms, and 50 more each way.
    assert!(flow["stall"]["ms"].as_f64().is_some_and(|ms| ms >= 120.0), "{flow}");
    assert!(flow["trace"]["values"].as_array().is_some_and(|all| all.len() >= 80), "{flow}");
    for name in ["report.md", "report.html"] {
        let text = std::fs::read_to_string(place.path().join(name))?;
        assert!(text.contains("brown-out") && text.contains("plain TCP"), "{name}");
    }
    Ok(())
}

#[test]
fn the_sample_in_the_docs_is_one_of_this_version() -> Outcome {
    let place = tempfile::tempdir()?;
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/sample-report/report.json");
    let output = report(place.path(), &format!("--render {}", sample.display()))?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page = std::fs::read_to_string(place.path().join("report.html"))?;
    for part in ["Throughline auto", "Throughline single", "plain TCP", "blackhole", "carrier"] {
        assert!(page.contains(part), "{part}");
    }
    Ok(())
}

#[test]
fn a_mistake_is_answered_with_a_hint() -> Outcome {
    let place = tempfile::tempdir()?;
    for (arguments, wrong, hint) in [
        ("--failures black-hole", "`black-hole`", "blackhole"),
        ("--systems tcp --failures drain", "only Throughline has a drain", "nothing is left"),
        ("--runs 0", "--runs 0", "from 1 to 1000"),
        ("--render /nonexistent.json", "cannot read /nonexistent.json", "No such file"),
    ] {
        let output = report(place.path(), arguments)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments}");
        assert!(said.contains(wrong) && said.contains(hint), "{arguments}: {said}");
    }
    let file = place.path().join("file");
    std::fs::write(&file, "")?;
    let output = report(&file.join("below"), "")?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("--out names another"), "{said}");
    Ok(())
}
