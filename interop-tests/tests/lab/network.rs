//! The lab is what it claims.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use interop_tests::lab::flow::{Congestion, Flow, Kind, TcpRoute, Via};
use interop_tests::lab::plan::{Family, Prefix};
use interop_tests::lab::wan::{Oversize, Way};
use interop_tests::lab::{Lab, Shape};
use interop_tests::support::Outcome;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::in_the_lab;

const SECOND: Duration = Duration::from_secs(1);

/// Returns a UDP server at the server's site that says who asked.
async fn who_is_it(lab: &Lab, at: IpAddr) -> Outcome<SocketAddr> {
    let socket = lab.server.host.spawn(async move { UdpSocket::bind((at, 0)).await })?.await??;
    let addr = socket.local_addr()?;
    lab.server.host.spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((_, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(from.to_string().as_bytes(), from).await;
        }
    })?;
    Ok(addr)
}

/// Returns a socket of the client's site.
async fn socket(lab: &Lab, from: IpAddr, to: SocketAddr) -> Outcome<UdpSocket> {
    let made = lab.client.host.spawn(async move {
        let socket = UdpSocket::bind((from, 0)).await?;
        socket.connect(to).await?;
        std::io::Result::Ok(socket)
    })?;
    Ok(made.await??)
}

/// Whom the server sees, if it answers within half a second.
async fn ask(socket: &UdpSocket) -> Option<SocketAddr> {
    let mut buffer = [0; 64];
    socket.send(b"?").await.ok()?;
    let length = timeout(SECOND / 2, socket.recv(&mut buffer)).await.ok()?.ok()?;
    std::str::from_utf8(&buffer[..length]).ok()?.parse().ok()
}

in_the_lab!("network", every_address_reaches_every_other_by_its_own_isp, async {
    let lab = Lab::new(Shape { family: Family::Both, ..Shape::default() })?;
    for to in lab.server.uplinks.iter().flat_map(|uplink| uplink.addresses()) {
        let server = who_is_it(&lab, to).await?;
        for uplink in &lab.client.uplinks {
            for from in uplink.addresses().filter(|from| from.is_ipv4() == to.is_ipv4()) {
                let before = uplink.wire.stats().up.delivered.packets;
                let seen = ask(&socket(&lab, from, server).await?).await;
                assert_eq!(seen.map(|seen| seen.ip()), Some(from), "to {to}");
                assert!(uplink.wire.stats().up.delivered.packets > before, "{from} by another ISP");
            }
        }
    }
    Ok(())
});

in_the_lab!("network", an_isp_drops_what_comes_from_the_other_ones_address, async {
    let lab = Lab::new(Shape { family: Family::Both, ..Shape::default() })?;
    for (v6, to) in lab.server.uplinks[0].addresses().enumerate() {
        let server = who_is_it(&lab, to).await?;
        let from = lab.client.uplinks[0].prefixes[v6].host;
        let socket = socket(&lab, from, server).await?;
        assert!(ask(&socket).await.is_some());
        // The host's routing goes wrong: this address leaves by the other ISP.
        let rule = format!("rule add from {from} lookup 101 priority 50");
        lab.client.host.ip_of(from, &rule)?;
        assert_eq!(ask(&socket).await, None, "BCP 38 is not done");
    }
    Ok(())
});

in_the_lab!("network", a_wire_has_its_delay_and_a_blackhole_is_silent, async {
    let lab = Lab::new(Shape::default())?;
    let (from, to) =
        (lab.client.uplinks[0].prefixes[0].host, lab.server.uplinks[0].prefixes[0].host);
    let socket = socket(&lab, from, who_is_it(&lab, to).await?).await?;
    let mut best = SECOND;
    for _ in 0..20 {
        let sent = Instant::now();
        assert!(ask(&socket).await.is_some());
        best = best.min(sent.elapsed());
    }
    let rtt = lab.shape.rtt;
    assert!((rtt..rtt + Duration::from_millis(5)).contains(&best), "{best:?}");
    let wire = &lab.client.uplinks[0].wire;
    for way in [Way::Up, Way::Down, Way::Both] {
        wire.blackhole(way);
        assert_eq!(ask(&socket).await, None, "{way:?}");
        // An error would have been told by the next call.
        assert!(socket.take_error()?.is_none(), "{way:?} is not silent");
        wire.heal(way);
        assert!(ask(&socket).await.is_some(), "{way:?} does not heal");
    }
    Ok(())
});

in_the_lab!("network", plain_tcp_fills_a_wire_and_no_more, async {
    let rate = 50_000_000;
    let lab = Lab::new(Shape { rate, ..Shape::default() })?;
    let via = Via::Tcp(TcpRoute {
        from: None,
        to: lab.server.uplinks[0].prefixes[0].host,
        congestion: Congestion::Usual,
    });
    for kind in [Kind::Download, Kind::Upload] {
        let flow = Flow::start(&lab, &via, kind).await?;
        tokio::time::sleep(4 * SECOND).await;
        let now = Instant::now();
        let seen = flow.record.rate(now - 2 * SECOND, now).await;
        flow.finish(10 * SECOND).await?;
        let share = seen / rate as f64;
        println!("    {kind:?}: {:.1} Mbit/s", seen / 1e6);
        assert!((0.7..1.0).contains(&share), "{kind:?}: {share:.2} of the rate");
    }
    Ok(())
});

in_the_lab!("network", a_sender_is_told_that_its_packet_is_too_big, async {
    let lab = Lab::new(Shape { family: Family::Both, ..Shape::default() })?;
    lab.client.uplinks[0].wire.change(Way::Up, |profile| {
        profile.mtu = Some(1300);
        profile.oversize = Oversize::PacketTooBig;
    });
    for (v6, to) in lab.server.uplinks[0].addresses().enumerate() {
        let from = lab.client.uplinks[0].prefixes[v6].host;
        let socket = socket(&lab, from, who_is_it(&lab, to).await?).await?;
        socket.send(&[0; 1400]).await?;
        tokio::time::sleep(SECOND / 5).await;
        let mut get = Command::new("ip");
        get.args(["route", "get", &to.to_string(), "from", &from.to_string()]);
        let route = lab.client.host.output(get)?;
        assert!(route.contains("mtu 1300"), "{route}");
    }
    Ok(())
});

in_the_lab!("network", a_nat_shows_its_own_address_and_another_port_after_it_forgot, async {
    let lab = Lab::new(Shape { nat: true, ..Shape::default() })?;
    let (from, to) =
        (lab.client.uplinks[0].prefixes[0].host, lab.server.uplinks[0].prefixes[0].host);
    assert_eq!(from, IpAddr::from(Ipv4Addr::new(10, 10, 0, 10)));
    let socket = socket(&lab, from, who_is_it(&lab, to).await?).await?;
    let first = ask(&socket).await.ok_or("no answer")?;
    assert_eq!(first.ip(), Prefix::of_isp(0)[0].gateway);
    assert_eq!(ask(&socket).await, Some(first), "a translation does not last");
    lab.isp(&lab.client.uplinks[0])?.rebind_nat()?;
    let second = ask(&socket).await.ok_or("no answer")?;
    assert_ne!(first, second);
    Ok(())
});
