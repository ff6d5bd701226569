//! `throughline top` in a real terminal: it follows a failure, drains by a key, and leaves the terminal as it was.

mod terminal;

use std::process::Stdio;
use std::time::Duration;

use throughline_emulator::Way;
use throughline_fixture::{DaemonPair, alone};
use tokio::process::Command;

use self::terminal::Terminal;
use super::flows::Flows;
use super::site::start_pair;

fn top(pair: &DaemonPair, size: (u16, u16)) -> Terminal {
    Terminal::start(&["top", "--socket", pair.near_socket().to_str().unwrap()], size)
}

/// Returns whether the line of an uplink has this state.
fn is_in(uplink: &str, state: &str) -> impl Fn(&str) -> bool {
    move |screen| {
        screen.lines().any(|line| line.starts_with(&format!("│{uplink} ")) && line.contains(state))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_follows_a_failure_and_an_uplink_is_drained_by_a_key() {
    let _alone = alone().await;
    let pair = start_pair().await;
    let flows = Flows::start(pair.socks()).await;
    let mut top = top(&pair, (160, 40));
    top.until("isp-b in use", is_in("isp-b", "in use")).await;
    top.shows("Mbit/s").await;
    top.shows("flows: 3 of 3, by rate").await;
    pair.isp("isp-b").blackhole(Way::Both);
    let took = top.until("isp-b without an answer", is_in("isp-b", "no answer")).await;
    println!("the failure was on the screen after {took:?}");
    // The goal is a second; a busy machine gets more.
    assert!(took < Duration::from_secs(2), "{took:?}");
    top.press("d");
    top.shows("no other uplink answers, so flows stay on isp-a").await;
    top.press("n");
    top.shows("nothing was changed").await;
    pair.isp("isp-b").heal(Way::Both);
    top.until("isp-b in use", is_in("isp-b", "in use")).await;

    top.press("jd");
    top.shows("y drains isp-b: flows leave it").await;
    top.press("y");
    top.shows("isp-b is drained").await;
    let is_drained = async |pair: &DaemonPair| {
        pair.near_report().await.uplinks.iter().any(|u| u.name == "isp-b" && u.draining)
    };
    assert!(is_drained(&pair).await);
    top.until("isp-b draining", is_in("isp-b", "draining")).await;
    top.press("ry");
    top.shows("isp-b is in use").await;
    assert!(!is_drained(&pair).await);

    top.press("\t\td");
    top.shows("d and r are for uplinks").await;
    top.press("/nothing");
    top.shows("flows: 0 of 3 with \"nothing\"").await;
    // Ctrl-C, whatever is being typed.
    top.press("\u{3}");
    assert!(top.ends().await);
    flows.end().await;
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_size_is_too_small_and_a_daemon_that_is_gone_is_asked_again() {
    let pair = start_pair().await;
    let terminal = top(&pair, (20, 5));
    terminal.shows("isp-a").await;
    for (width, height) in [(1, 1), (300, 100), (100, 30)] {
        terminal.resize(width, height);
        let last = if width > 1 { "q quit" } else { "q" };
        terminal.shows(last).await;
    }
    let socket = pair.near_socket();
    let directory = tempfile::tempdir().unwrap();
    let aside = directory.path().join("socket");
    // It is there, and answers; but not at its path.
    std::fs::rename(&socket, &aside).unwrap();
    terminal.shows(&format!("the daemon does not answer at {}", socket.display())).await;
    std::fs::rename(&aside, &socket).unwrap();
    terminal.until("an answer", |screen| !screen.contains("does not answer")).await;
    let pid = rustix::process::Pid::from_raw(terminal.id()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(terminal.ends().await);
    pair.shutdown().await;
}

#[tokio::test]
async fn without_a_terminal_it_says_what_to_do_and_without_a_daemon_it_waits_for_one() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
    let output =
        command.args(["top", "--socket", "/nowhere"]).stdin(Stdio::null()).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("throughline status"), "{said}");
    let mut terminal = Terminal::start(&["top", "--socket", "/nowhere"], (160, 40));
    terminal.shows("waiting for the daemon at /nowhere for 1 s (No such file").await;
    terminal.shows("until q").await;
    terminal.press("q");
    assert!(terminal.ends().await);

    let pair = start_pair().await;
    let directory = tempfile::tempdir().unwrap();
    let later = directory.path().join("socket");
    let terminal = Terminal::start(&["top", "--socket", later.to_str().unwrap()], (160, 40));
    terminal.shows(&format!("waiting for the daemon at {}", later.display())).await;
    std::os::unix::fs::symlink(pair.near_socket(), &later).unwrap();
    terminal.until("isp-a in use", is_in("isp-a", "in use")).await;
    assert!(!terminal.text().contains("waiting"), "{}", terminal.text());
    drop(terminal);
    pair.shutdown().await;
}
