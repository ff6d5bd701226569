//! A host that knows nothing of any of this, behind a router that intercepts: curl and a program in Python there.

use interop_tests::lab::daemons::{Daemons, Setup};
use interop_tests::lab::host::Host;
use interop_tests::lab::{Lab, Shape, Side};
use interop_tests::skip::skipped;
use interop_tests::support::Outcome;
use throughline::Mode;

use super::each_isp_dies;
use super::transfer::{Download, Origin};
use crate::in_the_lab;

/// Bytes that each program must have before, during and after each failure.
const STEP: u64 = 4 << 20;

/// A host of the server's site: an address that no ISP of the client's leads to, so that what gets there has gone
/// through the peer.
const DESTINATION: &str = "198.51.100.7";

const INTERCEPT: &str = "[ingress.lan]\nkind = 'intercept'\ninterfaces = 'lan0'\nvia = 'server'\n";

/// A program that has its connection from Python's library and from nowhere else.
const PYTHON: &str = "import sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as answer:
    while part := answer.read1(65536):
        sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()";

in_the_lab!(
    "programs::router",
    a_host_behind_an_intercepting_router_downloads_while_each_isp_dies,
    async {
        let programs = ["curl", "python3"];
        if skipped("a host behind a router", &programs, "curl python3") {
            return Ok(());
        }
        let lab = Lab::new(Shape::default())?;
        let lan = host_behind(&lab)?;
        lab.server.host.ip(&format!("addr add {DESTINATION}/32 dev lo"))?;
        let daemons = Daemons::start(&lab, Setup::of(Mode::Auto)).await?;
        let allowed = format!("'localhost:*', '{DESTINATION}:*'");
        daemons.reconfigure(Side::Server, |text| text.replace("'localhost:*'", &allowed))?;
        daemons.reconfigure(Side::Client, |text| text + INTERCEPT)?;
        let server = &lab.server.host;
        let (first, second) =
            (Origin::serve(server, DESTINATION).await?, Origin::serve(server, DESTINATION).await?);
        let arguments = ["--silent", "--show-error", "--fail", "--no-buffer", &first.url()];
        let curl = Download::start(&lan, "curl", &arguments)?;
        let python = Download::start(&lan, "python3", &["-c", PYTHON, &second.url()])?;
        let both = || curl.received().min(python.received());
        each_isp_dies(&lab, &daemons, both, STEP).await?;
        let received = [curl.received(), python.received()].map(|bytes| bytes >> 20);
        println!("    behind the router: {received:?} MiB by curl and by Python");
        let sent = (first.finish().await?, second.finish().await?);
        assert_eq!(curl.finish().await?, sent.0, "curl's download has wrong bytes");
        assert_eq!(python.finish().await?, sent.1, "Python's download has wrong bytes");
        Ok(())
    }
);

/// Returns a host whose router is the client's site.
fn host_behind(lab: &Lab) -> Outcome<Host> {
    let (lan, router) = (Host::new("lan")?, &lab.client.host);
    router.join("lan0", &lan, "lan1")?;
    router.ip("addr add 10.7.0.1/24 dev lan0\nlink set lan0 up")?;
    router.sysctl("net/ipv4/ip_forward", "1")?;
    lan.ip("addr add 10.7.0.2/24 dev lan1\nlink set lan1 up\nroute add default via 10.7.0.1")?;
    Ok(lan)
}
