//! OpenSSH: a server of the test's own, as the current user, and clients.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use interop_tests::process::{self, Process};
use interop_tests::support::{Outcome, clock};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

/// A person notices from here on.
const NOTEWORTHY: Duration = Duration::from_millis(100);

/// A running sshd.
pub(crate) struct Server {
    /// The port it listens on.
    pub(crate) port: u16,
    place: PathBuf,
    user: String,
    _process: Process,
}

/// How the client gets there.
#[derive(Clone, Copy)]
pub(crate) enum Through {
    /// `ProxyCommand nc -X 5`, by the SOCKS5 ingress.
    Proxy(SocketAddr),
    /// `ProxyCommand throughline nc`, by a SOCKS5 ingress.
    Throughline(SocketAddr),
    /// A forwarded port.
    Forward(SocketAddr),
}

/// What it needs; `nc` for [`Through::Proxy`].
pub(crate) const PROGRAMS: [&str; 4] = ["ssh", "ssh-keygen", "sshd", "nc"];

/// The Debian packages that have it.
pub(crate) const PACKAGES: &str = "openssh-client openssh-server netcat-openbsd";

impl Server {
    /// Starts it with keys of its own in `place`.
    pub(crate) fn start(place: &Path) -> Outcome<Self> {
        for key in ["host", "user"] {
            let mut keygen = std::process::Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(place.join(key));
            assert!(keygen.status()?.success(), "ssh-keygen failed");
        }
        let output = std::process::Command::new("id").arg("-un").output()?;
        let user = String::from_utf8(output.stdout)?.trim().to_owned();
        if user == "root" {
            // sshd separates privileges there; Debian's service makes it at boot.
            std::fs::create_dir_all("/run/sshd")?;
        }
        let port = process::free_tcp_port()?;
        let shown = place.display();
        std::fs::write(
            place.join("sshd_config"),
            format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {shown}/host\nPidFile none\n\
                 AuthorizedKeysFile {shown}/user.pub\nStrictModes no\nUsePAM no\n\
                 PermitRootLogin prohibit-password\nPasswordAuthentication no\n"
            ),
        )?;
        let host_key = std::fs::read_to_string(place.join("host.pub"))?;
        let mut known = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(place.join("known_hosts"))?;
        writeln!(known, "far {host_key}")?;
        let program = process::installed("sshd").ok_or("no sshd")?;
        let mut command = std::process::Command::new(program);
        command.args(["-D", "-e", "-f"]).arg(place.join("sshd_config"));
        let process = Process::start("sshd", &mut command)?;
        process.says("Server listening")?;
        Ok(Self { port, place: place.to_owned(), user, _process: process })
    }

    /// Returns a client, with options before those that make it find and trust the server.
    pub(crate) fn client(&self, through: Through, options: &[&str], remote: &str) -> Command {
        let mut command = Command::new("ssh");
        command.args(options).args(self.options());
        match through {
            Through::Proxy(socks) => {
                let proxy = format!("ProxyCommand=nc -X 5 -x {socks} %h %p");
                command.args(["-o", &proxy, "-p", &self.port.to_string(), "127.0.0.1"]);
            }
            Through::Throughline(socks) => {
                let program = process::throughline().expect("the daemons run it already");
                let program = program.display();
                let proxy = format!("ProxyCommand={program} nc --proxy {socks} %h %p");
                command.args(["-o", &proxy, "-p", &self.port.to_string(), "127.0.0.1"]);
            }
            Through::Forward(addr) => {
                command.args(["-p", &addr.port().to_string(), &addr.ip().to_string()]);
            }
        }
        command.arg(remote).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Returns the client as programs take it that run it themselves (`rsync -e`, `GIT_SSH_COMMAND`) and
    /// add host and command.
    pub(crate) fn transport(&self, forward: SocketAddr) -> String {
        format!("ssh -p {} {}", forward.port(), self.options().join(" "))
    }

    /// Returns what makes a client find and trust the server.
    pub(crate) fn options(&self) -> Vec<String> {
        let place = self.place.display();
        let fixed = "-F none -o BatchMode=yes -o IdentitiesOnly=yes -o HostKeyAlias=far \
                     -o ServerAliveInterval=0";
        let own =
            format!("-o UserKnownHostsFile={place}/known_hosts -i {place}/user -l {}", self.user);
        [fixed, &own].iter().flat_map(|text| text.split(' ')).map(str::to_owned).collect()
    }
}

/// `ssh … cat`: a line every 50 ms for `length`, each back before it counts. Returns the slowest.
pub(crate) async fn session(
    server: &Server,
    through: Through,
    length: Duration,
) -> Outcome<Duration> {
    let mut child = server.client(through, &[], "cat").spawn()?;
    let mut stdin = child.stdin.take().ok_or("no standard input")?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no standard output")?).lines();
    // Setting up is not what is measured.
    stdin.write_all(b"ready\n").await?;
    assert_eq!(lines.next_line().await?.as_deref(), Some("ready"));
    #[expect(clippy::disallowed_methods, reason = "one entry for each key, in a test of seconds")]
    let (times, mut sent) = tokio::sync::mpsc::unbounded_channel::<Instant>();
    let typing = tokio::spawn(async move {
        let until = Instant::now() + length;
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        let mut number = 0u64;
        while Instant::now() < until {
            tick.tick().await;
            let _ = times.send(Instant::now());
            stdin.write_all(format!("line {number}\n").as_bytes()).await?;
            number += 1;
        }
        // Dropping both ends the session.
        Outcome::Ok(())
    });
    let (mut number, mut worst) = (0u64, Duration::ZERO);
    while let Some(at) = sent.recv().await {
        let Some(line) = lines.next_line().await? else {
            return Err(format!("the session ended at line {number}").into());
        };
        assert_eq!(line, format!("line {number}"));
        let took = at.elapsed();
        if took > NOTEWORTHY {
            println!("    {} ssh: line {number} took {took:?}", clock());
        }
        worst = worst.max(took);
        number += 1;
    }
    typing.await??;
    assert_eq!(lines.next_line().await?, None, "more than was typed");
    assert!(child.wait().await?.success(), "ssh failed at its end");
    println!("    ssh: {number} lines in {length:?}, the slowest {worst:?}");
    Ok(worst)
}

/// `dd if=file | ssh … sha256sum`.
pub(crate) async fn upload(
    server: &Server,
    through: Through,
    file: &Path,
    expected: &str,
) -> Outcome {
    let started = Instant::now();
    let mut dd = Command::new("dd");
    dd.arg(format!("if={}", file.display())).args(["bs=64k", "status=none"]);
    let mut dd = dd.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let pipe: Stdio = dd.stdout.take().ok_or("no standard output")?.try_into()?;
    let output = server.client(through, &[], "sha256sum").stdin(pipe).output().await?;
    assert!(dd.wait().await?.success() && output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout)?;
    assert!(said.starts_with(expected), "ssh's upload has wrong bytes: {said}");
    println!("    ssh: up in {:?}", started.elapsed());
    Ok(())
}
