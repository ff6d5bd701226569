//! What happens to lanes when the kernel reports that their address or link is gone.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::world::{
    Daemon, Far, in_namespace, ip, keygen, lane_from, lanes, provider, two_providers,
};

/// Bounds the reaction to a change, as in `watch`.
const SOON: Duration = Duration::from_millis(250);

/// Bounds a dial over a link without delay, on a busy machine.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// Starts both daemons, the near one with both providers as uplinks and the routes to use them.
pub(crate) fn daemons(directory: &Path, far: &Far) -> (Daemon, Daemon) {
    ip("route add default via 192.0.2.1 dev a0 metric 100");
    ip("route add default via 198.51.100.1 dev b0 metric 200");
    let (near_key, far_key) = (keygen(directory, "near"), keygen(directory, "far"));
    let there = Daemon::start(
        directory,
        "far",
        &format!("listen = [\"203.0.113.1:5443\"]\n[peers.near]\nkey = \"{near_key}\"\n"),
        Some(far),
    );
    let here = Daemon::start(
        directory,
        "near",
        &format!(
            "[uplinks.isp-a]\ninterface = \"a0\"\n[uplinks.isp-b]\ninterface = \"b0\"\n\
             [peers.far]\nkey = \"{far_key}\"\nlocators = [\"203.0.113.1:5443\"]\n"
        ),
        None,
    );
    (here, there)
}

fn is_up(lane: &Value) -> bool {
    lane["state"] == "up"
}

fn both_up(status: &Value) -> bool {
    let up = |from| lane_from(status, from).as_ref().is_some_and(is_up);
    up("192.0.2.5") && up("198.51.100.5")
}

/// Returns whether the lane from `address` is suspect, or already gone.
fn is_out(status: &Value, address: &str) -> bool {
    lane_from(status, address).is_none_or(|lane| lane["state"] == "suspect")
}

#[test]
fn a_lane_is_suspect_while_its_address_or_carrier_is_gone() {
    let name = "lanes::a_lane_is_suspect_while_its_address_or_carrier_is_gone";
    in_namespace(name, || {
        let far = two_providers();
        let directory = tempfile::tempdir().unwrap();
        let (near, _there) = daemons(directory.path(), &far);
        near.until(DIAL_TIMEOUT, "both lanes up", both_up);
        for lane in lanes(&near.status()) {
            let a = lane["uplink"] == "isp-a";
            assert_eq!(lane["interface"], if a { "a0" } else { "b0" }, "{lane}");
        }
        // Nothing is in flight: no acknowledgement is late, so only the kernel can tell.
        ip("addr del 192.0.2.5/24 dev a0");
        near.until(SOON, "address removed, lane suspect", |s| is_out(s, "192.0.2.5"));
        assert!(lane_from(&near.status(), "198.51.100.5").as_ref().is_some_and(is_up));
        ip("addr add 192.0.2.5/24 dev a0");
        ip("route replace default via 192.0.2.1 dev a0 metric 100");
        near.until(DIAL_TIMEOUT, "address back, lanes up", both_up);

        far.ip("link set b1 down");
        near.until(SOON, "carrier lost, lane suspect", |s| is_out(s, "198.51.100.5"));
        far.ip("link set b1 up");
        near.until(DIAL_TIMEOUT, "carrier back, lanes up", both_up);
    });
}

#[test]
fn the_acceptor_too_suspects_a_lane_whose_address_is_gone() {
    in_namespace("lanes::the_acceptor_too_suspects_a_lane_whose_address_is_gone", || {
        let far = two_providers();
        let directory = tempfile::tempdir().unwrap();
        let (near, there) = daemons(directory.path(), &far);
        near.until(DIAL_TIMEOUT, "both lanes up", both_up);
        let on_it = |s: &Value| -> Vec<Value> {
            let on = |lane: &&Value| lane["local"] == "203.0.113.1:5443";
            lanes(s).iter().filter(on).cloned().collect()
        };
        there.until(DIAL_TIMEOUT, "a lane accepted", |s| !on_it(s).is_empty());
        for lane in on_it(&there.status()) {
            assert_eq!(lane["interface"], "lo", "that is where the address is: {lane}");
        }
        far.ip("addr del 203.0.113.1/32 dev lo");
        there.until(SOON, "address removed, lanes on it suspect", |s| {
            on_it(s).iter().all(|lane| lane["state"] == "suspect")
        });
    });
}

#[test]
fn a_deprecated_address_keeps_its_lane_but_gets_no_new_one() {
    in_namespace("lanes::a_deprecated_address_keeps_its_lane_but_gets_no_new_one", || {
        let far = two_providers();
        let directory = tempfile::tempdir().unwrap();
        let (near, _there) = daemons(directory.path(), &far);
        near.until(DIAL_TIMEOUT, "both lanes up", both_up);
        ip("addr change 192.0.2.5/24 dev a0 preferred_lft 0");
        near.until(SOON, "address deprecated", |status| {
            status["uplinks"][0]["addresses"]
                .as_array()
                .is_some_and(|all| all.iter().all(|address| address != "192.0.2.5"))
        });
        let lane = lane_from(&near.status(), "192.0.2.5");
        assert!(lane.as_ref().is_none_or(|lane| lane["state"] != "suspect"), "{lane:?}");
    });
}

#[test]
fn a_new_address_is_dialed_from_at_once() {
    in_namespace("lanes::a_new_address_is_dialed_from_at_once", || {
        let far = two_providers();
        ip("addr del 198.51.100.5/24 dev b0");
        let directory = tempfile::tempdir().unwrap();
        // Without its address the second default route cannot be: it comes with it, below.
        ip("addr add 198.51.100.6/24 dev b0");
        let (near, _there) = daemons(directory.path(), &far);
        near.until(DIAL_TIMEOUT, "both lanes up", |s| {
            let up = |from| lane_from(s, from).as_ref().is_some_and(is_up);
            up("192.0.2.5") && up("198.51.100.6")
        });
        ip("addr del 198.51.100.6/24 dev b0");
        near.until(SOON, "one lane out", |s| is_out(s, "198.51.100.6"));
        ip("addr add 198.51.100.5/24 dev b0");
        ip("route replace default via 198.51.100.1 dev b0 metric 200");
        near.until(Duration::from_secs(1), "a lane from the new address", both_up);
    });
}

#[test]
fn an_interface_that_is_deleted_and_made_anew_has_its_lane_again_and_no_descriptor_is_left() {
    let name = "lanes::an_interface_that_is_deleted_and_made_anew_has_its_lane_again_and_no_descriptor_is_left";
    in_namespace(name, || {
        let far = two_providers();
        let directory = tempfile::tempdir().unwrap();
        let (near, _there) = daemons(directory.path(), &far);
        near.until(DIAL_TIMEOUT, "both lanes up", both_up);
        let before = near.descriptors();
        for _ in 0..5 {
            ip("link del a0");
            near.until(SOON, "link gone, lane out", |s| is_out(s, "192.0.2.5"));
            provider(&far, "a", "192.0.2", "2001:db8:a::");
            ip("route replace default via 192.0.2.1 dev a0 metric 100");
            near.until(DIAL_TIMEOUT, "link back, lanes up", both_up);
        }
        // Lanes that were replaced close their sockets a moment later.
        near.until(DIAL_TIMEOUT, "no descriptor more", |_| near.descriptors() <= before + 2);
    });
}
