//! Metrics, as the real Prometheus reads them: the alerts and the dashboard of docs/prometheus against it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use throughline_emulator::{Profile, Way};
use throughline_fixture::{DEADLINE, DaemonPair, Shape, alone, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::flows::Flows;

const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/prometheus");

async fn pair_with_metrics() -> (DaemonPair, SocketAddr) {
    let shape =
        Shape { profile: Profile::new(50_000_000, Duration::from_millis(10)), ..Shape::default() };
    let pair = DaemonPair::builder().over(shape).near_fields("metrics = '127.0.0.1:0'\n");
    let pair = pair.start().await.unwrap();
    let addr = pair.near.metrics_addr().expect("metrics are configured");
    (pair, addr)
}

/// Returns the answer to a request of one line, whole.
async fn ask(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("{request} HTTP/1.1\r\nHost: metrics\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Returns the value of a metric in an answer; zero where it is missing.
fn value(answer: &str, metric: &str) -> f64 {
    let line = answer.lines().find_map(|line| line.strip_prefix(metric)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_tell_what_failed_and_what_survived() {
    let _alone = alone().await;
    let (pair, addr) = pair_with_metrics().await;
    let flows = Flows::start(pair.socks()).await;
    // At the start there may be a lane too many, for a moment.
    let up = "throughline_lanes_up{peer=\"far\",uplink=\"isp-a\"}";
    pair.until("one lane over A", async |_| value(&ask(addr, "GET /metrics").await, up) == 1.0)
        .await;
    let before = ask(addr, "GET /metrics").await;
    assert!(before.starts_with("HTTP/1.1 200"), "{before}");
    assert!(before.contains("content-type: application/openmetrics-text"), "{before}");
    assert!(value(&before, "throughline_peer_flows{peer=\"far\"}") >= 3.0, "{before}");
    assert_eq!(value(&before, "throughline_lanes_failed_total{uplink=\"isp-a\"}"), 0.0, "{before}");

    pair.isp("isp-a").blackhole(Way::Both);
    pair.until("a failure is counted, with the flows that went on", async |_| {
        let now = ask(addr, "GET /metrics").await;
        value(&now, "throughline_lanes_failed_total{uplink=\"isp-a\"}") >= 1.0
            && value(&now, "throughline_flows_survived_total{uplink=\"isp-a\"}") >= 3.0
    })
    .await;
    let then = ask(addr, "GET /metrics").await;
    pair.isp("isp-a").heal(Way::Both);
    pair.until("a lane over it is counted", async |_| {
        value(
            &ask(addr, "GET /metrics").await,
            "throughline_lanes_up{peer=\"far\",uplink=\"isp-a\"}",
        ) >= 1.0
    })
    .await;
    let after = ask(addr, "GET /metrics").await;
    for uplink in ["isp-a", "isp-b"] {
        let sent = format!("throughline_uplink_sent_bytes_total{{uplink=\"{uplink}\"}}");
        assert!(value(&before, &sent) > 0.0, "{before}");
        assert!(value(&then, &sent) >= value(&before, &sent), "a counter never falls: {then}");
        assert!(value(&after, &sent) >= value(&then, &sent), "a counter never falls: {after}");
    }
    flows.end().await;
    pair.shutdown().await;
}

#[tokio::test]
async fn other_requests_are_told_where_the_metrics_are_and_a_scraper_that_says_nothing_holds_up_no_other()
 {
    let (pair, addr) = pair_with_metrics().await;
    let other = ask(addr, "GET /").await;
    assert!(other.starts_with("HTTP/1.1 404") && other.contains("at /metrics"), "{other}");
    let other = ask(addr, "POST /metrics").await;
    assert!(other.starts_with("HTTP/1.1 405") && other.contains("allow: GET, HEAD"), "{other}");
    let mut silent = Vec::new();
    // More than twice as many as there are places.
    for _ in 0..40 {
        silent.push(TcpStream::connect(addr).await.unwrap());
    }
    let asked = timeout(Duration::from_secs(8), ask(addr, "GET /metrics")).await;
    assert!(asked.expect("the silent ones keep it out").starts_with("HTTP/1.1 200"));
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_ends_gives_the_port_back_while_flows_have_their_time() {
    let (pair, addr) = pair_with_metrics().await;
    let flows = Flows::start(pair.socks()).await;
    let ending = tokio::spawn(pair.near.shutdown(DEADLINE));
    assert!(until(async || TcpStream::connect(addr).await.is_err()).await, "it still listens");
    assert!(!ending.is_finished(), "flows are live, and hold it up");
    flows.end().await;
    ending.await.unwrap();
    pair.far.shutdown(Duration::ZERO).await;
}

/// Returns the path of a program, or says that the test is skipped without it.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|p| p.is_file());
    if found.is_none() {
        assert!(std::env::var_os("THROUGHLINE_NO_SKIP").is_none(), "{name} is not installed");
        eprintln!("SKIPPED: {name} is not installed (apt-get install prometheus)");
    }
    found
}

#[tokio::test]
async fn the_alerts_fire_when_they_should_and_say_what_is_wrong() {
    let Some(promtool) = program("promtool") else { return };
    let cases = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/operator/alerts.test.yml");
    let tested = Command::new(&promtool).args(["test", "rules", cases]).output().await.unwrap();
    assert!(tested.status.success(), "{tested:?}");
}

/// A Prometheus that reads the metrics at `addr` every second.
async fn prometheus(program: &Path, directory: &Path, addr: SocketAddr) -> (Child, String) {
    let config = format!(
        "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: ['{DOCS}/alerts.yml']\n\
         scrape_configs:\n- job_name: throughline\n  static_configs:\n  - targets: ['{addr}']\n"
    );
    std::fs::write(directory.join("prometheus.yml"), config).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let child = Command::new(program)
        .arg(format!("--config.file={}", directory.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    (child, format!("http://127.0.0.1:{port}"))
}

/// Returns what a query gives, as promtool prints it.
async fn query(promtool: &Path, server: &str, expr: &str) -> Result<String, String> {
    let output =
        Command::new(promtool).args(["query", "instant", server, expr]).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Returns the queries of the dashboard, with Grafana's variables replaced.
fn dashboard_queries() -> Vec<String> {
    let text = std::fs::read_to_string(format!("{DOCS}/dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let with_times = |expr: &str| expr.replace("$__range", "1h").replace("$__rate_interval", "1m");
    targets.map(|target| with_times(target["expr"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_the_metrics_and_the_alerts_and_the_dashboard_fit_them() {
    let (Some(promtool), Some(server)) = (program("promtool"), program("prometheus")) else {
        return;
    };
    let _alone = alone().await;
    let alerts = format!("{DOCS}/alerts.yml");
    let rules = Command::new(&promtool).args(["check", "rules", &alerts]).output().await.unwrap();
    assert!(rules.status.success(), "{rules:?}");

    let (pair, addr) = pair_with_metrics().await;
    let directory = tempfile::tempdir().unwrap();
    let (mut child, url) = prometheus(&server, directory.path(), addr).await;
    pair.until("Prometheus has read the metrics", async |_| {
        query(&promtool, &url, "throughline_peer_reachable")
            .await
            .is_ok_and(|found| found.contains("=> 1"))
    })
    .await;
    pair.until("it has read them often enough for rates", async |_| {
        let often = "count_over_time(throughline_uptime_seconds[1m]) > 2";
        query(&promtool, &url, often).await.is_ok_and(|found| found.contains("=>"))
    })
    .await;
    let queries = dashboard_queries();
    assert!(queries.len() >= 12, "{queries:?}");
    for expr in queries {
        let found = query(&promtool, &url, &expr).await;
        assert!(found.as_ref().is_ok_and(|found| found.contains("=>")), "{expr}: {found:?}");
    }

    // An ISP dies, and the alert is on its way.
    let flows = Flows::start(pair.socks()).await;
    pair.isp("isp-b").blackhole(Way::Both);
    pair.until("the alert is pending", async |_| {
        let pending = "ALERTS{alertname=\"ThroughlineRedundancyLost\", peer=\"far\"}";
        query(&promtool, &url, pending).await.is_ok_and(|found| found.contains("pending"))
    })
    .await;
    flows.end().await;
    child.kill().await.unwrap();
    pair.shutdown().await;
}
