//! Programs that know Unix sockets: curl and Python by a proxy there, and a server behind a forward there.

use std::path::Path;
use std::process::Stdio;

use interop_tests::skip::skipped;
use interop_tests::support::Outcome;
use throughline_fixture::{ProgramPair, Shape};
use tokio::process::Command;

use crate::failure::{self, Count, Over};
use crate::live::Live;
use crate::turn;

/// Bytes that must move before, during and after each failure.
const STEP: u64 = 4 << 20;

fn ingresses(port: u16) -> String {
    format!(
        "[ingress.any]\nkind = 'proxy'\nlisten = 'unix:any.sock'\nvia = 'far'\n\
         [ingress.web]\nkind = 'forward'\nlisten = 'unix:web.sock'\nto = '127.0.0.1:{port}'\nvia = 'far'\n"
    )
}

/// A program that is told nothing of proxies but by its arguments, and whose output is taken.
fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    for variable in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        command.env_remove(variable);
    }
    command.env("no_proxy", "").env("NO_PROXY", "");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

fn curl(arguments: &[&str]) -> Command {
    let mut command = program("curl");
    command.args(["--silent", "--show-error", "--fail", "--no-buffer"]).args(arguments);
    command
}

/// Python's own HTTP client over a Unix socket, which knows of no proxy.
const PYTHON: &str = r#"
import http.client, socket, sys
connection = http.client.HTTPConnection("localhost")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(sys.argv[1])
connection.request("GET", "/stream")
answer = connection.getresponse()
assert answer.status == 200, answer.status
while part := answer.read1(65536):
    sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
"#;

fn python(socket: &Path) -> Command {
    let mut command = program("python3");
    command.args(["-c", PYTHON]).arg(socket);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_and_python_go_by_unix_sockets_while_each_isp_dies() -> Outcome {
    if skipped("programs by Unix sockets", &["curl", "python3"], "curl python3") {
        return Ok(());
    }
    let _turn = turn::shared().await;
    let over = Over::default();
    // One for each: an origin remembers the hash of one transfer.
    let lives = [Live::serve(&over).await?, Live::serve(&over).await?, Live::serve(&over).await?];
    ProgramPair::start(Shape::default(), &ingresses(lives[2].addr.port()))?
        .run(async |pair: &ProgramPair| {
            let [any, web] = ["any.sock", "web.sock"].map(|name| pair.directory().join(name));
            let url = |live: &Live| format!("http://localhost:{}/stream", live.addr.port());
            // A proxy's Unix socket is the path of its URL; since curl 7.84.
            let proxy = format!("socks5h://localhost{}", any.display());
            let by_socks = curl(&["--proxy", &proxy, &url(&lives[0])]);
            let socket = any.display().to_string();
            // To the socket itself, as a client of the proxy that asks for the whole URI.
            let by_http =
                curl(&["--unix-socket", &socket, "--request-target", &url(&lives[1]), "http://p/"]);
            let received = [Count::default(), Count::default(), Count::default()];
            let moved = || received.iter().map(Count::now).min().unwrap_or(0);
            tokio::try_join!(
                lives[0].downloaded_by(by_socks, &received[0]),
                lives[1].downloaded_by(by_http, &received[1]),
                lives[2].downloaded_by(python(&web), &received[2]),
                failure::each_isp_dies(pair, &over, moved, STEP),
            )?;
            println!("    unix: {:?} MiB", received.each_ref().map(|count| count.now() >> 20));
            let log = pair.near.log();
            assert!(!log.contains("client refused"), "{log}");
            Ok(())
        })
        .await
}
