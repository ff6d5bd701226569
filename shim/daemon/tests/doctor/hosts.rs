//! Set-ups that are broken at this host: its configuration, its key, its ports, its uplinks.

use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::site::{INGRESS, LOCATOR, Site, UPLINKS, broken, findings, worst_is};
use crate::world::{Daemon, PROGRAM, ip, keygen};

broken! {
    the_configuration_is_not_there => || {
        let site = Site::new();
        let output = site.doctor_by(&[]);
        worst_is(&output, "TL0101", "error", "near.toml");
        assert_eq!(output.status.code(), Some(2));
    };
    a_field_is_misspelt => || {
        let site = Site::new();
        site.finds("listn = \"[::]:5443\"\n", "TL0101", "error", "listn");
    };
    the_identity_is_missing => || {
        let (site, _far) = Site::with_isps();
        std::fs::remove_file(site.path().join("near.key")).unwrap();
        site.finds(&site.good(), "TL0102", "error", "near.key");
    };
    the_identity_is_open_to_others => || {
        let (site, _far) = Site::with_isps();
        let key = site.path().join("near.key");
        std::fs::set_permissions(key, PermissionsExt::from_mode(0o644)).unwrap();
        site.finds(&site.good(), "TL0103", "error", "0644");
    };
    the_identity_is_no_key => || {
        let (site, _far) = Site::with_isps();
        std::fs::write(site.path().join("near.key"), "hello").unwrap();
        site.finds(&site.good(), "TL0104", "error", "not an Ed25519");
    };
    a_peer_has_our_own_key => || {
        let (mut site, _far) = Site::with_isps();
        site.far_key.clone_from(&site.near_key);
        site.finds(&site.good(), "TL0105", "error", "own");
    };
    neither_end_can_dial => || {
        let (site, _far) = Site::with_isps();
        let config = format!("{UPLINKS}[peers.far]\nkey = \"{}\"\n{INGRESS}", site.far_key);
        site.finds(&config, "TL0106", "error", "Neither end can dial");
    };
    nothing_can_enter => || {
        let (site, _far, _there) = Site::with_peer();
        let config = site.good();
        let (without, _) = config.split_once("[ingress").unwrap();
        site.finds(without, "TL0107", "warning", "no ingress");
    };
    there_is_no_peer => || {
        let (site, _far) = Site::with_isps();
        site.finds(UPLINKS, "TL0108", "warning", "no peer");
    };
    the_port_of_an_ingress_is_taken => || {
        let (site, _far, _there) = Site::with_peer();
        let _taken = std::net::TcpListener::bind("127.0.0.1:1080").unwrap();
        site.finds(&site.good(), "TL0109", "error", "the ingress socks");
    };
    the_port_of_lanes_is_taken => || {
        let (site, _far, _there) = Site::with_peer();
        let _taken = UdpSocket::bind("192.0.2.5:5443").unwrap();
        let config = format!("listen = \"192.0.2.5:5443\"\n{}", site.good());
        let found = site.finds(&config, "TL0109", "error", "Another program has udp");
        assert!(found["cure"].as_str().unwrap().contains("ss -lunp"), "{found}");
    };
    the_daemon_that_has_the_ports_cannot_be_asked => || {
        let (site, _far, _there) = Site::with_peer();
        let _itself = std::net::TcpListener::bind("127.0.0.1:1080").unwrap();
        let text = format!("identity = \"near.key\"\nadmin = false\n{}", site.good());
        std::fs::write(site.path().join("near.toml"), text).unwrap();
        worst_is(&site.doctor_by(&[]), "TL0120", "note", "no admin socket");
    };
    it_listens_on_another_hosts_address => || {
        let (site, _far, _there) = Site::with_peer();
        let config = format!("listen = \"192.0.2.99:5443\"\n{}", site.good());
        site.finds(&config, "TL0109", "error", "no address of this host");
    };
    nft_is_missing => || {
        let (site, _far, _there) = Site::with_peer();
        let config = format!("{}[ingress.all]\nkind = \"intercept\"\nusers = \"*\"\nvia = \"far\"\n", site.good());
        site.write(&config);
        // Nothing else has its place in this namespace of mounts.
        let hidden = "for nft in /usr/sbin/nft /sbin/nft /usr/bin/nft; do \
                      if [ -e $nft ]; then mount --bind /dev/null $nft; fi; done; exec \"$0\" \"$@\"";
        worst_is(&site.doctor_by(&["unshare", "-m", "sh", "-c", hidden]), "TL0110", "error", "nft");
    };
    it_may_not_manage_routes => || {
        let (site, _far, _there) = Site::with_peer();
        site.write(&format!("manage-routes = true\n{}", site.good()));
        let output = site.doctor_by(&["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]);
        worst_is(&output, "TL0111", "warning", "CAP_NET_ADMIN");
    };
    another_daemon_has_the_admin_socket => || {
        let (site, _far, _there) = Site::with_peer();
        keygen(site.path(), "other");
        std::fs::rename(site.path().join("near.key"), site.path().join("kept.key")).unwrap();
        std::fs::copy(site.path().join("other.key"), site.path().join("near.key")).unwrap();
        let _other = Daemon::start(site.path(), "near", &site.good(), None);
        std::fs::rename(site.path().join("kept.key"), site.path().join("near.key")).unwrap();
        site.finds(&site.good(), "TL0122", "error", "another one's");
    };
    the_file_was_not_reloaded => || {
        let (site, _far, _there) = Site::with_peer();
        let near = Daemon::start(site.path(), "near", &site.good(), None);
        let up = |status: &serde_json::Value| status["uplinks"].as_array().is_some_and(|all| {
            all.len() == 2 && all.iter().all(|uplink| uplink["lanes_up"] == 1)
        });
        near.until(std::time::Duration::from_secs(30), "lanes over both", up);
        let before = near.status();
        site.finds(&format!("linger = \"1h\"\n{}", site.good()), "TL0123", "note", "linger");
        // The doctor has not disturbed it.
        assert_eq!(before["peers"][0]["sessions"][0]["id"], near.status()["peers"][0]["sessions"][0]["id"]);
        assert!(up(&near.status()));
    };
    a_peer_that_only_dials_us_is_not_here => || {
        let (site, _far) = Site::with_isps();
        let config =
            format!("listen = \"[::]:5443\"\n{UPLINKS}[peers.far]\nkey = \"{}\"\n{INGRESS}", site.far_key);
        let _near = Daemon::start(site.path(), "near", &config, None);
        site.finds(&config, "TL0126", "warning", "only it can dial");
    };
    there_are_few_descriptors => || {
        let (site, _far, _there) = Site::with_peer();
        site.write(&site.good());
        let few = "ulimit -n 256; exec \"$0\" \"$@\"";
        worst_is(&site.doctor_by(&["sh", "-c", few]), "TL0130", "warning", "256 file descriptors");
    };
    an_uplinks_interface_does_not_exist => || {
        let (site, _far, _there) = Site::with_peer();
        let uplinks = UPLINKS.replace("b0", "eth9");
        site.finds(&site.config(&uplinks, LOCATOR), "TL0140", "warning", "no interface eth9");
    };
    an_uplinks_interface_is_down => || {
        let (site, _far, _there) = Site::with_peer();
        ip("link set b0 down");
        site.finds(&site.good(), "TL0141", "warning", "b0 is down");
    };
    an_uplink_has_lost_its_carrier => || {
        let (site, far, _there) = Site::with_peer();
        far.ip("link set b1 down");
        site.finds(&site.good(), "TL0141", "warning", "no carrier");
    };
    an_uplinks_prefix_is_misspelt => || {
        let (site, _far, _there) = Site::with_peer();
        let uplinks = "[uplinks.isp-a]\ninterface = \"a0\"\n[uplinks.isp-b]\nprefixes = \"198.51.10.0/24\"\n";
        site.finds(&site.config(uplinks, LOCATOR), "TL0142", "warning", "198.51.100.5");
    };
    an_uplinks_address_is_deprecated => || {
        let (site, _far, _there) = Site::with_peer();
        ip("-6 addr flush dev b0 scope global");
        ip("addr change 198.51.100.5/24 dev b0 preferred_lft 0");
        site.finds(&site.good(), "TL0143", "warning", "deprecated");
    };
    there_is_one_uplink => || {
        let (site, _far, _there) = Site::with_peer();
        let uplinks = "[uplinks.isp-a]\ninterface = \"a0\"\n";
        site.finds(&site.config(uplinks, LOCATOR), "TL0144", "note", "isp-a only");
    };
    this_host_has_no_address => || {
        let site = Site::new();
        site.finds(&site.config("", LOCATOR), "TL0145", "error", "no address");
    };
    the_locators_name_does_not_resolve => || {
        let (site, _far, _there) = Site::with_peer();
        site.finds(&site.config(UPLINKS, "office.invalid:5443"), "TL0150", "error", "office.invalid");
    };
    the_locator_is_of_a_family_that_no_uplink_has => || {
        let (site, _far, _there) = Site::with_peer();
        ip("-6 addr flush scope global");
        site.finds(&site.config(UPLINKS, "[2001:db8:f::1]:5443"), "TL0151", "error", "IPv6");
    };
    the_locator_is_this_host => || {
        let (site, _far, _there) = Site::with_peer();
        site.finds(&site.config(UPLINKS, "198.51.100.5:5443"), "TL0152", "error", "this host itself");
    };
    nothing_is_wrong => || {
        let (site, _far, _there) = Site::with_peer();
        site.write(&site.good());
        let found = findings(&site.doctor_by(&[]));
        let good = found.iter().filter(|finding| finding["code"] == "TL0200").count();
        assert_eq!(good, 2, "{found:#?}");
        assert!(found.iter().all(|f| ["ok", "note"].contains(&f["severity"].as_str().unwrap())), "{found:#?}");
        // For people, and with a peer that is not there.
        let file = site.path().join("near.toml");
        let text = Command::new(PROGRAM).args(["doctor", "-c"]).arg(&file).output().unwrap();
        let text = String::from_utf8(text.stdout).unwrap();
        assert!(text.contains("ok      TL0200  peer far, isp-a: 192.0.2.5 to 203.0.113.1:5443"), "{text}");
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains("packets of 1480 bytes pass; no NAT is on the way"), "{text}");
        assert!(text.trim_end().contains("All is well"), "{text}");
        let other = Command::new(PROGRAM).args(["doctor", "--peer", "x", "-c"]).arg(&file).output().unwrap();
        assert_eq!(other.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&other.stderr).contains("there are far"), "{other:?}");
    };
}
