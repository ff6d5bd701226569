//! A plain quinn connection with quinn's own settings: what Throughline cannot be faster than by much.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use interop_tests::support::Outcome;

/// Returns the bytes a second of one endless stream on loopback. With `mtu` packets may have so many bytes
/// of UDP payload; quinn's own limit is 1452.
pub(crate) async fn rate(span: Duration, mtu: Option<u16>) -> Outcome<f64> {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".into()])?;
    let der = rustls_pki_types::PrivatePkcs8KeyDer::from(key.signing_key.serialize_der());
    let mut server =
        quinn::ServerConfig::with_single_cert(vec![key.cert.der().clone()], der.into())?;
    server.transport_config(transport(mtu));
    let server = endpoint(Some(server), mtu)?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(key.cert.der().clone())?;
    let client = endpoint(None, mtu)?;
    let mut config = quinn::ClientConfig::with_root_certificates(Arc::new(roots))?;
    config.transport_config(transport(mtu));
    let connecting = client.connect_with(config, server.local_addr()?, "localhost")?;
    let sender = tokio::spawn(async move {
        let connection = server.accept().await.ok_or("no connection")?.await?;
        let mut stream = connection.open_uni().await?;
        let chunk = Bytes::from(vec![7; 64 << 10]);
        while stream.write_chunk(chunk.clone()).await.is_ok() {}
        Outcome::Ok(())
    });
    let connection = connecting.await?;
    let mut stream = connection.accept_uni().await?;
    let mut chunks = vec![Bytes::new(); 32];
    let (mut got, mut since) = (0, Instant::now());
    let end = since + WARM_UP + span;
    let mut warm = false;
    while Instant::now() < end {
        let Some(count) = stream.read_chunks(&mut chunks).await? else { break };
        got += chunks[..count].iter().map(|chunk| chunk.len() as u64).sum::<u64>();
        if !warm && since.elapsed() >= WARM_UP {
            (got, since, warm) = (0, Instant::now(), true);
        }
    }
    let rate = got as f64 / since.elapsed().as_secs_f64();
    connection.close(0u8.into(), b"");
    sender.await??;
    Ok(rate)
}

/// The window and the packets have grown by then.
pub(crate) const WARM_UP: Duration = Duration::from_secs(1);

fn transport(mtu: Option<u16>) -> Arc<quinn::TransportConfig> {
    let mut config = quinn::TransportConfig::default();
    if let Some(mtu) = mtu {
        let mut discovery = quinn::MtuDiscoveryConfig::default();
        discovery.upper_bound(mtu);
        config.mtu_discovery_config(Some(discovery));
    }
    Arc::new(config)
}

fn endpoint(server: Option<quinn::ServerConfig>, mtu: Option<u16>) -> Outcome<quinn::Endpoint> {
    let mut config = quinn::EndpointConfig::default();
    if let Some(mtu) = mtu {
        config.max_udp_payload_size(mtu)?;
    }
    let socket = std::net::UdpSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    Ok(quinn::Endpoint::new(config, server, socket, Arc::new(quinn::TokioRuntime))?)
}
