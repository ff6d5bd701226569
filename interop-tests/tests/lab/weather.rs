//! Links as they are in the field: what the lab is asked for it must be, and flows must live on it.

use std::time::Duration;

use interop_tests::lab::Shape;
use interop_tests::lab::access::{Access, Usual};
use interop_tests::lab::compete::{Competition, Rival};
use interop_tests::lab::flow::{Congestion, Kind};
use interop_tests::lab::system::System;
use interop_tests::lab::trial::{Trial, Tried, mean};
use interop_tests::support::Outcome;
use throughline::Mode;

use crate::in_the_lab;

/// Long enough for a few pauses, and short enough for a test.
const LENGTH: Duration = Duration::from_secs(6);

/// Runs flows over the client's ISPs, described in words.
fn trial(links: &[&str], system: System, flows: &[Kind]) -> Outcome<Trial> {
    let parse =
        |(number, description): (u8, &&str)| Access::parse(description, number, &Usual::default());
    let access: Vec<_> = (0..).zip(links).map(parse).collect::<Result<_, _>>()?;
    let isps = access.len() as u8;
    let shape = Shape { access, client_isps: isps, server_isps: isps, ..Shape::default() };
    Ok(Trial { warm_up: Duration::from_secs(2), ..Trial::new(shape, system, flows, LENGTH) })
}

fn show(what: &str, tried: &Tried) {
    println!("    {what}: {:?} {:?} {:?}", tried.flows, tried.rivals, tried.activity);
}

in_the_lab!("weather", flows_live_on_two_links_with_the_weather_of_lte, async {
    let links = ["lte:8/6 rtt=40ms queue=300kB", "lte:6/4 rtt=40ms queue=300kB"];
    let system = System::Throughline(Mode::Auto);
    let tried = trial(&links, system, &[Kind::Echo, Kind::Download])?.run().await?;
    show("lte", &tried);
    assert_eq!(tried.wrong(), None);
    let mbits = tried.mbits().ok_or("a download has a rate")?;
    // What both links have on average is 13; a busy machine gets less of it.
    assert!((0.5..20.0).contains(&mbits), "{mbits}");
    let [p50, p99] = tried.trips().ok_or("an echo has round trips")?;
    assert!(p50 >= Duration::from_millis(40) && p99 < Duration::from_secs(5), "{p50:?} {p99:?}");
    assert!(tried.activity.is_some(), "the daemons were asked");
    Ok(())
});

in_the_lab!("weather", a_download_and_somebody_elses_share_an_isp, async {
    let system = System::Throughline(Mode::Auto);
    let alone = trial(&["20 queue=100ms"], system, &[Kind::Download])?;
    let rivals = vec![Rival::Tcp(Congestion::Cubic)];
    let competition = Competition { rivals, first: true };
    let tried = Trial { competition, ..alone }.run().await?;
    show("beside CUBIC", &tried);
    assert_eq!(tried.wrong(), None);
    let ours = tried.mbits().ok_or("a download has a rate")?;
    let theirs = mean(&tried.rivals[0].1);
    assert!(ours > 0.2 && theirs > 0.2, "nobody starves: {ours}, {theirs}");
    // Both go through the one ISP, and it is well used.
    assert!((10.0..21.0).contains(&(ours + theirs)), "{ours} + {theirs} of 20");
    Ok(())
});

in_the_lab!("weather", each_direction_has_its_rate_and_udp_does_not_listen, async {
    let tcp = System::Tcp(Congestion::Usual);
    let down = trial(&["20/1 queue=100ms"], tcp, &[Kind::Download])?.run().await?;
    show("down", &down);
    let mbits = down.mbits().ok_or("a download has a rate")?;
    assert!((8.0..20.5).contains(&mbits), "{mbits} of 20");
    let alone = trial(&["20/1 queue=100ms"], tcp, &[Kind::Upload])?;
    let competition = Competition { rivals: vec![Rival::Udp(500_000)], first: false };
    let up = Trial { competition, ..alone }.run().await?;
    show("up", &up);
    let (ours, theirs) = (up.mbits().ok_or("an upload has a rate")?, mean(&up.rivals[0].1));
    assert!((0.1..0.8).contains(&ours) && (0.3..0.6).contains(&theirs), "{ours}, {theirs} of 1");
    Ok(())
});
