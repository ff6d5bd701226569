//! A QUIC client that uses the wire code and violates the protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use throughline::{LaneId, PeerId, SessionId};
use throughline_proto::wire::control::{Decoder, Message};
use throughline_proto::wire::hello::{Hello, Intent, SessionParams, Welcome};
use throughline_proto::wire::segment::SegmentHeader;
use throughline_proto::wire::{ALPN, VERSION};
use tokio::time::timeout;

/// Bounds every wait in these tests.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A key pair of the attacker.
pub(crate) struct Key(rcgen::KeyPair);

impl Key {
    pub(crate) fn new() -> Self {
        Self(rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap())
    }

    pub(crate) fn id(&self) -> PeerId {
        PeerId::from_bytes(self.0.public_key_raw().try_into().unwrap())
    }

    fn certificate(&self) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let params = rcgen::CertificateParams::new(["hostile".to_owned()]).unwrap();
        let certificate = params.self_signed(&self.0).unwrap();
        let private = PrivatePkcs8KeyDer::from(self.0.serialize_der());
        (certificate.der().clone(), PrivateKeyDer::Pkcs8(private))
    }
}

/// Accepts every certificate.
#[derive(Debug)]
struct TrustAll;

impl ServerCertVerifier for TrustAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        unreachable!("TLS 1.3 only")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// Dials `addr` with the key, or without a certificate; quinn's own settings otherwise.
pub(crate) async fn dial(
    addr: SocketAddr,
    key: Option<&Key>,
    alpn: &[u8],
) -> (Endpoint, Result<Connection, quinn::ConnectionError>) {
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let connecting = endpoint.connect_with(client_config(key, alpn), addr, "hostile").unwrap();
    let connection = timeout(TEST_TIMEOUT, connecting).await.expect("no answer at all");
    (endpoint, connection)
}

/// Returns quinn's own settings with the key, or without a certificate; any server is trusted.
pub(crate) fn client_config(key: Option<&Key>, alpn: &[u8]) -> quinn::ClientConfig {
    let config = rustls::ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAll));
    let mut config = match key {
        None => config.with_no_client_auth(),
        Some(key) => {
            let (certificate, private) = key.certificate();
            config.with_client_auth_cert(vec![certificate], private).unwrap()
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()))
}

/// Returns a listener with the key, which asks nobody who dials it for a certificate.
pub(crate) fn listen(key: &Key) -> Endpoint {
    let (certificate, private) = key.certificate();
    let mut config =
        rustls::ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], private)
            .unwrap();
    config.alpn_protocols = vec![ALPN.to_vec()];
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(config).unwrap();
    let config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap()
}

/// A lane of the attacker.
pub(crate) struct Hostile {
    pub(crate) connection: Connection,
    pub(crate) send: SendStream,
    recv: RecvStream,
    decoder: Decoder,
    /// The node's welcome, once it has admitted the lane.
    pub(crate) welcome: Option<Welcome>,
    /// Kept alive with the lane: quinn's endpoint closes with its last handle.
    _endpoint: Endpoint,
}

/// Returns a valid `Hello`, for tests to spoil.
pub(crate) fn hello() -> Hello {
    let params =
        SessionParams { linger: Duration::from_secs(60), initial_window: 1 << 18, max_flows: 100 };
    Hello {
        version: VERSION,
        session: SessionId(rand::random()),
        intent: Intent::Create,
        generation: 0,
        instance: 0x0123_4567_89ab_cdef,
        lane: LaneId(0),
        params,
    }
}

impl Hostile {
    /// Connects and opens a control stream, without sending anything.
    pub(crate) async fn connect(addr: SocketAddr, key: &Key) -> Self {
        Self::try_connect(addr, key).await.unwrap()
    }

    /// Connects as [`connect`](Self::connect) does, unless the node does not want it.
    pub(crate) async fn try_connect(addr: SocketAddr, key: &Key) -> Option<Self> {
        let (endpoint, connection) = dial(addr, Some(key), ALPN).await;
        let connection = connection.ok()?;
        let (send, recv) = connection.open_bi().await.ok()?;
        let decoder = Decoder::default();
        Some(Self { connection, send, recv, decoder, welcome: None, _endpoint: endpoint })
    }

    /// Sets up a lane that the node admits.
    pub(crate) async fn admitted(addr: SocketAddr, key: &Key) -> Self {
        let mut hostile = Self::connect(addr, key).await;
        hostile.send_message(&Message::Hello(hello())).await;
        match hostile.receive().await {
            Message::Welcome(welcome) => hostile.welcome = Some(welcome),
            other => panic!("{other:?}"),
        }
        hostile
    }

    /// Sends a message. The node may have closed the connection because of an earlier one.
    pub(crate) async fn send_message(&mut self, message: &Message) {
        let _ = self.send.write_all(&message.to_bytes()).await;
    }

    /// Returns the next message on the control stream.
    pub(crate) async fn receive(&mut self) -> Message {
        let message = timeout(TEST_TIMEOUT, self.try_receive()).await.expect("no message");
        message.expect("the control stream ended")
    }

    /// Returns the next message on the control stream, unless that ends.
    pub(crate) async fn try_receive(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.decoder.next_message().unwrap() {
                return Some(message);
            }
            self.decoder.push(&self.recv.read_chunk(4096, true).await.ok()??.bytes);
        }
    }

    /// Sends a segment and leaves its stream open.
    ///
    /// The node may close the connection because of it; [`closed`](Self::closed) returns why.
    pub(crate) async fn segment(&self, header: &SegmentHeader, data: &[u8]) -> Option<SendStream> {
        let mut stream = self.connection.open_uni().await.ok()?;
        stream.write_all(&[&header.to_bytes(), data].concat()).await.ok()?;
        Some(stream)
    }

    /// Waits until the node closes the connection; returns the code and the reason.
    pub(crate) async fn closed(&self) -> (u64, String) {
        match timeout(TEST_TIMEOUT, self.connection.closed()).await.expect("not closed") {
            quinn::ConnectionError::ApplicationClosed(close) => {
                (close.error_code.into_inner(), String::from_utf8_lossy(&close.reason).into_owned())
            }
            other => panic!("{other:?}"),
        }
    }
}
