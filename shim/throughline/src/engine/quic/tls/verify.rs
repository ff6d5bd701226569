//! The two verifiers: one key exactly, or any of a set.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, PeerIncompatible, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::oid_registry::OID_SIG_ED25519;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::peer_set::PeerSet;
use super::refusal::KeyRefused;
use throughline_proto::types::PeerId;

/// Accepts one key: the dialing end's verifier.
#[derive(Debug)]
pub(super) struct Exactly(pub(super) PeerId);

/// Accepts the keys in a set: the accepting end's verifier.
#[derive(Debug)]
pub(super) struct AnyOf(pub(super) Arc<PeerSet>);

/// Returns the Ed25519 key (RFC 8410 §4) in a certificate.
pub(super) fn key_of(certificate: &CertificateDer<'_>) -> Result<PeerId, KeyRefused> {
    let (rest, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| KeyRefused::NotEd25519(format!("not X.509 ({error})")))?;
    if !rest.is_empty() {
        return Err(KeyRefused::NotEd25519("bytes follow the certificate".into()));
    }
    let info = parsed.public_key();
    if info.algorithm.algorithm != OID_SIG_ED25519 {
        return Err(KeyRefused::NotEd25519(format!(
            "its algorithm is {}",
            info.algorithm.algorithm
        )));
    }
    let key = <[u8; 32]>::try_from(info.subject_public_key.data.as_ref())
        .map_err(|_| KeyRefused::NotEd25519("the key is not 32 bytes long".into()))?;
    Ok(PeerId::from_bytes(key))
}

/// Verifies that the other end holds the private half. The scheme follows from the key's type, so no
/// other one is offered.
fn verify_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let algorithms: WebPkiSupportedAlgorithms =
        aws_lc_rs::default_provider().signature_verification_algorithms;
    if signed.scheme != SignatureScheme::ED25519 {
        return Err(PeerIncompatible::NoSignatureSchemesInCommon.into());
    }
    verify_tls13_signature(message, certificate, signed, &algorithms)
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let presented = key_of(end_entity)?;
        if presented != self.0 {
            return Err(KeyRefused::Unexpected { presented, expected: self.0 }.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for AnyOf {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let presented = key_of(end_entity)?;
        if !self.0.contains(presented) {
            return Err(KeyRefused::Unknown { presented }.into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
