//! `throughline qlog` at both ends while a lane fails, and what another program reads in its files.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use throughline_daemon::report::LaneReport;
use throughline_emulator::Way;
use throughline_fixture::{DEADLINE, DaemonPair, alone};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::flows::Flows;
use super::site::{lanes, start_pair};

/// How long an ISP is cut off.
const CUT: Duration = Duration::from_millis(600);

/// Reads a directory of JSON text sequences (RFC 7464) with nothing of ours, and says of each file what is in it: how
/// many events of which name, and the longest time without a packet from the peer, with what was sent meanwhile.
const READER: &str = r#"
import collections, json, pathlib, sys
files = []
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    text = path.read_text()
    assert text[0] == "\x1e" and text[-1] == "\n", path
    records = [json.loads(record) for record in text[1:].split("\x1e")]
    header, events = records[0], records[1:]
    assert header["qlog_format"] == "JSON-SEQ" and header["qlog_version"] == "0.3", header
    # QUIC's library reads the clock before it does what it logs, by turns for what comes and what goes.
    assert all(a["time"] - b["time"] < 50 for a, b in zip(events, events[1:])), path
    received = [e["time"] for e in events if e["name"].endswith(":packet_received")]
    received.sort()
    gap = max(zip(received, received[1:]), key=lambda pair: pair[1] - pair[0], default=(0, 0))
    sent = [e for e in events if e["name"].endswith(":packet_sent") and gap[0] < e["time"] < gap[1]]
    names = collections.Counter(e["name"].split(":")[1] for e in events)
    files.append({
        "name": path.name, "bytes": path.stat().st_size, "mode": path.stat().st_mode & 0o777,
        "title": header["title"], "seen_from": header["trace"]["vantage_point"]["type"],
        "time": header["trace"]["common_fields"]["reference_time"], "events": names,
        "last": events[-1]["name"], "silence_ms": gap[1] - gap[0], "sent_in_silence": len(sent),
        "sizes": max((e["data"]["header"]["length"] for e in events if e["name"].endswith("sent")), default=0),
    })
print(json.dumps(files))
"#;

async fn read(directory: &Path) -> Vec<Value> {
    let read = Command::new("python3").arg("-c").arg(READER).arg(directory).output().await.unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    serde_json::from_slice(&read.stdout).unwrap()
}

/// Begins `throughline qlog`.
fn qlog(socket: &Path, out: &Path, more: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
    command.arg("qlog").args(more).arg("--out").arg(out).arg("--socket").arg(socket);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap()
}

/// Ends it as Ctrl-C does.
async fn interrupt(child: Child) -> (String, String, Option<i32>) {
    let id = i32::try_from(child.id().expect("it runs")).unwrap();
    let id = rustix::process::Pid::from_raw(id).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    end(child).await
}

async fn end(child: Child) -> (String, String, Option<i32>) {
    let Output { status, stdout, stderr } = child.wait_with_output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(stdout), text(stderr), status.code())
}

fn files_in(directory: &Path) -> usize {
    std::fs::read_dir(directory).map_or(0, Iterator::count)
}

fn count(file: &Value, event: &str) -> u64 {
    file["events"][event].as_u64().unwrap_or(0)
}

