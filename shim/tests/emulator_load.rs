//! The emulated internet under a saturating quinn connection: what it passes, and what it costs.
#![cfg(all(feature = "daemon", target_os = "linux"))]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quinn::{ClientConfig, Endpoint, ServerConfig, TransportConfig};
use throughline::daemon::emulator::{Emulator, Profile};

const RATE: u64 = 200_000_000;
const WARM_UP: Duration = Duration::from_secs(2);
const MEASURED: Duration = Duration::from_secs(4);

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    transport.send_window(16 << 20).receive_window((16u32 << 20).into());
    transport.stream_receive_window((16u32 << 20).into());
    Arc::new(transport)
}

fn endpoints() -> (Endpoint, Endpoint) {
    let certified = rcgen::generate_simple_self_signed(["server".into()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der());
    let certificate = certified.cert.der().clone();
    let mut server =
        ServerConfig::with_single_cert(vec![certificate.clone()], key.unwrap()).unwrap();
    server.transport_config(transport());
    let server = Endpoint::server(server, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut config = ClientConfig::with_root_certificates(Arc::new(roots)).unwrap();
    config.transport_config(transport());
    let mut client = Endpoint::client(SocketAddr::from(([127, 0, 11, 1], 0))).unwrap();
    client.set_default_client_config(config);
    (server, client)
}

/// CPU time of the thread named `emulator`, from proc(5): clock ticks of 10 ms.
fn emulator_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let stats = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")));
    let stat = stats.flatten().find(|stat| stat.contains("(emulator)")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures for six seconds and wants both cores: cargo test --release -- --ignored"]
async fn a_saturated_isp_passes_nine_tenths_of_its_rate_each_way_at_a_modest_cost() {
    let (server, client) = endpoints();
    let emulator = Emulator::builder()
        .isp("isp-a", Profile::new(RATE, Duration::from_millis(10)))
        .client("isp-a", [127, 0, 11, 1], [127, 0, 21, 1])
        .start()
        .unwrap();
    let locator = emulator
        .udp_locator(([127, 0, 31, 1], 0).into(), server.local_addr().unwrap(), None)
        .unwrap();
    let accepted =
        tokio::spawn(async move { server.accept().await.unwrap().await.map(|c| (c, server)) });
    let near = client.connect(locator, "server").unwrap().await.unwrap();
    let (far, _server) = accepted.await.unwrap().unwrap();
    for connection in [near.clone(), far.clone()] {
        let sender = connection.clone();
        tokio::spawn(async move {
            let mut stream = sender.open_uni().await.unwrap();
            while stream.write_all(&[7; 65536]).await.is_ok() {}
        });
        tokio::spawn(async move {
            let mut stream = connection.accept_uni().await.unwrap();
            while let Ok(Some(_)) = stream.read_chunk(usize::MAX, true).await {}
        });
    }
    tokio::time::sleep(WARM_UP).await;
    let (begin, cpu, before) = (Instant::now(), emulator_cpu(), emulator.isp("isp-a").stats());
    tokio::time::sleep(MEASURED).await;
    let (after, seconds) = (emulator.isp("isp-a").stats(), begin.elapsed().as_secs_f64());
    let cpu = (emulator_cpu() - cpu).as_secs_f64() / seconds;
    let up = (after.up.passed.bytes - before.up.passed.bytes) as f64 * 8.0 / seconds;
    let down = (after.down.passed.bytes - before.down.passed.bytes) as f64 * 8.0 / seconds;
    println!(
        "up {:.1}, down {:.1} Mbit/s; emulator's CPU {:.1} % of a core; {after:?}",
        up / 1e6,
        down / 1e6,
        cpu * 100.0
    );
    assert!(up > 0.9 * RATE as f64 && down > 0.9 * RATE as f64);
    assert!(cpu < 0.3, "{:.0} % of a core", cpu * 100.0);
}

#[test]
#[ignore = "measures for three seconds: cargo test --release -- --ignored --test-threads=1"]
fn an_idle_emulator_costs_next_to_nothing() {
    let emulator = Emulator::builder()
        .isp("isp-a", Profile::new(RATE, Duration::from_millis(10)))
        .start()
        .unwrap();
    for _ in 0..2 {
        let server = ([127, 0, 0, 1], 9).into();
        emulator.udp_locator(([127, 0, 31, 1], 0).into(), server, None).unwrap();
    }
    // The thread names itself once it runs.
    std::thread::sleep(Duration::from_millis(300));
    let cpu = emulator_cpu();
    std::thread::sleep(Duration::from_secs(3));
    let cpu = (emulator_cpu() - cpu).as_secs_f64() / 3.0;
    println!("idle: {:.1} % of a core", cpu * 100.0);
    assert!(cpu < 0.1, "{:.1} % of a core", cpu * 100.0);
}
