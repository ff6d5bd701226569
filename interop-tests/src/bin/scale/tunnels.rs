//! Other tunnels between two TCP ports of loopback: `ssh -L` and stunnel.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

use interop_tests::process::{Process, free_tcp_port, installed};
use interop_tests::support::{Outcome, eventually};
use tempfile::TempDir;
use tokio::net::TcpStream;

/// How long a program has to start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A running tunnel.
pub(crate) struct Tunnel {
    pub(crate) ingress: SocketAddr,
    _processes: Vec<Process>,
    _home: TempDir,
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// `ssh -L` with AES-128-GCM, the fastest of its ciphers; `None` where there is no sshd.
pub(crate) async fn ssh(target: SocketAddr) -> Outcome<Option<Tunnel>> {
    let (Some(sshd), Some(_)) = (installed("sshd"), installed("ssh-keygen")) else {
        return Ok(None);
    };
    let home = tempfile::tempdir()?;
    let key = home.path().join("key").to_string_lossy().into_owned();
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", &key])
        .stdin(Stdio::null())
        .status()?;
    if !made.success() {
        return Err("ssh-keygen failed".into());
    }
    // sshd wants this directory of root's; it is harmless where it is there.
    let _ = std::fs::create_dir_all("/run/sshd");
    let (port, ingress) = (free_tcp_port()?, free_tcp_port()?);
    let config = home.path().join("sshd_config");
    std::fs::write(
        &config,
        format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {key}\nAuthorizedKeysFile {key}.pub\n\
             StrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\n"
        ),
    )?;
    let server = Process::start("sshd", Command::new(sshd).args(["-D", "-e", "-f"]).arg(&config))?;
    server.says("Server listening")?;
    let mut command = Command::new("ssh");
    command.args(["-N", "-i", &key, "-p", &port.to_string(), "-c", "aes128-gcm@openssh.com"]);
    command.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
    command.args(["-o", "IdentitiesOnly=yes", "-F", "none", "-L"]);
    command.args([format!("{ingress}:{target}"), "127.0.0.1".to_owned()]);
    let client = Process::start("ssh", &mut command)?;
    let ingress = loopback(ingress);
    // The server as well: a client that finds none closes the connection that it was given.
    listening(loopback(port)).await?;
    listening(ingress).await?;
    Ok(Some(Tunnel { ingress, _processes: vec![client, server], _home: home }))
}

/// stunnel at both ends, TLS 1.3; `None` where it is not installed.
pub(crate) async fn stunnel(target: SocketAddr) -> Outcome<Option<Tunnel>> {
    let Some(program) = installed("stunnel").or_else(|| installed("stunnel4")) else {
        return Ok(None);
    };
    let home = tempfile::tempdir()?;
    let key = rcgen::generate_simple_self_signed(vec!["localhost".into()])?;
    let pem = home.path().join("key.pem");
    std::fs::write(&pem, key.signing_key.serialize_pem() + &key.cert.pem())?;
    let (port, ingress) = (free_tcp_port()?, free_tcp_port()?);
    let start = |name: &str, text: String| {
        let file = home.path().join(format!("{name}.conf"));
        std::fs::write(&file, format!("foreground = yes\npid =\n[{name}]\n{text}\n"))?;
        Process::start(name, Command::new(&program).arg(&file))
    };
    let server = start(
        "server",
        format!("accept = 127.0.0.1:{port}\nconnect = {target}\ncert = {}", pem.display()),
    )?;
    let client = start(
        "client",
        format!("client = yes\naccept = 127.0.0.1:{ingress}\nconnect = 127.0.0.1:{port}"),
    )?;
    let ingress = loopback(ingress);
    // The server as well: a client that finds none closes the connection that it was given.
    listening(loopback(port)).await?;
    listening(ingress).await?;
    Ok(Some(Tunnel { ingress, _processes: vec![client, server], _home: home }))
}

/// Waits until somebody listens there.
async fn listening(addr: SocketAddr) -> Outcome {
    let there = eventually(START_TIMEOUT, async || TcpStream::connect(addr).await.ok()).await;
    there.map(drop).ok_or_else(|| format!("nothing listens on {addr}").into())
}
