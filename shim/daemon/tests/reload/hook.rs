//! The command that runs for each event.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use throughline_fixture::{Outcome, until};

use crate::site::Site;

/// Returns the events that a command has written into a file.
fn written(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn has(file: &Path, event: &str, text: &str) -> bool {
    let is_it =
        |e: &Value| e["event"] == event && e["text"].as_str().is_some_and(|t| t.contains(text));
    written(file).iter().any(is_it)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_told_of_each_event_as_long_as_it_is_configured() -> Outcome {
    let site = Site::start("").await?;
    let directory = site.pair.directory();
    let (script, file) = (directory.join("on event"), directory.join("written"));
    std::fs::write(&script, "#!/bin/sh\nset -eu\n[ -z \"${NOTIFY_SOCKET-}\" ]\ncat >> \"$1\"\n")?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    let with = format!("on-event = ['{}', '{}']", script.display(), file.display());
    site.near.field(&with).write()?;
    site.reload("near").await?;
    let set = until(async || has(&file, "config-changed", "`on-event` is ")).await;
    assert!(set, "{:?}", written(&file));
    // In their order, and each once.
    let numbers: Vec<_> = written(&file).iter().map(|event| event["seq"].as_u64()).collect();
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
    // One that fails is in the log, with what it says, and the next one is written all the same.
    std::fs::write(&script, "#!/bin/sh\ncat >> \"$1\"\necho 'no mail today' >&2; exit 7\n")?;
    site.near.field(&with).field("linger = '1h'").write()?;
    site.reload("near").await?;
    site.pair.near.says("failed (exit status: 7): no mail today")?;
    assert!(has(&file, "config-changed", "linger"), "{:?}", written(&file));
    // And none, once there is none.
    site.near.field("linger = '1h'").write()?;
    site.reload("near").await?;
    site.near.field("linger = '2h'").write()?;
    site.reload("near").await?;
    site.pair.near.says("`linger` is 2h instead of 1h")?;
    assert!(!has(&file, "config-changed", "is 2h instead"), "{:?}", written(&file));
    Ok(())
}
