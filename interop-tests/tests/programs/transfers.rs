//! curl, both ways.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use interop_tests::support::Outcome;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::origin;

/// Returns a curl that goes by the SOCKS5 ingress.
pub(crate) fn curl(socks: SocketAddr) -> Command {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--fail", "--socks5-hostname", &socks.to_string()]);
    // A proxy of the environment is not for loopback.
    command.env_remove("http_proxy").env_remove("all_proxy").env("no_proxy", "");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Downloads `mebibytes` and checks their hash.
pub(crate) async fn download(
    socks: SocketAddr,
    origin: SocketAddr,
    mebibytes: u64,
    expected: &str,
) -> Outcome {
    let started = Instant::now();
    let url = format!("http://localhost:{}/file", origin.port());
    let mut child = curl(socks).arg(url).spawn()?;
    let mut stdout = child.stdout.take().ok_or("no standard output")?;
    let (mut hash, mut total) = (Sha256::new(), 0u64);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stdout.read(&mut buffer).await? {
            0 => break,
            count => {
                hash.update(&buffer[..count]);
                total += count as u64;
            }
        }
    }
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("curl after {total} bytes: {}: {said}", output.status).into());
    }
    assert_eq!(total, mebibytes << 20, "curl's download has another length");
    assert!(origin::hex(hash) == expected, "curl's download has wrong bytes");
    println!("    curl: {mebibytes} MiB down in {:?}", started.elapsed());
    Ok(())
}

/// Uploads a file and checks the hash that the origin saw.
pub(crate) async fn upload(
    socks: SocketAddr,
    origin: SocketAddr,
    file: &Path,
    expected: &str,
) -> Outcome {
    let started = Instant::now();
    let url = format!("http://127.0.0.1:{}/file", origin.port());
    let output = curl(socks).arg("--upload-file").arg(file).arg(url).output().await?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("curl --upload-file: {}: {said}", output.status).into());
    }
    let seen = String::from_utf8(output.stdout)?;
    assert!(seen == expected, "curl's upload has wrong bytes: {seen}");
    println!("    curl: up in {:?}", started.elapsed());
    Ok(())
}
