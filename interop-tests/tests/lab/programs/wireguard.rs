//! WireGuard's userspace implementation, both of whose ends talk through a UDP forward; and a download within the
//! tunnel.

use std::path::Path;
use std::process::Command;

use interop_tests::lab::daemons::{Daemons, Setup};
use interop_tests::lab::host::Host;
use interop_tests::lab::{Lab, Shape, Side};
use interop_tests::process::Process;
use interop_tests::skip::skipped;
use interop_tests::support::Outcome;
use throughline::Mode;

use super::each_isp_dies;
use super::transfer::{Download, Origin};
use crate::in_the_lab;

/// Bytes that must come through the tunnel before, during and after each failure.
const STEP: u64 = 2 << 20;

/// The ends of the tunnel, and where the server's listens.
const ADDRESSES: [&str; 2] = ["10.99.0.1", "10.99.0.2"];
const PORT: u16 = 51820;

/// The client's forward to it.
const FORWARD: &str = "[ingress.wireguard]\nkind = 'forward'\nprotocol = 'udp'\n\
                       listen = '127.0.0.1:51821'\nto = '127.0.0.1:51820'\nvia = 'server'\n";

in_the_lab!("programs::wireguard", a_tunnel_by_wireguard_goes_on_while_each_isp_dies, async {
    let programs = ["wireguard-go", "wg", "curl"];
    if skipped("a tunnel by WireGuard", &programs, "wireguard-go wireguard-tools curl") {
        return Ok(());
    }
    let lab = Lab::new(Shape::default())?;
    let daemons = Daemons::start(&lab, Setup::of(Mode::Auto)).await?;
    daemons.reconfigure(Side::Client, |text| text + FORWARD)?;
    let place = daemons.directory();
    let (client, server) = (&lab.client.host, &lab.server.host);
    let keys = [keys(place, client, "client")?, keys(place, server, "server")?];
    let _tunnels =
        [tunnel(client, "wg-client", ADDRESSES[0])?, tunnel(server, "wg-server", ADDRESSES[1])?];
    wg(
        client,
        &format!(
            "set wg-client private-key {} peer {} endpoint 127.0.0.1:51821 allowed-ips {}/32",
            keys[0].0, keys[1].1, ADDRESSES[1]
        ),
    )?;
    wg(
        server,
        &format!(
            "set wg-server private-key {} listen-port {PORT} peer {} allowed-ips {}/32",
            keys[1].0, keys[0].1, ADDRESSES[0]
        ),
    )?;
    let origin = Origin::serve(server, ADDRESSES[1]).await?;
    let arguments = ["--silent", "--show-error", "--fail", "--no-buffer", &origin.url()];
    let download = Download::start(client, "curl", &arguments)?;
    each_isp_dies(&lab, &daemons, || download.received(), STEP).await?;
    println!("    wireguard: {} MiB through the tunnel", download.received() >> 20);
    let sent = origin.finish().await?;
    assert_eq!(download.finish().await?, sent, "the download has wrong bytes");
    // It was the tunnel that carried it, and nothing but it.
    let shown = wg(client, "show wg-client transfer")?;
    let received: u64 = shown.split_whitespace().nth(1).ok_or("no transfer")?.parse()?;
    assert!(received > 6 * STEP, "{shown}");
    Ok(())
});

/// Starts an end of the tunnel.
fn tunnel(host: &Host, device: &str, address: &str) -> Outcome<Process> {
    let mut command = Command::new("wireguard-go");
    // In its place it would say that the kernel has it, too.
    command.args(["--foreground", device]).env("WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD", "1");
    let process = host.start("wireguard-go", command)?;
    let is_there = || host.ip(&format!("link show {device}")).is_ok();
    let until = std::time::Instant::now() + super::STEP_TIMEOUT;
    while !is_there() {
        if std::time::Instant::now() > until {
            return Err(format!("wireguard-go makes no {device}: {}", process.log()).into());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // Its packets have to fit into ours.
    host.ip(&format!("addr add {address}/24 dev {device}\nlink set {device} mtu 1280 up"))?;
    Ok(process)
}

/// Returns the file of a private key, and the public key.
fn keys(place: &Path, host: &Host, name: &str) -> Outcome<(String, String)> {
    let file = place.join(format!("{name}.wg")).display().to_string();
    let mut command = Command::new("sh");
    command.args(["-c", "umask 077 && wg genkey > \"$0\" && wg pubkey < \"$0\"", &file]);
    let public = host.output(command)?.trim().to_owned();
    Ok((file, public))
}

fn wg(host: &Host, line: &str) -> Outcome<String> {
    let mut command = Command::new("wg");
    command.args(line.split_whitespace());
    host.output(command)
}
