//! Headless Chromium, which learns of the HTTP proxy by the PAC file: a page with a WebSocket and a long download.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use interop_tests::lab::daemons::{Daemons, Setup};
use interop_tests::lab::{Lab, Shape, Side};
use interop_tests::skip;
use interop_tests::support::{Outcome, eventually};
use parking_lot::Mutex;
use serde_json::Value;
use throughline::Mode;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::{STEP_TIMEOUT, each_isp_dies};
use crate::in_the_lab;

/// Messages of the WebSocket that must come before, during and after each failure; so must so many bytes for each.
const STEP: u64 = 20;
const BYTES_A_MESSAGE: u64 = 50_000;

/// Where the page is: no address of loopback, for which browsers use no proxy.
const SITE: &str = "198.51.100.7";

/// Says why CI has no Chromium, which takes half a gigabyte of the disk.
const NO_CHROMIUM: &str = "THROUGHLINE_NO_CHROMIUM";

const INGRESS: &str = "[ingress.web]\nkind = 'http'\nlisten = '127.0.0.1:8118'\nvia = 'server'\n";

/// The page's own account of itself, as it last told it.
#[derive(Default)]
struct Page {
    state: Mutex<Value>,
    over: AtomicBool,
    sent: AtomicU64,
}

impl Page {
    fn number(&self, field: &str) -> u64 {
        self.state.lock()[field].as_u64().unwrap_or(0)
    }

    fn progress(&self) -> u64 {
        self.number("messages").min(self.number("bytes") / BYTES_A_MESSAGE)
    }
}

in_the_lab!("programs::browser", chromium_shows_a_page_that_lasts_while_each_isp_dies, async {
    let test = "a page in Chromium";
    // Chromium itself: its headless shell reads no PAC file.
    let Some(browser) = skip::large(test, "chromium", "chromium", NO_CHROMIUM) else {
        return Ok(());
    };
    let Some(python) = skip::python(test, "websockets", "python3-websockets") else {
        return Ok(());
    };
    let lab = Lab::new(Shape::default())?;
    let server = &lab.server.host;
    server.ip(&format!("addr add {SITE}/32 dev lo"))?;
    let daemons = Daemons::start(&lab, Setup::of(Mode::Auto)).await?;
    let allowed = format!("'localhost:*', '{SITE}:*'");
    daemons.reconfigure(Side::Server, |text| text.replace("'localhost:*'", &allowed))?;
    daemons.reconfigure(Side::Client, |text| text + INGRESS)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/websocket_server.py");
    let mut socket = Command::new(python);
    socket.env("PYTHONDONTWRITEBYTECODE", "1").arg(script).args([SITE, "short"]);
    let socket = server.start("websocket server", socket)?;
    let said = socket.says("listening on")?;
    let port = said.trim_end_matches(';').rsplit(' ').next().ok_or("no port")?;
    let html = include_str!("browser.html").replace("WEBSOCKET", port);
    let page = Arc::new(Page::default());
    let listener = server.spawn(TcpListener::bind((SITE, 0)))?.await??;
    let url = format!("http://{}/", listener.local_addr()?);
    let _serving = server.spawn(serve(listener, html.into(), page.clone()))?;
    let chromium =
        lab.client.host.start("chromium", chromium(&browser, daemons.directory(), &url))?;
    let survived = each_isp_dies(&lab, &daemons, || page.progress(), STEP).await;
    survived.map_err(|error| format!("{error}\n{}\n{}", page.state.lock(), chromium.log()))?;
    page.over.store(true, Ordering::Relaxed);
    let ended = |page: &Page| {
        let state = page.state.lock();
        (state["downloaded"] == true && state["closed"] == true).then_some(())
    };
    let ended = eventually(STEP_TIMEOUT, async || ended(&page)).await;
    let state = page.state.lock().clone();
    println!("    chromium: {state}");
    assert!(ended.is_some(), "the page does not end: {state}");
    assert_eq!(state["wrong"], "", "the page found something wrong");
    assert_eq!(page.number("bytes"), page.sent.load(Ordering::Relaxed), "not the whole download");
    socket.says("closed with 1000 after")?;
    Ok(())
});

/// Returns a browser that shows a page, and asks the network for nothing else; its files are in that directory.
fn chromium(browser: &Path, directory: &Path, url: &str) -> Command {
    let mut command = Command::new(browser);
    // Root, and whoever is root in a user namespace, has no sandbox.
    command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
    command.args(["--no-first-run", "--disable-background-networking", "--disable-sync"]);
    command.args(["--disable-component-update", "--disable-default-apps", "--no-pings"]);
    command.arg("--proxy-pac-url=http://127.0.0.1:8118/proxy.pac");
    command.arg(format!("--user-data-dir={}", directory.join("chromium").display()));
    command.env("HOME", directory).env("TMPDIR", directory);
    // Without one it prints the page and ends.
    command.args(["--remote-debugging-port=0", url]).stdout(Stdio::null());
    command
}

async fn serve(listener: TcpListener, html: Arc<str>, page: Arc<Page>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (html, page) = (html.clone(), page.clone());
        tokio::spawn(async move {
            if let Err(error) = answer(BufReader::new(stream), &html, &page).await {
                println!("    the page's server: {error}");
            }
        });
    }
}

/// Answers one request, and ends the connection.
async fn answer(mut stream: BufReader<TcpStream>, html: &str, page: &Page) -> Outcome {
    let (mut request, mut line, mut length) = (String::new(), String::new(), 0);
    stream.read_line(&mut request).await?;
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    match request.split(' ').nth(1) {
        Some("/stream") => return download(&mut stream, page).await,
        Some("/report") => *page.state.lock() = serde_json::from_slice(&body)?,
        _ => {}
    }
    let (status, text) = match request.split(' ').nth(1) {
        Some("/") => ("200 OK", html),
        Some("/report") => ("200 OK", ""),
        _ => ("404 Not Found", ""),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all((head + text).as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

/// Sends bytes each of which says its place, until it is over; in chunks, so that an end that comes too early is none.
async fn download(stream: &mut BufReader<TcpStream>, page: &Page) -> Outcome {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let byte = |at: u64| ((at % 251) ^ (at / 251 % 256)) as u8;
    let mut sent = 0;
    while !page.over.load(Ordering::Relaxed) {
        let block: Vec<u8> = (sent..sent + 16 * 1024).map(byte).collect();
        stream.write_all(format!("{:x}\r\n", block.len()).as_bytes()).await?;
        stream.write_all(&block).await?;
        stream.write_all(b"\r\n").await?;
        sent += block.len() as u64;
    }
    page.sent.store(sent, Ordering::Relaxed);
    stream.write_all(b"0\r\n\r\n").await?;
    Ok(stream.shutdown().await?)
}
