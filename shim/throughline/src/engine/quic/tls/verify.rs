//! The two verifiers: the keys of one peer, or those of all of them.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature_with_raw_key};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, PeerIncompatible, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::oid_registry::OID_SIG_ED25519;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::peer_set::PeerSet;
use super::refusal::KeyRefused;
use throughline_proto::types::PeerId;

/// Accepts the keys of one peer, the one that it is known by first: the dialing end's verifier.
#[derive(Debug)]
pub(super) struct OneOf(pub(super) Vec<PeerId>);

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

/// What precedes the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410 §4, in DER).
const SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Verifies that the other end holds the private half of [the key](key_of) that it was let in for. No
/// second parser looks for a key in the certificate, which might find another one. The scheme follows
/// from the key's type, so no other one is offered.
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
    let key = key_of(certificate)?;
    let spki = [&SPKI_PREFIX[..], key.as_bytes()].concat();
    verify_tls13_signature_with_raw_key(message, &spki.into(), signed, &algorithms)
}

impl ServerCertVerifier for OneOf {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let presented = key_of(end_entity)?;
        if !self.0.contains(&presented) {
            return Err(KeyRefused::Unexpected { presented, expected: self.0.clone() }.into());
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
