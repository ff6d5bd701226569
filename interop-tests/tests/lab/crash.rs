//! What a crash leaves behind: nothing.

use std::collections::HashSet;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use interop_tests::lab::enter;
use interop_tests::support::Outcome;

/// Returns all that `root` started, and what those started, as `/proc` has it.
fn descendants(root: u32) -> HashSet<u32> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // After the name in parentheses: state, parent.
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        if let Some(parent) = parent.and_then(|parent| parent.parse::<u32>().ok()) {
            parents.push((id, parent));
        }
    }
    let mut found = HashSet::from([root]);
    loop {
        let before = found.len();
        let children = parents.iter().filter(|(_, parent)| found.contains(parent));
        let children: Vec<u32> = children.map(|(id, _)| *id).collect();
        found.extend(children);
        if found.len() == before {
            return found;
        }
    }
}

fn is_alive(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/stat"))
        // A zombie waits for nobody but its parent.
        .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
}

#[test]
fn a_lab_that_is_killed_takes_its_daemons_with_it() -> Outcome {
    if enter::skipped("a_lab_that_is_killed_takes_its_daemons_with_it") {
        return Ok(());
    }
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
    lab.args(["run", "blackhole", "--mode", "auto", "--flows", "echo", "--rate", "50"]);
    let mut lab = lab.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    // `unshare`, the program in there, two daemons.
    let until = Instant::now() + Duration::from_secs(120);
    let mut all = HashSet::new();
    while all.len() < 4 {
        assert!(Instant::now() < until, "the daemons do not come");
        assert!(lab.try_wait()?.is_none(), "it has ended");
        std::thread::sleep(Duration::from_millis(20));
        let now = descendants(lab.id());
        let named = |id: &u32| {
            let line = std::fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default();
            line.contains("throughline\0run")
        };
        if now.iter().filter(|id| named(id)).count() == 2 {
            all = now;
        }
    }
    lab.kill()?;
    lab.wait()?;
    let until = Instant::now() + Duration::from_secs(5);
    while all.iter().any(|id| is_alive(*id)) {
        let left: Vec<_> = all.iter().filter(|id| is_alive(**id)).collect();
        assert!(Instant::now() < until, "still alive: {left:?} of {all:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
