//! A reload that is refused: by what, in which terms, and that nothing has changed.

use std::net::{TcpListener, UdpSocket};
use std::process::Command;

use throughline_fixture::{Outcome, echo_server, forward};

use crate::load::Idle;
use crate::site::{Site, lane_ids};

/// Asserts that the near daemon refuses what its file says now, in these terms, and goes on as it was.
async fn refuses(site: &Site, what: &str, expected: &[&str]) -> Outcome {
    let before = (site.status("near").await?, site.session("near").await?);
    for dry_run in [true, false] {
        let answer = match dry_run {
            true => site.dry_run("near").await,
            false => site.reload("near").await,
        };
        let error = match answer {
            Ok(answer) => panic!("{what} is taken over: {answer:?}"),
            Err(error) => error.to_string(),
        };
        assert!(expected.iter().all(|word| error.contains(word)), "{what}: {error}");
    }
    let after = (site.status("near").await?, site.session("near").await?);
    assert_eq!(lane_ids(&before.1), lane_ids(&after.1), "{what}");
    assert_eq!(before.1.id, after.1.id, "{what}");
    let what_is_configured = |report: &throughline_daemon::report::Report| {
        let peers = report.peers.iter();
        let peers: Vec<_> = peers
            .map(|p| (p.name.clone(), p.id.clone(), p.other_keys.clone(), p.locators.clone()))
            .collect();
        let uplinks: Vec<_> = report
            .uplinks
            .iter()
            .map(|u| (u.name.clone(), u.addresses.clone(), u.metered))
            .collect();
        (report.id.clone(), report.listen.clone(), peers, uplinks)
    };
    assert_eq!(what_is_configured(&before.0), what_is_configured(&after.0), "{what}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_refused_changes_nothing_and_says_why() -> Outcome {
    let echo = echo_server().await?;
    let site = Site::start(&forward("echo", echo)).await?;
    let mut flow = Idle::open(site.pair.near.ingress("echo")?).await?;
    // Held until the end, so that they stay taken.
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    let (tcp_addr, udp_addr) = (tcp.local_addr()?.to_string(), udp.local_addr()?.to_string());
    let near = site.near.clone();
    // Beside what is refused there is something that would be taken over by itself.
    let other = near.field("linger = '1h'").replace("isp-a", "isp-x");
    let own_key = site.status("near").await?.id;
    std::fs::write(site.pair.directory().join("open.key"), "not a key")?;
    let cases = [
        ("a wrong field", other.field("lisen = 'x'"), vec!["There is no field `lisen` here"]),
        ("text that is no TOML", other.table("[["), vec!["This is not valid"]),
        ("an unreadable identity", other.replace("near.key", "no-such.key"), vec!["no-such.key"]),
        ("an identity that is none", other.replace("near.key", "open.key"), vec!["open.key"]),
        (
            "our own key as a peer's",
            other.table(&format!("[peers.us]\nkey = '{own_key}'")),
            vec!["this host's own key"],
        ),
        (
            "an ingress whose address is taken",
            other.table(&format!(
                "[ingress.new]\nkind = 'socks5'\nlisten = '{tcp_addr}'\nvia = 'far'"
            )),
            vec!["ingress `new`", &tcp_addr, "in use"],
        ),
        (
            "a UDP address that is taken",
            other.field(&format!("listen = '{udp_addr}'")),
            vec!["cannot listen on udp", &udp_addr],
        ),
        (
            "a UDP address that is not ours",
            other.field("listen = '192.0.2.77:5443'"),
            vec!["cannot listen on udp 192.0.2.77:5443"],
        ),
        ("another admin socket", other.replace("near.sock", "other.sock"), vec!["`admin`"]),
    ];
    for (what, text, expected) in &cases {
        text.write()?;
        refuses(&site, what, expected).await?;
    }
    // The same at SIGHUP: a line at ERROR, and an event.
    site.pair.near.signal("HUP")?;
    let said = site.pair.near.says_times("config-refused", cases.len() + 1)?;
    assert!(said.contains("ERROR") && said.contains("`admin`"), "{said}");
    // And nothing was missed that waits to be done with the next one.
    near.write()?;
    assert_eq!(site.reload("near").await?.changes, [""; 0]);
    flow.answers().await?;
    Idle::open(site.pair.near.ingress("echo")?).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_finds_wrong_by_itself_is_told_by_the_daemon_too() -> Outcome {
    let site = Site::start("").await?;
    let near = site.near.clone();
    near.field("lisen = 'x'").write()?;
    let program = env!("CARGO_BIN_EXE_throughline");
    let file = site.pair.directory().join("near.toml");
    for options in [&[][..], &["--dry-run"]] {
        let output =
            Command::new(program).args(["reload", "-c"]).arg(&file).args(options).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("`lisen`"), "{output:?}");
        site.pair.near.says_times("config-refused", 1)?;
    }
    // A trial is nobody's event.
    let refused = site.pair.near.log().matches("config-refused").count();
    assert_eq!(refused, 1);
    // A successor that could not start is not begun, and the log says why.
    site.pair.near.signal("USR2")?;
    site.pair.near.says("no successor can start, this daemon goes on")?;
    // Another file than the daemon's is not what it reads, and nobody is to think so.
    near.write()?;
    let other = site.pair.directory().join("other.toml");
    std::fs::copy(&file, &other)?;
    near.field("linger = '3h'").write()?;
    let reload = |options: &[&str]| {
        Command::new(program).args(["reload", "-c"]).arg(&other).args(options).output()
    };
    for options in [&["--dry-run"][..], &[]] {
        let output = reload(options)?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("nothing has changed"), "{output:?}");
    }
    // Nor is the daemon's own file read where another one is wrong.
    std::fs::write(&other, format!("lisen = 'x'\n{}", std::fs::read_to_string(&other)?))?;
    assert_eq!(reload(&[])?.status.code(), Some(2));
    assert!(!site.pair.near.log().contains("config-changed"), "{}", site.pair.near.log());
    Ok(())
}
