//! A host changes its key under load, first the end that dials, then the one that is dialed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use throughline::PeerId;
use throughline_daemon::report::LaneReport;
use throughline_fixture::{Outcome, echo_server, forward, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::load::Load;
use crate::site::{Site, Text, lane_ids};

/// The group of nobody (Debian's nogroup), which has no other file here.
const NOGROUP: u32 = 65534;

/// Runs `throughline rotate-key` for a daemon, and returns the key that it prints.
fn rotate(site: &Site, name: &str, finish: bool) -> Outcome<PeerId> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
    let config = site.pair.directory().join(name).with_extension("toml");
    command.arg("rotate-key").arg("-c").arg(config).args(finish.then_some("--finish"));
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let key = said.split(|c: char| !c.is_ascii_alphanumeric()).find(|w| w.starts_with("tlk1"));
    Ok(key.ok_or(said.clone())?.parse()?)
}

/// Gives a daemon's key to a group, as an installed service has it (root:throughline, 0640); where the tests do
/// not run as root, which alone may, another mode is to be kept.
fn as_of_a_service(key: &Path) -> Outcome {
    let mode = match chown(key, None, Some(NOGROUP)) {
        Ok(()) => 0o640,
        Err(_) => 0o400,
    };
    Ok(fs::set_permissions(key, fs::Permissions::from_mode(mode))?)
}

/// Returns the owner, the group and the mode of a file.
fn access(path: &Path) -> Outcome<(u32, u32, u32)> {
    let file = fs::metadata(path)?;
    Ok((file.uid(), file.gid(), file.mode() & 0o7777))
}

/// Has `name` change its key, which `peer` has in its file; returns the peer's file afterwards.
async fn change_key(
    site: &Site,
    (name, peer): (&str, &str),
    of_peer: &Text,
    shown: impl Fn(&LaneReport) -> &str,
) -> Outcome<Text> {
    let former = site.status(name).await?.id;
    let session = site.session(name).await?.id;
    let next = rotate(site, name, false)?.to_string();
    assert_eq!(rotate(site, name, false)?.to_string(), next, "the same one is shown again");
    let file = site.pair.directory().join(name).with_extension("key");
    as_of_a_service(&file)?;
    let before = access(&file)?;
    let key = format!("key = '{former}'");
    of_peer.replace(&key, &format!("{key}\nkeys = ['{next}']")).write()?;
    site.reload(peer).await?;
    assert_eq!(rotate(site, name, true)?.to_string(), next);
    assert_eq!(access(&file)?, before);
    assert_eq!(site.status(name).await?.id, next);
    of_peer.replace(&key, &format!("key = '{next}'\nkeys = ['{former}']")).write()?;
    site.reload(peer).await?;
    site.until_lanes("with the new key", |lanes| {
        lanes.len() >= 2 && lanes.iter().all(|lane| shown(lane) == next && lane.state == "up")
    })
    .await?;
    // One end is told a moment after the other that a lane is over.
    let agree = until(async || {
        let (near, far) = (site.session("near").await, site.session("far").await);
        matches!((near, far), (Ok(near), Ok(far)) if lane_ids(&near) == lane_ids(&far))
    });
    assert!(agree.await, "the ends have different lanes");
    // The former key is removed when no lane has it any more, and nothing notices.
    let before = lane_ids(&site.session(name).await?);
    let with_next = of_peer.replace(&key, &format!("key = '{next}'"));
    with_next.write()?;
    let answer = site.reload(peer).await?;
    assert_eq!(answer.changes.len(), 1, "{answer:?}");
    assert_eq!(lane_ids(&site.session(name).await?), before);
    assert_eq!(site.session(name).await?.id, session, "the session was made anew");
    Ok(with_next)
}

