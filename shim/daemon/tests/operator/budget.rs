//! Uplinks that cost money: a budget that is spent ends their use, for good until it is raised or its month is over;
//! and bulk uses one only when the others are full.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use throughline_daemon::admin::{self, EventUpdate};
use throughline_daemon::report::{Report, UplinkReport};
use throughline_emulator::{IspHandle, Profile};
use throughline_fixture::{DaemonPair, ProgramPair, Shape, alone, until};

use super::flows::Flows;
use super::site::RTT;

const SECOND: Duration = Duration::from_secs(1);

fn shape() -> Shape {
    Shape { profile: Profile::new(50_000_000, RTT / 2), ..Shape::default() }
}

/// Returns the bytes that an ISP passes within `time`.
async fn passes(isp: &IspHandle, time: Duration) -> u64 {
    let before = isp.stats().delivered_bytes();
    tokio::time::sleep(time).await;
    isp.stats().delivered_bytes() - before
}

fn uplink(report: &Report, name: &str) -> UplinkReport {
    report.uplinks.iter().find(|uplink| uplink.name == name).unwrap().clone()
}

/// Returns the texts of the events of a kind.
async fn events(socket: &Path, kind: &str) -> Vec<String> {
    let mut events = admin::events(socket, false).await.unwrap();
    let mut found = Vec::new();
    while let Some(EventUpdate::Event(event)) = events.next().await.unwrap() {
        if event.event == kind {
            found.push(format!("{}: {}", event.uplink.clone().unwrap_or_default(), event.text));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spent_budget_ends_the_use_of_an_uplink_in_a_download_and_stays_spent_over_a_restart() {
    let _alone = alone().await;
    let program = Path::new(env!("CARGO_BIN_EXE_throughline"));
    let mut pair = ProgramPair::start_program(program, shape(), "", &[]).unwrap();
    let [isp_a, _] = pair.isps();
    let (file, socket) = (pair.directory().join("near.toml"), pair.directory().join("near.sock"));
    let text = std::fs::read_to_string(&file).unwrap();
    let with_budget = |budget: &str| {
        let text =
            text.replace("[uplinks.isp-a]\n", &format!("[uplinks.isp-a]\nbudget = '{budget}'\n"));
        std::fs::write(&file, format!("state-directory = 'state'\n{text}")).unwrap();
    };
    let budget = async || uplink(&admin::status(&socket).await.unwrap(), "isp-a").budget.unwrap();
    with_budget("2MB");
    pair.near.signal("TERM").unwrap();
    assert!(pair.near.ended().unwrap().success());
    pair.restart_near().unwrap();
    assert!(until(async || pair.uplinks_up().await == Ok(2)).await);

    let flows = Flows::start(pair.socks().unwrap()).await;
    assert!(until(async || budget().await.state == "spent").await, "{:?}", budget().await);
    assert!(
        until(async || uplink(&admin::status(&socket).await.unwrap(), "isp-a").lanes == 0).await
    );
    let spent = budget().await;
    println!("{spent:?} of {} bytes that the ISP has passed", isp_a.stats().delivered_bytes());
    // The last packets of the lane are under way.
    assert!(until(async || passes(&isp_a, SECOND).await == 0).await, "something goes over it");
    let down = flows.down.load(Ordering::Relaxed);
    tokio::time::sleep(SECOND).await;
    assert!(flows.down.load(Ordering::Relaxed) > down + 1_000_000, "the download stands still");
    let reported = events(&socket, "budget-spent").await;
    assert!(
        reported.len() == 1 && reported[0].contains("isp-a: the budget of 2.0 MB is spent"),
        "{reported:?}"
    );
    assert!(reported[0].contains("nothing goes over the uplink until"), "{reported:?}");
    let report = admin::status(&socket).await.unwrap();
    assert_eq!(uplink(&report, "isp-a").state(), "budget spent");
    assert!(
        report.problems()[0].contains("uplink isp-a: the budget of 2.0 MB is spent"),
        "{:?}",
        report.problems()
    );
    // Every byte is compared.
    flows.end().await;

    let (passed, used) = (isp_a.stats().delivered_bytes(), budget().await.used_bytes);
    pair.hand_over("near").unwrap();
    assert_eq!(budget().await.state, "spent");
    assert_eq!(passes(&isp_a, SECOND).await, 0, "the successor uses it");
    pair.near.kill();
    pair.restart_near().unwrap();
    let kept = budget().await;
    assert!(kept.state == "spent" && kept.used_bytes >= 2_000_000, "{kept:?}");
    assert_eq!(passes(&isp_a, SECOND).await, 0, "the next process uses it");
    let more = (isp_a.stats().delivered_bytes() - passed, budget().await.used_bytes - used);
    assert_eq!(more, (0, 0), "bytes by two processes that may use none");
    with_budget("2GB");
    let changes = admin::reload(&socket, false).await.unwrap().changes;
    assert_eq!(changes, ["uplink isp-a changed"]);
    assert!(until(async || pair.uplinks_up().await == Ok(2)).await, "a raised budget is not used");
    assert_eq!(events(&socket, "budget-renewed").await.len(), 1);
}

/// Writes what an uplink has carried in this month, as a process did that ran before.
fn write_ledger(directory: &Path, uplink: &str, used: u64) {
    std::fs::create_dir_all(directory).unwrap();
    // Whichever month it is: of one that has not begun yet, nothing is forgotten either.
    let began = time::OffsetDateTime::now_utc().date().replace_day(1).unwrap();
    let text = format!(
        r#"{{"uplinks":{{"{uplink}":{{"began":"{began}","reset_day":1,"used":{used},"before":null}}}}}}"#
    );
    std::fs::write(directory.join("budgets.json"), text).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uplink_that_a_reload_brings_with_a_spent_budget_is_never_used() {
    let program = Path::new(env!("CARGO_BIN_EXE_throughline"));
    let mut pair = ProgramPair::start_program(program, shape(), "", &[]).unwrap();
    let [isp_a, _] = pair.isps();
    let (file, socket) = (pair.directory().join("near.toml"), pair.directory().join("near.sock"));
    let both = std::fs::read_to_string(&file).unwrap();
    let both = both.replace("[uplinks.isp-a]\n", "[uplinks.isp-a]\nbudget = '2MB'\n");
    let both = format!("state-directory = 'state'\n{both}");
    let (begin, end) =
        (both.find("[uplinks.isp-a]").unwrap(), both.find("[uplinks.isp-b]").unwrap());
    std::fs::write(&file, [&both[..begin], &both[end..]].concat()).unwrap();
    pair.near.signal("TERM").unwrap();
    assert!(pair.near.ended().unwrap().success());
    pair.restart_near().unwrap();
    assert!(until(async || pair.uplinks_up().await == Ok(1)).await);
    assert!(until(async || passes(&isp_a, SECOND).await == 0).await, "the former process's lane");

    write_ledger(&pair.directory().join("state"), "isp-a", 2_000_000);
    let passed = isp_a.stats().delivered_bytes();
    std::fs::write(&file, &both).unwrap();
    assert_eq!(admin::reload(&socket, false).await.unwrap().changes, ["uplink isp-a added"]);
    // It is there once a thread has read the ledger.
    let report = async || admin::status(&socket).await.unwrap();
    assert!(until(async || report().await.uplinks.iter().any(|u| u.name == "isp-a")).await);
    assert_eq!(uplink(&report().await, "isp-a").budget.unwrap().state, "spent");
    tokio::time::sleep(SECOND).await;
    assert_eq!(isp_a.stats().delivered_bytes(), passed, "it is used");
    assert_eq!(events(&socket, "budget-spent").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_thin_flows_are_paid_for_bulk_waits() {
    let _alone = alone().await;
    // Somebody has the file for as long as that takes: neither counting nor budgets wait for it.
    let state = tempfile::tempdir().unwrap();
    let held = std::fs::File::create(state.path().join("budgets.lock")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let pair = DaemonPair::builder()
        .over(shape())
        .near_fields(&format!("state-directory = '{}'\n", state.path().display()))
        .uplink_fields("isp-a", "budget = '2MB'\n")
        .uplink_fields("isp-b", "budget = '2MB'\nat-budget = 'thin'\n")
        .start()
        .await
        .unwrap();
    let (socket, flows) = (pair.near_socket(), Flows::start(pair.socks()).await);
    pair.until("both budgets are spent", async |pair| {
        let report = pair.near_report().await;
        let spent =
            |name| uplink(&report, name).budget.is_some_and(|budget| budget.state == "spent");
        spent("isp-a") && spent("isp-b") && uplink(&report, "isp-a").lanes == 0
    })
    .await;
    let bulk = || flows.down.load(Ordering::Relaxed) + flows.up.load(Ordering::Relaxed);
    // What was under way arrives.
    pair.until("bulk waits", async |_| {
        let before = bulk();
        tokio::time::sleep(SECOND).await;
        bulk() == before
    })
    .await;
    let since = std::time::Instant::now();
    tokio::time::sleep(SECOND).await;
    assert!(flows.worst_echo(since) < SECOND, "thin flows go on");
    let reported = events(&socket, "budget-spent").await.concat();
    assert!(
        reported.contains("isp-b: ") && reported.contains("only thin flows use the uplink"),
        "{reported}"
    );

    let file = state.path().join("budgets.json");
    assert!(!file.exists());
    drop(held);
    flows.abandon();
    pair.shutdown().await;
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for uplink in ["isp-a", "isp-b"] {
        assert!(kept["uplinks"][uplink]["used"].as_u64() >= Some(2_000_000), "{kept}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_overflows_onto_a_costly_uplink_once_the_cheap_one_is_full_and_leaves_it_when_it_ends()
{
    let _alone = alone().await;
    let pair = DaemonPair::builder()
        .over(shape())
        .uplink_fields("isp-b", "overflow = true\noverflow-after = '2s'\n")
        .start()
        .await
        .unwrap();
    let costly = pair.isp("isp-b");
    let idle = passes(&costly, 3 * SECOND).await;
    println!("an overflow lane passes {idle} bytes in 3 s without flows");
    assert!(idle < 20_000, "{idle}");
    let flows = Flows::start(pair.socks()).await;
    let before = passes(&costly, SECOND).await;
    pair.until("bulk overflows", async |_| passes(&costly, SECOND).await > 2_000_000).await;
    println!("{before} bytes in the first second; then bulk overflows");
    assert!(before < 500_000, "{before} bytes in the first second");
    flows.end().await;
    pair.until("it is idle again", async |_| passes(&costly, SECOND).await < 20_000).await;
    pair.shutdown().await;
}