/// Waits until the near end has one lane over each uplink and, of these `uplinks`, none of those lanes; returns the
/// numbers of the lanes.
async fn replaced(pair: &DaemonPair, uplinks: &[&str], before: &[u64]) -> Vec<u64> {
    let now = || lanes(&(&pair.near.node().status()).into());
    pair.until("the lanes are replaced", async |_| {
        let lanes = now();
        let is_new = |lane: &LaneReport| {
            !uplinks.iter().any(|uplink| lane.uplink.as_deref() == Some(uplink))
                || !before.contains(&lane.id)
        };
        lanes.len() == 2 && lanes.iter().all(is_new)
    })
    .await;
    now().iter().map(|lane| lane.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_write_the_qlog_of_lanes_while_one_fails_and_no_flow_notices() {
    let _alone = alone().await;
    let (pair, home) = (start_pair().await, tempfile::tempdir().unwrap());
    let (near, far) = (home.path().join("near"), home.path().join("far"));
    let flows = Flows::start(pair.socks()).await;
    let first = replaced(&pair, &[], &[]).await;
    // The end that dials asks for the lane over one uplink; the one that is dialed for all.
    let of_near = qlog(&pair.near_socket(), &near, &["far", "--uplink", "isp-a", "--for", "1h"]);
    let second = replaced(&pair, &["isp-a"], &first).await;
    assert_eq!(
        second.iter().filter(|lane| first.contains(lane)).count(),
        1,
        "{first:?} {second:?}"
    );
    let of_far = ["near", "--for", "1h", "--max-file", "50kB", "--max-files", "9"];
    let of_far = qlog(&pair.far_socket(), &far, &of_far);
    replaced(&pair, &["isp-a", "isp-b"], &second).await;
    pair.until("the far end has a file of each", async |_| files_in(&far) >= 2).await;
    pair.isp("isp-a").blackhole(Way::Both);
    sleep(CUT).await;
    pair.isp("isp-a").heal(Way::Both);
    sleep(Duration::from_millis(300)).await;
    let (near_end, far_end) = tokio::join!(interrupt(of_near), interrupt(of_far));
    println!("{near_end:?}\n{far_end:?}");
    assert_eq!((near_end.2, far_end.2), (Some(0), Some(0)));
    // And one that ends by itself, although something is logged all the time.
    let timed = qlog(&pair.near_socket(), &home.path().join("timed"), &["far", "--for", "1s"]);
    let timed = timeout(DEADLINE, end(timed)).await.expect("it has not ended");
    assert!(!timed.1.contains("daemon has ended"), "{timed:?}");
    flows.end().await;

    let files = read(&near).await;
    println!("{files:#?}");
    assert!(files.iter().all(|f| f["title"].as_str().unwrap().ends_with("to far over isp-a")));
    assert!(files.iter().all(|f| f["mode"] == 0o600 && f["seen_from"] == "client"));
    let failed = files.iter().max_by_key(|f| f["silence_ms"].as_f64().unwrap() as u64).unwrap();
    for event in ["packet_sent", "packet_received", "metrics_updated", "packet_lost"] {
        assert!(count(failed, event) > 0, "no {event}");
    }
    // It sent, and nothing came for as long as the cut.
    let silence = failed["silence_ms"].as_f64().unwrap();
    assert!(silence >= CUT.as_secs_f64() * 1e3 - 50.0, "{silence}");
    assert!(failed["sent_in_silence"].as_u64().unwrap() > 0);
    assert!(near_end.0.contains(" over isp-a: ") && near_end.1.contains("qvis"), "{near_end:?}");

    // What the far end sends is bulk; its files have reached their bound, and are whole.
    let files = read(&far).await;
    println!("{files:#?}");
    assert!(
        files.iter().all(|f| f["seen_from"] == "server" && f["bytes"].as_u64() <= Some(50_000))
    );
    let full: Vec<_> = files.iter().filter(|f| f["last"] == "loglevel:warning").collect();
    assert!(!full.is_empty() && far_end.1.contains("has reached its bound"), "{}", far_end.1);
    assert!(count(full[0], "packet_sent") > 50 && full[0]["sizes"].as_u64() > Some(1000));
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_logged_is_refused_with_the_cure() {
    let (pair, home) = (start_pair().await, tempfile::tempdir().unwrap());
    let socket = pair.near_socket();
    let refused = async |out: &Path, more: &[&str]| {
        let (_, stderr, status) = end(qlog(&socket, out, more)).await;
        assert_eq!(status, Some(1), "{stderr}");
        stderr
    };
    let shared = home.path().join("shared");
    std::fs::create_dir(&shared).unwrap();
    std::fs::set_permissions(&shared, std::os::unix::fs::PermissionsExt::from_mode(0o1777))
        .unwrap();
    let stderr = refused(&shared, &["far"]).await;
    assert!(
        stderr.contains("Others than you can write to") && stderr.contains("TL0428"),
        "{stderr}"
    );
    let stderr = refused(home.path(), &["fra"]).await;
    assert!(stderr.contains("no peer `fra`; there is `far`"), "{stderr}");
    let stderr = refused(home.path(), &["far", "--uplink", "isp-z"]).await;
    assert!(stderr.contains("no uplink `isp-z`"), "{stderr}");
    // One that is read already, and one whose reader was killed.
    let out = home.path().join("first");
    let before = replaced(&pair, &[], &[]).await;
    let mut first = qlog(&socket, &out, &["far", "--for", "1h"]);
    let logged = replaced(&pair, &["isp-a", "isp-b"], &before).await;
    pair.until("there is a file of each", async |_| files_in(&out) >= 2).await;
    let stderr = refused(home.path(), &["far"]).await;
    assert!(stderr.contains("being read by somebody else"), "{stderr}");
    first.start_kill().unwrap();
    first.wait().await.unwrap();
    assert!(!read(&out).await.is_empty());
    // Lanes of which nobody reads the qlog cost nothing.
    replaced(&pair, &["isp-a", "isp-b"], &logged).await;
    pair.shutdown().await;
}

/// Asks a daemon over its admin socket for the qlog of the lanes to a peer, and reads nothing.
async fn ask_and_stand_still(socket: &Path, peer: &str, length: Duration) -> UnixStream {
    let mut client = UnixStream::connect(socket).await.unwrap();
    let millis = length.as_millis();
    let request = format!("{{\"command\":\"qlog\",\"peer\":\"{peer}\",\"millis\":{millis}}}\n");
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stands_still_is_not_waited_for_when_its_time_is_over() {
    let _alone = alone().await;
    let (pair, home) = (start_pair().await, tempfile::tempdir().unwrap());
    let flows = Flows::start(pair.socks()).await;
    let before = replaced(&pair, &[], &[]).await;
    let still = ask_and_stand_still(&pair.near_socket(), "far", Duration::from_secs(6)).await;
    replaced(&pair, &["isp-a", "isp-b"], &before).await;
    let refused = qlog(&pair.near_socket(), home.path(), &["far", "--for", "1s"]);
    let (_, stderr, _) = end(refused).await;
    assert!(stderr.contains("being read by somebody else"), "{stderr}");
    // What is logged until then is more than its socket holds.
    pair.until("another is served", async |_| {
        let another = qlog(&pair.near_socket(), home.path(), &["far", "--for", "1s"]);
        end(another).await.2 == Some(0)
    })
    .await;
    drop(still);
    flows.end().await;
    pair.shutdown().await;
}

/// Runs `throughline qlog` for a second with a daemon that answers after one time, and ends after another.
async fn with_daemon_that(begins: Duration, ends: Duration) -> String {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("admin.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let child = qlog(&socket, &home.path().join("out"), &["far", "--for", "1s"]);
    let (mut daemon, _) = listener.accept().await.unwrap();
    let mut request = [0; 512];
    assert!(daemon.read(&mut request).await.unwrap() > 0);
    sleep(begins).await;
    daemon.write_all(b"{\"qlog-begun\":null}\n").await.unwrap();
    sleep(ends - begins).await;
    drop(daemon);
    end(child).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_is_over_for_whoever_asked_when_it_is_over_for_the_daemon() {
    let [early, slow] = tokio::join!(
        with_daemon_that(Duration::ZERO, Duration::from_millis(300)),
        with_daemon_that(Duration::from_millis(500), Duration::from_millis(1050)),
    )
    .into();
    assert!(early.contains("The daemon has ended."), "{early}");
    assert!(!slow.contains("daemon has ended"), "{slow}");
}
