//! Headless Chromium, driven by the DevTools protocol over a pipe: messages of JSON with a zero byte after each.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use throughline_fixture::DEADLINE;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Says why CI has no Chromium, which takes half a gigabyte of the disk.
const NO_CHROMIUM: &str = "THROUGHLINE_NO_CHROMIUM";

/// It reads what comes on descriptor 3, and writes to 4.
const SCRIPT: &str = "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null";

/// Returns where Chromium is, or says that a test is skipped without it.
pub(super) fn program(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|at| at.join("chromium")).find(|at| at.is_file());
    if found.is_none() {
        let reason = std::env::var(NO_CHROMIUM);
        let forbidden = std::env::var_os("THROUGHLINE_NO_SKIP").is_some() && reason.is_err();
        assert!(!forbidden, "chromium is not installed (apt-get install chromium)");
        let reason = reason.map(|reason| format!("; {reason}")).unwrap_or_default();
        eprintln!("SKIPPED: {test}: chromium is not installed (apt-get install chromium){reason}");
    }
    found
}

/// A browser with one page.
pub(super) struct Chromium {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    next: u64,
    session: Value,
}

impl Chromium {
    /// Starts it; its files are in that directory.
    pub(super) async fn start(program: &Path, directory: &Path) -> Self {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(SCRIPT).arg(program);
        // Root, and whoever is root in a user namespace, has no sandbox.
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ]);
        command.args(["--no-first-run", "--disable-background-networking", "--disable-sync"]);
        command.args(["--disable-component-update", "--disable-default-apps", "--no-pings"]);
        command.args(["--hide-scrollbars", "--remote-debugging-pipe"]);
        command.arg(format!("--user-data-dir={}", directory.join("chromium").display()));
        command.env("HOME", directory).env("TMPDIR", directory);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut browser =
            Self { child, to, from: BufReader::new(from), next: 0, session: Value::Null };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        browser.session = browser.call("Target.attachToTarget", attach).await["sessionId"].take();
        browser
    }

    /// Calls a method and returns its result.
    pub(super) async fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let id = self.next;
        let mut message = json!({ "id": id, "method": method, "params": params });
        if self.session.is_string() {
            message["sessionId"] = self.session.clone();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).await.unwrap();
        loop {
            let mut answer = Vec::new();
            let read = self.from.read_until(0, &mut answer);
            let read =
                timeout(DEADLINE, read).await.unwrap_or_else(|_| panic!("no answer to {method}"));
            assert!(read.unwrap() > 0, "Chromium has ended");
            answer.pop();
            let mut answer: Value = serde_json::from_slice(&answer).unwrap();
            // Others are events.
            if answer["id"] == id {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].take();
            }
        }
    }

    /// Opens a page, before whose scripts `script` runs.
    pub(super) async fn open(&mut self, url: &str, script: &str) {
        let source = json!({ "source": script });
        self.call("Page.enable", json!({})).await;
        self.call("Page.addScriptToEvaluateOnNewDocument", source).await;
        let opened = self.call("Page.navigate", json!({ "url": url })).await;
        assert!(opened.get("errorText").is_none(), "{opened}");
    }

    /// Returns the value of an expression.
    pub(super) async fn value(&mut self, expression: &str) -> Value {
        let params =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut result = self.call("Runtime.evaluate", params).await;
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    /// Waits until an expression is true.
    pub(super) async fn until(&mut self, expression: &str) {
        let began = std::time::Instant::now();
        while self.value(expression).await != true {
            if began.elapsed() > DEADLINE {
                let text = self.value("document.body.innerText").await;
                panic!(
                    "not within {DEADLINE:?}: {expression}\n{}",
                    text.as_str().unwrap_or_default()
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Presses a key.
    pub(super) async fn press(&mut self, key: &str) {
        for kind in ["keyDown", "keyUp"] {
            let event = json!({ "type": kind, "key": key, "code": key });
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// Shows the page in a window of that width and height, by day or by night.
    pub(super) async fn show_as(&mut self, (width, height): (u32, u32), scheme: &str) {
        let mobile = width < 500;
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features })).await;
    }

    /// Returns what is shown as a PNG.
    pub(super) async fn screenshot(&mut self) -> Vec<u8> {
        let params = json!({ "format": "png", "optimizeForSpeed": false });
        let answer = self.call("Page.captureScreenshot", params).await;
        let text = answer["data"].as_str().unwrap().as_bytes();
        data_encoding::BASE64.decode(text).unwrap()
    }

    /// Ends it, with its children.
    pub(super) async fn end(mut self) {
        self.session = Value::Null;
        self.call("Browser.close", json!({})).await;
        let _ = timeout(DEADLINE, self.child.wait()).await;
    }
}
