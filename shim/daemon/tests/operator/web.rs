//! The status page: as a plain client has it, and in a browser.

mod browser;
mod chromium;

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::{Value, json};
use throughline_emulator::{Profile, Way};
use throughline_fixture::{DEADLINE, DaemonPair, Shape, alone, until};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::flows::Flows;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Two daemons of which the near one has a page; changes are made by [`TOKEN`].
async fn pair_with_page() -> (DaemonPair, SocketAddr, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, format!("{TOKEN}\n")).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let shape =
        Shape { profile: Profile::new(50_000_000, Duration::from_millis(10)), ..Shape::default() };
    let fields = format!(
        "web = '127.0.0.1:0'\nweb-token-file = '{}'\nstate-directory = 'state'\n",
        token.display()
    );
    let builder = DaemonPair::builder().over(shape).near_fields(&fields);
    let pair = builder.uplink_fields("isp-b", "budget = '20GB'\n").start().await.unwrap();
    let addr = pair.near.web_addr().expect("a page is configured");
    (pair, addr, directory)
}

/// Returns the answer to a request, whole; `fields` are more lines of its head.
async fn ask(addr: SocketAddr, request: &str, fields: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let length =
        if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{request} HTTP/1.1\r\n{fields}{length}\r\n{body}");
    // It may be refused before it is whole.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// Somebody who looks.
struct Viewer(BufReader<TcpStream>);

impl Viewer {
    async fn come(addr: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET /events HTTP/1.1\r\nHost: {addr}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Self(BufReader::new(stream))
    }

    /// Returns the next message of that name.
    async fn next(&mut self, name: &str) -> Value {
        let event = format!("event: {name}\n");
        let mut line = String::new();
        while line != event {
            line.clear();
            let read = timeout(DEADLINE, self.0.read_line(&mut line)).await.unwrap().unwrap();
            assert!(read > 0, "the stream ended");
        }
        line.clear();
        timeout(DEADLINE, self.0.read_line(&mut line)).await.unwrap().unwrap();
        serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_tells_of_a_failure_and_of_the_flows_that_survived_it() {
    let _alone = alone().await;
    let (pair, addr, _directory) = pair_with_page().await;
    let flows = Flows::start(pair.socks()).await;
    let mut viewers = [Viewer::come(addr).await, Viewer::come(addr).await];
    for viewer in &mut viewers {
        let plots = viewer.next("plots").await;
        assert!(
            plots["hour"]["uplinks"].is_object() && plots["day"]["step_ms"] == 60_000,
            "{plots}"
        );
        let log = viewer.next("log").await;
        assert!(log["events"].to_string().contains("lane-up"), "{log}");
        let state = viewer.next("state").await;
        assert_eq!(state["uplinks"].as_array().unwrap().len(), 2, "{state}");
        assert!(state["flows_total"].as_u64() >= Some(3), "{state}");
    }
    let [viewer, other] = &mut viewers;
    assert!(viewer.next("state").await["uplinks"][0]["rate"].is_object(), "there is one before");
    pair.isp("isp-a").blackhole(Way::Both);
    let name = |state: &Value| state["uplinks"][0]["state"].as_str().unwrap().to_owned();
    while name(&viewer.next("state").await) == "in use" {}
    loop {
        let failures = viewer.next("log").await["failures"].take();
        let of_a = |outage: &&Value| outage["uplink"] == "isp-a";
        if let Some(outage) = failures["outages"].as_array().unwrap().iter().find(of_a) {
            assert_eq!(outage["peer"], "far", "{outage}");
            if outage["survivors"].as_u64() >= Some(3) {
                let worst = &failures["quarters"][0]["worst"];
                assert!(worst["gap"].as_u64() > Some(0), "{failures}");
                break;
            }
        }
    }
    pair.isp("isp-a").heal(Way::Both);
    while name(&viewer.next("state").await) != "in use" {}
    // Both were shown the same.
    while name(&other.next("state").await) == "in use" {}
    flows.end().await;
    pair.shutdown().await;
}

#[tokio::test]
async fn every_answer_is_protected_and_nobody_is_answered_by_another_name_or_for_another_page() {
    let (pair, addr, _directory) = pair_with_page().await;
    let host = format!("Host: {addr}\r\n");
    let page = ask(addr, "GET /", &host, "").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<h1 id=\"verdict\">"), "{page}");
    // Nothing comes from elsewhere.
    assert!(!page.contains("https://") && !page.contains("src=") && !page.contains("innerHTML"));
    let rebound = ask(addr, "GET /events", "Host: attacker.example\r\n", "").await;
    let elsewhere = format!("{host}Origin: http://attacker.example\r\n");
    let cross = ask(addr, "GET /events", &elsewhere, "").await;
    let missing = ask(addr, "GET /nothing", &host, "").await;
    let method = ask(addr, "DELETE /events", &host, "").await;
    let authorized = format!("{host}Authorization: Bearer {TOKEN}\r\n");
    let uplink = json!({ "uplink": "isp-a" }).to_string();
    let without = ask(addr, "POST /drain", &host, &uplink).await;
    let forged =
        ask(addr, "POST /drain", &(authorized.clone() + "Sec-Fetch-Site: cross-site\r\n"), &uplink)
            .await;
    let long = ask(addr, "POST /drain", &authorized, &"x".repeat(5000)).await;
    let wrong = ask(addr, "POST /drain", &authorized, "{}").await;
    let unknown = ask(addr, "POST /drain", &authorized, "{\"uplink\":\"isp-x\"}").await;
    for (answer, status, says) in [
        (&page, "200", ""),
        (&rebound, "421", "localhost"),
        (&cross, "403", "page itself"),
        (&missing, "404", "status page"),
        (&method, "405", ""),
        (&without, "401", "web-token-file"),
        (&forged, "403", "page itself"),
        (&long, "400", "too long"),
        (&wrong, "400", "Name the uplink"),
        (&unknown, "409", "no uplink `isp-x`"),
    ] {
        let head = answer.split("\r\n\r\n").next().unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        assert!(answer.contains(says), "{answer}");
        for field in [
            "content-security-policy: default-src 'none'; script-src 'sha256-",
            "require-trusted-types-for 'script'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "cross-origin-resource-policy: same-origin",
            "cache-control: no-store",
        ] {
            assert!(head.contains(field), "{field} is missing in\n{head}");
        }
        assert!(!head.contains("access-control"), "{head}");
    }
    assert!(!pair.near_report().await.uplinks[0].draining);
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_drains_an_uplink_and_resumes_it() {
    let _alone = alone().await;
    let (pair, addr, _directory) = pair_with_page().await;
    let fields =
        format!("Host: {addr}\r\nOrigin: http://{addr}\r\nAuthorization: Bearer {TOKEN}\r\n");
    let mut viewer = Viewer::come(addr).await;
    for (path, draining) in [("drain", true), ("resume", false)] {
        let answer = ask(addr, &format!("POST /{path}"), &fields, "{\"uplink\":\"isp-b\"}").await;
        let body = answer.split("\r\n\r\n").nth(1).unwrap();
        let answer: Value = serde_json::from_str(body).unwrap();
        let expected =
            json!({ "uplink": "isp-b", "draining": draining, "changed": true, "warning": null });
        assert_eq!(answer, expected);
        while viewer.next("state").await["uplinks"][1]["draining"] != draining {}
    }
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_ends_lets_viewers_go_and_gives_the_port_back() {
    let (pair, addr, _directory) = pair_with_page().await;
    let flows = Flows::start(pair.socks()).await;
    let mut viewer = Viewer::come(addr).await;
    viewer.next("state").await;
    let ending = tokio::spawn(pair.near.shutdown(DEADLINE));
    assert!(until(async || TcpStream::connect(addr).await.is_err()).await, "it still listens");
    let mut rest = Vec::new();
    let _ = timeout(DEADLINE, viewer.0.read_to_end(&mut rest)).await.unwrap();
    assert!(!ending.is_finished(), "flows are live, and hold it up");
    flows.end().await;
    ending.await.unwrap();
    pair.far.shutdown(Duration::ZERO).await;
}
