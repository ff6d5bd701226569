//! Programs that know other ways than SOCKS5: HTTP proxies, SOCKS4a, `throughline nc`; and what they are
//! told where they reached the wrong port.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use interop_tests::process::{self, Process};
use interop_tests::skip::{not_installed, skipped};
use interop_tests::support::Outcome;
use sha2::{Digest, Sha256};
use tokio::process::Command;

use crate::failure::{self, Count, Over};
use crate::live::Live;
use crate::ssh::{self, Server, Through};
use crate::{origin, turn};
use throughline_fixture::{DEADLINE, POLL_INTERVAL, ProgramPair, Shape};

/// Ingresses beside the SOCKS5 one: HTTP alone, all protocols, and all with a password.
const INGRESSES: &str = "[ingress.web]
     kind = 'http'
     listen = '127.0.0.1:0'
     via = 'far'
     [ingress.any]
     kind = 'proxy'
     listen = '127.0.0.1:0'
     via = 'far'
     [ingress.guarded]
     kind = 'proxy'
     listen = '127.0.0.1:0'
     username = 'user'
     password = 'secret'
     via = 'far'\n";

/// Bytes that must move before, during and after each failure.
const STEP: u64 = 4 << 20;

/// Returns a program that knows no proxy but those of its arguments and this variable.
fn program(name: &str, http_proxy: Option<&str>) -> Command {
    let mut command = Command::new(name);
    for variable in ["http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        command.env_remove(variable);
    }
    // A proxy is not for loopback unless it is said.
    command.env("no_proxy", "").env("NO_PROXY", "");
    if let Some(proxy) = http_proxy {
        command.env("http_proxy", proxy);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs curl with these arguments; returns whether it succeeded, and all that it said.
async fn curl(args: &[&str]) -> Outcome<(bool, String)> {
    let mut command = program("curl", None);
    let output = command.args(["--silent", "--show-error", "--max-time", "30"]).args(args).output();
    let output = output.await?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

/// A web server of files.
struct Files {
    port: u16,
    place: PathBuf,
    _process: Process,
}

impl Files {
    /// Serves a directory within `home`.
    fn serve(python: &Path, home: &Path) -> Outcome<Self> {
        let place = home.join("files");
        std::fs::create_dir_all(&place)?;
        let port = process::free_tcp_port()?;
        let mut command = std::process::Command::new(python);
        command.args(["-m", "http.server", &port.to_string(), "--bind", "127.0.0.1"]);
        command.current_dir(&place).stdout(Stdio::null());
        let process = Process::start("http.server", &mut command)?;
        let deadline = Instant::now() + DEADLINE;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() >= deadline {
                return Err(format!("http.server does not listen: {}", process.log()).into());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(Self { port, place, _process: process })
    }
}

/// Starts the daemons with all ingresses, and the web server.
fn start() -> Outcome<Option<(ProgramPair, Files)>> {
    let Some(python) = process::installed("python3") else {
        not_installed("HTTP proxies", "no python3 (apt-get install python3)");
        return Ok(None);
    };
    let pair = ProgramPair::start(Shape::default(), INGRESSES)?;
    let files = Files::serve(&python, pair.directory())?;
    Ok(Some((pair, files)))
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_goes_by_every_protocol_and_is_told_of_a_wrong_port() -> Outcome {
    if skipped("curl's proxies", &["curl"], "curl") {
        return Ok(());
    }
    let _turn = turn::shared().await;
    let Some((pair, files)) = start()? else { return Ok(()) };
    pair.run(async |pair: &ProgramPair| {
        let text = "one file, whichever way it comes";
        std::fs::write(files.place.join("file"), text)?;
        let url = format!("http://localhost:{}/file", files.port);
        let at = |name: &str| pair.near.ingress(name);
        let (socks, web, any) = (pair.socks()?, at("web")?, at("any")?);
        let guarded = at("guarded")?;
        for (proxy, more) in [
            (format!("http://{web}"), ""),
            (format!("http://{web}"), "--proxytunnel"),
            (format!("http://{web}"), "--proxy1.0"),
            (format!("http://{any}"), ""),
            (format!("http://{any}"), "--proxytunnel"),
            (format!("socks5h://{any}"), ""),
            (format!("socks4a://{any}"), ""),
            (format!("socks5h://user:secret@{guarded}"), ""),
            (format!("http://user:secret@{guarded}"), ""),
            (format!("http://user:secret@{guarded}"), "--proxytunnel"),
        ] {
            let args = match more {
                "" => vec!["--proxy", &proxy, &url],
                "--proxy1.0" => vec!["--proxy1.0", proxy.trim_start_matches("http://"), &url],
                more => vec!["--proxy", &proxy, more, &url],
            };
            let (succeeded, said) = curl(&args).await?;
            assert!(succeeded && said == text, "{args:?}: {said}");
        }
        let closed = format!("http://localhost:{}/", process::free_tcp_port()?);
        for (proxy, url, expected) in [
            (format!("http://{socks}"), &url, "SOCKS5 proxy `socks` and no HTTP proxy"),
            (format!("socks5h://{web}"), &url, ""),
            (format!("socks4a://{web}"), &url, ""),
            (format!("socks4a://{socks}"), &url, ""),
            (format!("socks4a://{guarded}"), &url, ""),
            (format!("http://{guarded}"), &url, "wants a user name and a password"),
            (format!("http://user:wrong@{guarded}"), &url, "is wrong"),
            (format!("http://{web}"), &closed, "check that a program listens on that port"),
        ] {
            let fails = if expected.is_empty() { "--fail" } else { "--include" };
            let (succeeded, said) = curl(&["--proxy", &proxy, fails, url]).await?;
            assert!(said.contains(expected), "{proxy} {url}: {said}");
            assert!(!succeeded || !expected.is_empty(), "{proxy} {url}: {said}");
            assert!(!said.contains(text), "{proxy} {url}: {said}");
        }
        let (_, pac) = curl(&[&format!("http://{any}/proxy.pac")]).await?;
        assert!(pac.contains(&format!("\"PROXY {any}\"")), "{pac}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_downloads_by_a_tunnel_and_by_a_plain_request_while_each_isp_dies() -> Outcome {
    if skipped("a download by curl through an HTTP proxy", &["curl"], "curl") {
        return Ok(());
    }
    let _turn = turn::shared().await;
    ProgramPair::start(Shape::default(), INGRESSES)?
        .run(async |pair: &ProgramPair| {
            let over = Over::default();
            let lives = [Live::serve(&over).await?, Live::serve(&over).await?];
            let web = pair.near.ingress("web")?;
            let received = [Count::default(), Count::default()];
            let tunnel =
                lives[0].downloaded_by(download(web, &lives[0], "--proxytunnel"), &received[0]);
            let plain =
                lives[1].downloaded_by(download(web, &lives[1], "--no-buffer"), &received[1]);
            // Both have to get on.
            let moved = || received[0].now().min(received[1].now());
            let failures = failure::each_isp_dies(pair, &over, moved, STEP);
            tokio::try_join!(tunnel, plain, failures)?;
            let mebibytes = received.map(|count| count.now() >> 20);
            println!("    curl: {mebibytes:?} MiB down by a tunnel and by a plain request");
            Ok(())
        })
        .await
}

fn download(web: SocketAddr, live: &Live, option: &str) -> Command {
    let url = format!("http://localhost:{}/stream", live.addr.port());
    let proxy = format!("http://{web}");
    let mut command = program("curl", None);
    command.args(["--silent", "--show-error", "--fail", "--proxy", &proxy, option, &url]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn git_and_apt_go_by_http_proxy() -> Outcome {
    if skipped("git through an HTTP proxy", &["git"], "git") {
        return Ok(());
    }
    let _turn = turn::shared().await;
    let Some((pair, files)) = start()? else { return Ok(()) };
    pair.run(async |pair: &ProgramPair| {
        let proxy = format!("http://{}", pair.near.ingress("any")?);
        git_clones(&files, pair.directory(), &proxy).await?;
        apt_downloads(&files, pair.directory(), &proxy).await
    })
    .await
}

/// A repository by git's protocol of plain files, which is many requests.
async fn git_clones(files: &Files, home: &Path, proxy: &str) -> Outcome {
    let source = home.join("source");
    let bare = files.place.join("tree.git");
    let (shown, copy) = (source.display().to_string(), home.join("copy").display().to_string());
    let run = async |args: &[&str]| -> Outcome {
        let mut git = program("git", Some(proxy));
        git.args(["-c", "user.name=t", "-c", "user.email=t@example", "-c", "protocol.version=0"]);
        let output = git.args(args).output().await?;
        assert!(output.status.success(), "git {args:?}: {output:?}");
        Ok(())
    };
    run(&["init", "--quiet", &shown]).await?;
    for number in 0..20 {
        std::fs::write(source.join(format!("file-{number}")), number.to_string().repeat(1000))?;
        run(&["-C", &shown, "add", "."]).await?;
        run(&["-C", &shown, "commit", "--quiet", "-m", "one more"]).await?;
    }
    run(&["clone", "--quiet", "--bare", &shown, &bare.display().to_string()]).await?;
    run(&["-C", &bare.display().to_string(), "update-server-info"]).await?;
    let url = format!("http://localhost:{}/tree.git", files.port);
    run(&["clone", "--quiet", &url, &copy]).await?;
    run(&["-C", &copy, "fsck", "--full", "--strict"]).await?;
    assert_eq!(std::fs::read_to_string(home.join("copy/file-7"))?, "7".repeat(1000));
    Ok(())
}

/// apt's own HTTP client, several files on one connection.
async fn apt_downloads(files: &Files, home: &Path, proxy: &str) -> Outcome {
    let helper = "/usr/lib/apt/apt-helper";
    if !Path::new(helper).exists() {
        not_installed("apt through an HTTP proxy", format!("no {helper} (apt-get install apt)"));
        return Ok(());
    }
    let mut command = program(helper, None);
    command.arg("-o").arg(format!("Acquire::http::Proxy={proxy}"));
    command.arg("-o").arg(format!("Dir::State={}", home.display()));
    command.arg("download-file");
    for number in 0..3 {
        let name = format!("package-{number}.deb");
        std::fs::write(files.place.join(&name), number.to_string().repeat(100_000))?;
        command.arg(format!("http://localhost:{}/{name}", files.port));
        command.arg(home.join(&name));
    }
    let output = command.output().await?;
    assert!(output.status.success(), "apt-helper: {output:?}");
    for number in 0..3 {
        let file = std::fs::read_to_string(home.join(format!("package-{number}.deb")))?;
        assert_eq!(file, number.to_string().repeat(100_000));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_goes_by_throughline_nc() -> Outcome {
    if skipped("ssh by `throughline nc`", &ssh::PROGRAMS, ssh::PACKAGES) {
        return Ok(());
    }
    let _turn = turn::shared().await;
    ProgramPair::start(Shape::default(), INGRESSES)?
        .run(async |pair: &ProgramPair| {
            let server = Server::start(pair.directory())?;
            let through = Through::Throughline(pair.near.ingress("any")?);
            ssh::session(&server, through, Duration::from_secs(1)).await?;
            let file = pair.directory().join("upload");
            let bytes: Vec<u8> = (0..4_000_000u32).map(|i| (i * 31 + i / 253) as u8).collect();
            std::fs::write(&file, &bytes)?;
            ssh::upload(&server, through, &file, &origin::hex(Sha256::new_with_prefix(&bytes)))
                .await?;
            let refused = Command::new(process::throughline()?)
                .args(["nc", "--proxy", &pair.socks()?.to_string(), "localhost"])
                .arg(process::free_tcp_port()?.to_string())
                .stdin(Stdio::null())
                .output()
                .await?;
            let said = String::from_utf8_lossy(&refused.stderr);
            assert_eq!(refused.status.code(), Some(1), "{said}");
            assert!(said.contains("refused the connection"), "{said}");
            Ok(())
        })
        .await
}