#[tokio::test(flavor = "multi_thread")]
async fn either_end_changes_its_key_under_load_and_loses_nothing() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let echo = echo_server().await?;
    let bulk = forward("bulk", listener.local_addr()?.port());
    let site = Site::start(&(bulk + &forward("echo", echo))).await?;
    let (bulk, echo) = (site.pair.near.ingress("bulk")?, site.pair.near.ingress("echo")?);
    let load = Load::start(bulk, &listener, echo, (1, 10)).await?;
    change_key(&site, ("near", "far"), &site.far, |lane| &lane.our_key).await?;
    load.moves().await?;
    let near = change_key(&site, ("far", "near"), &site.near, |lane| &lane.peer_key).await?;
    load.moves().await?;
    // A key that is in use is revoked: its lanes end at once, and the session waits for one with another key.
    let unknown = throughline::Identity::generate().peer_id();
    let far_key = site.status("far").await?.id;
    let (key, other) = (format!("key = '{far_key}'"), format!("key = '{unknown}'"));
    let both = near.replace(&key, &format!("{other}\nkeys = ['{far_key}']"));
    both.write()?;
    site.reload("near").await?;
    near.replace(&key, &other).write()?;
    site.reload("near").await?;
    site.until_lanes("without the revoked key", |lanes| lanes.is_empty()).await?;
    both.write()?;
    site.reload("near").await?;
    site.until_lanes("back", |lanes| lanes.len() >= 2).await?;
    load.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_was_forgotten_is_named_and_loses_nothing() -> Outcome {
    let echo = echo_server().await?;
    let site = Site::start(&forward("echo", echo)).await?;
    let mut flow = TcpStream::connect(site.pair.near.ingress("echo")?).await?;
    let mut echoes = async || -> Outcome {
        flow.write_all(b"echo").await?;
        let mut back = [0; 4];
        flow.read_exact(&mut back).await?;
        Ok(())
    };
    echoes().await?;
    let next = rotate(&site, "near", false)?;
    let error = rotate(&site, "near", true).map(drop).unwrap_err().to_string();
    assert!(error.contains("some peers do not know it") && error.contains("  far: "), "{error}");
    assert!(error.contains(&format!("keys = [\"{next}\"]")), "{error}");
    let problems = site.status("near").await?.problems();
    let named = |problem: &String| problem.contains("peer far gets no new lane: ");
    assert!(problems.iter().any(named), "{problems:?}");
    echoes().await?;
    // Back, by the command that the message has: all is well at once, as nobody has to be dialed again.
    let command = error.split('`').find(|part| part.starts_with("mv ")).ok_or("no command")?;
    let program = Path::new(env!("CARGO_BIN_EXE_throughline"));
    let path =
        format!("{}:{}", program.parent().ok_or("no directory")?.display(), std::env::var("PATH")?);
    assert!(
        Command::new("sh").args(["-ec", command]).env("PATH", &path).status()?.success(),
        "{command}"
    );
    assert_ne!(site.status("near").await?.id, next.to_string());
    assert_eq!(site.status("near").await?.problems(), [""; 0]);
    let again = rotate(&site, "near", true).map(drop).unwrap_err().to_string();
    assert!(again.contains("some peers do not know it"), "{again}");
    // Forward, as it says as well.
    let former = site.session("far").await?.lanes[0].peer_key.clone();
    let key = format!("key = '{former}'");
    site.far.replace(&key, &format!("{key}\nkeys = ['{next}']")).write()?;
    site.reload("far").await?;
    site.until_lanes("with the new key", |lanes| {
        lanes.len() >= 2 && lanes.iter().all(|lane| lane.our_key == next.to_string())
    })
    .await?;
    assert_eq!(site.status("near").await?.problems(), [""; 0]);
    echoes().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_refuses_goes_on_with_its_former_key_and_its_file() -> Outcome {
    let site = Site::start("").await?;
    let former = site.status("near").await?.id;
    let next = rotate(&site, "near", false)?;
    let taken = TcpListener::bind("127.0.0.1:0").await?;
    let table = format!("[ingress.taken]\nkind = 'socks5'\nlisten = '{}'", taken.local_addr()?);
    site.near.table(&table).write()?;
    let error = rotate(&site, "near", true).map(drop).unwrap_err().to_string();
    assert!(error.contains("goes on with its former key: the ingress `taken`"), "{error}");
    site.near.write()?;
    assert_eq!(site.reload("near").await?.changes, [""; 0]);
    assert_eq!(site.status("near").await?.id, former);
    assert_eq!(rotate(&site, "near", false)?, next, "the next key is gone");
    Ok(())
}
