//! Two daemons on loopback, of which the far one knows names that nobody else does, and destinations behind it.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::world::{Daemon, PROGRAM, keygen};

/// Bounds what takes milliseconds, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A name that only the far daemon can look up.
pub(crate) const NAME: &str = "git.corp.example";

/// Somebody who may do nothing.
const NOBODY: &str = "65534";

/// Runs `body` where there can be namespaces and rules in them.
pub(crate) fn with_namespaces(test: &str, body: impl FnOnce()) {
    let can = |arguments: &[&str]| {
        let mut command = as_user();
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let rules = "nft add table inet t && ip link set lo up";
    let reason = match (can(&["true"]), can(&["unshare", "-rnm", "sh", "-c", rules])) {
        (true, true) => return body(),
        (false, _) => "no other user can be had (setpriv)",
        (_, false) => "no namespaces here, or no nft or ip (`unshare -rnm nft add table inet t`)",
    };
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {reason}");
}

/// Returns what runs a command as a user who is not root.
pub(crate) fn as_user() -> Command {
    let mut command = match nix::unistd::geteuid().is_root() {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "env"]);
            command
        }
        false => Command::new("env"),
    };
    // Whoever runs the tests in the background has them ignored, and a shell cannot trap what it finds ignored.
    command.arg("--default-signal=HUP,INT,TERM");
    // What is in root's may be in directories that others cannot read.
    command.env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// The daemons, and what is behind the far one.
pub(crate) struct Site {
    pub(crate) directory: TempDir,
    pub(crate) near: Daemon,
    pub(crate) socks: SocketAddr,
    /// The program, where everybody can run it.
    pub(crate) program: PathBuf,
    _far: Daemon,
}

/// Returns a port that is free, of TCP and of UDP.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Site {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
        let program = path.join("throughline");
        std::fs::copy(PROGRAM, &program).unwrap();
        std::fs::write(path.join("far.hosts"), format!("127.0.0.1 localhost {NAME}\n")).unwrap();
        let (near_key, far_key) = (keygen(path, "near"), keygen(path, "far"));
        let (lanes, socks) = (free_port(), SocketAddr::from(([127, 0, 0, 1], free_port())));
        let far = format!(
            "listen = \"127.0.0.1:{lanes}\"\n[peers.near]\nkey = \"{near_key}\"\nallow = \"localhost:*\"\n"
        );
        let far = Daemon::start(path, "far", &far, None);
        let near = format!(
            "default = \"reject\"\n[peers.far]\nkey = \"{far_key}\"\nlocators = \"127.0.0.1:{lanes}\"\n\
             [ingress.socks]\nkind = \"socks5\"\nlisten = \"{socks}\"\n\
             [[rule]]\nto = [\"*.corp.example\", \"192.0.2.0/24\", \"2001:db8::/32\"]\nvia = \"far\"\n"
        );
        let near = Daemon::start(path, "near", &near, None);
        Self { directory, near, socks, program, _far: far }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Returns what runs a command under `exec`, as a user who is not root.
    pub(crate) fn exec(&self) -> Command {
        let mut command = as_user();
        command.arg(&self.program).args(["exec", "--proxy", &self.socks.to_string(), "--"]);
        command.current_dir("/");
        command
    }

    /// Runs a command under `exec`; returns what it printed.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.exec();
        command.args(arguments);
        finished(command)
    }
}

/// Runs a command that is to end soon.
pub(crate) fn finished(mut command: Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |from: &mut dyn Read| {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    };
    let errors = std::thread::spawn(move || read(&mut stderr));
    let out = std::thread::spawn(move || read(&mut stdout));
    let status = ended(&mut child, &format!("{command:?}"));
    Output { status, stdout: out.join().unwrap(), stderr: errors.join().unwrap() }
}

/// Waits for a child; fails if it does not end.
pub(crate) fn ended(child: &mut Child, what: &str) -> std::process::ExitStatus {
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if since.elapsed() > SOON {
            let _ = child.kill();
            panic!("{what} does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Returns what a command printed; fails if it failed.
pub(crate) fn printed(output: &Output) -> String {
    let [out, errors] = [&output.stdout, &output.stderr].map(|b| String::from_utf8_lossy(b));
    assert!(output.status.success(), "{}: {out}{errors}", output.status);
    out.trim().to_owned()
}

/// Serves one kind of connection until the test ends; returns where.
pub(crate) fn serve(answer: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = std::sync::Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = answer.clone();
            std::thread::spawn(move || answer(stream.unwrap()));
        }
    });
    port
}

/// Serves HTTP: what is put is what is got.
pub(crate) fn web() -> u16 {
    let kept = std::sync::Mutex::new(Vec::new());
    serve(move |mut stream| {
        let mut bytes = Vec::new();
        let mut buffer = [0; 65536];
        let end = loop {
            let count = stream.read(&mut buffer).unwrap_or(0);
            bytes.extend(&buffer[..count]);
            match bytes.windows(4).position(|end| end == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None if count == 0 => return,
                None => {}
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        if let Some(len) = head.lines().find_map(|line| line.strip_prefix("content-length: ")) {
            let len: usize = len.parse().unwrap();
            let mut body = bytes.split_off(end);
            while body.len() < len {
                match stream.read(&mut buffer) {
                    Ok(count) if count > 0 => body.extend(&buffer[..count]),
                    _ => return,
                }
            }
            *kept.lock().unwrap() = body;
            let _ = stream.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\ntaken",
            );
            return;
        }
        let body = kept.lock().unwrap().clone();
        let body = if body.is_empty() { b"hello".to_vec() } else { body };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
    })
}

/// Returns what is sent once the other end has sent all, as a service that reads to the end first.
pub(crate) fn echo_after_end() -> u16 {
    serve(|mut stream| {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(Shutdown::Both);
    })
}

/// Echoes datagrams until the test ends; returns where.
pub(crate) fn echo_datagrams() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..len], from);
        }
    });
    port
}
