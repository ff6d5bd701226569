//! Two daemons, as the demo sees them: a SOCKS5 address behind which the far daemon dials.

mod launch;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use super::script::Isp;
use launch::launch;
use throughline::{Identity, Mode, PeerId};
use throughline_emulator::Emulator;

/// Bounds the shutdown: at the end of the run every flow has ended already.
const SHUTDOWN_DEADLINE: Duration = Duration::from_millis(500);

/// The settings of the two daemons.
pub(super) struct PairOptions<'a> {
    /// The internet between them.
    pub(super) internet: &'a Emulator,
    /// How flows use the lanes.
    pub(super) mode: Mode,
}

/// Two running daemons.
pub(super) struct Pair {
    /// The address of the near daemon's SOCKS5 ingress.
    pub(super) socks: SocketAddr,
    /// Shuts both down.
    pub(super) stop: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Returns the near site's address in the prefix of `isp`.
pub(super) fn client_addr(isp: Isp) -> [u8; 4] {
    match isp {
        Isp::A => [127, 0, 11, 1],
        Isp::B => [127, 0, 12, 1],
    }
}

/// Returns the address under which servers see the near site's [`client_addr`].
pub(super) fn seen_as(isp: Isp) -> [u8; 4] {
    match isp {
        Isp::A => [127, 0, 21, 1],
        Isp::B => [127, 0, 22, 1],
    }
}

/// Returns a locator of the far daemon: one per ISP, so that two lanes are disjoint at both ends.
fn locator_addr(isp: Isp) -> SocketAddr {
    let ip = match isp {
        Isp::A => [127, 0, 31, 1],
        Isp::B => [127, 0, 32, 1],
    };
    SocketAddr::from((ip, 0))
}

/// Returns the far daemon's configuration: it listens, and lets the near one reach the origin.
fn far_config(near_key: PeerId) -> String {
    format!(
        r#"identity = "far.key"
admin = "far.sock"
listen = ["127.0.0.1:0"]
default = "reject"

[peers.near]
key = "{near_key}"
allow = ["127.0.0.1:*"]
"#
    )
}

/// Returns the near daemon's configuration: two uplinks, a SOCKS5 ingress, all flows to the far one.
fn near_config(far_key: PeerId, locators: &[SocketAddr], mode: Mode) -> String {
    let locators: Vec<_> = locators.iter().map(|addr| format!("\"{addr}\"")).collect();
    let locators = locators.join(", ");
    let mut text = r#"identity = "near.key"
admin = "near.sock"
default = "reject"
"#
    .to_owned();
    for isp in Isp::BOTH {
        let [a, b, c, d] = client_addr(isp);
        text += &format!(
            r#"
[uplinks.{}]
prefixes = ["{a}.{b}.{c}.{d}/32"]
"#,
            isp.name()
        );
    }
    text + &format!(
        r#"
[peers.far]
key = "{far_key}"
locators = [{locators}]

[ingress.socks]
kind = "socks5"
listen = "127.0.0.1:0"

[[rule]]
to = ["127.0.0.0/8"]
via = ["far"]
mode = "{mode}"
"#
    )
}

/// Starts both daemons, each from a configuration text, as `throughline run` would.
pub(super) async fn start(options: PairOptions<'_>) -> Result<Pair, String> {
    // Keys and admin sockets live here; it goes when both daemons have ended.
    let home = tempfile::tempdir().map_err(|error| format!("a temporary directory: {error}"))?;
    let far_key =
        Identity::create(home.path().join("far.key")).map_err(|error| error.to_string())?.peer_id();
    let near_key = Identity::create(home.path().join("near.key"))
        .map_err(|error| error.to_string())?
        .peer_id();

    let far = launch(&home.path().join("far.toml"), &far_config(near_key)).await?;
    let far_addr = *far.node().local_addrs().first().ok_or("the far daemon does not listen")?;
    let locators = locators(&options, far_addr)?;
    let near = near_config(far_key, &locators, options.mode);
    let near = launch(&home.path().join("near.toml"), &near).await?;
    let socks = near.ingress_addr("socks").ok_or("the near daemon has no ingress")?;

    let stop = async move {
        near.shutdown(SHUTDOWN_DEADLINE).await;
        far.shutdown(SHUTDOWN_DEADLINE).await;
        drop(home);
    };
    Ok(Pair { socks, stop: Box::pin(stop) })
}

/// Opens the far daemon's locators in the emulated internet.
fn locators(options: &PairOptions<'_>, far: SocketAddr) -> Result<Vec<SocketAddr>, String> {
    let open = |isp| options.internet.udp_locator(locator_addr(isp), far, None);
    let opened: Result<_, _> = Isp::BOTH.into_iter().map(open).collect();
    opened.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configurations_are_toml_and_name_both_uplinks_and_both_locators() {
        let locators = [SocketAddr::from(([127, 0, 31, 1], 1)), ([127, 0, 32, 1], 2).into()];
        let key = PeerId::from_bytes([7; 32]);
        let near: toml::Table = near_config(key, &locators, Mode::Single).parse().unwrap();
        let far: toml::Table = far_config(key).parse().unwrap();
        assert_eq!(near["uplinks"].as_table().unwrap().len(), 2);
        assert_eq!(near["peers"]["far"]["locators"][1].as_str(), Some("127.0.32.1:2"));
        assert_eq!(near["rule"][0]["mode"].as_str(), Some("single"));
        assert_eq!(far["peers"]["near"]["allow"][0].as_str(), Some("127.0.0.1:*"));
    }
}
