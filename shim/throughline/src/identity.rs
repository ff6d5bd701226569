//! This host's identity: an Ed25519 key (RFC 8032), kept in a file with mode 0600.
//!
//! The file holds PKCS#8 (RFC 8410) in PEM form, so that `openssl pkey -in FILE` reads it too.
//! Everything else a node must keep secret derives from the key: the stateless-reset key and the
//! address-validation token key are its HMACs under separate labels, so they survive a restart
//! without a file of their own. The key itself never leaves this module but as the TLS signing
//! key, and `Debug` prints the public half only.

mod error;
mod file;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use aws_lc_rs::{hkdf, hmac};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

pub use self::error::IdentityError;
use throughline_proto::types::PeerId;

/// An Ed25519 key pair; its public half is this host's [`PeerId`]. Clones share the key.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use throughline::{Identity, PeerId};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("key");
/// let identity = Identity::create(&path)?; // once; mode 0600
/// let same = Identity::load(&path)?;
/// assert_eq!(same.peer_id(), identity.peer_id());
///
/// let shown = identity.peer_id().to_string(); // for the peer's configuration
/// assert_eq!(shown.parse::<PeerId>()?, identity.peer_id());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    peer_id: PeerId,
    pkcs8: PrivatePkcs8KeyDer<'static>,
    certificate: CertificateDer<'static>,
    /// What the other secrets derive from: HMAC keyed with the private key.
    root: hmac::Key,
}

/// What precedes the private key in PKCS#8 of version 1 (RFC 8410, §7).
const PKCS8_BEFORE_SEED: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

impl Identity {
    /// Makes a new random identity, in memory only.
    ///
    /// # Panics
    /// If the system has no random numbers to give.
    #[must_use]
    pub fn generate() -> Self {
        let pair = Ed25519KeyPair::generate().expect("the system gives random numbers");
        let pkcs8 = pair.to_pkcs8v1().expect("a key pair serialises");
        Self::from_pkcs8(pkcs8.as_ref()).expect("a key that was just made is valid")
    }

    /// Returns the identity of a private key that is kept elsewhere: the 32 bytes of RFC 8032, §5.1.5, which nobody
    /// else may know and nobody can guess.
    ///
    /// # Panics
    /// Never: every 32 bytes are a private key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let pkcs8 = [&PKCS8_BEFORE_SEED[..], seed].concat();
        Self::from_pkcs8(&pkcs8).expect("every seed is a private key")
    }

    /// Reads the identity in the file `path`, which nobody but its owner may read, or a group to which root gave
    /// it.
    ///
    /// # Errors
    /// [`IdentityError`] names the file and what to do about it.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let path = path.as_ref();
        let text = file::read_private(path)?;
        let not_a_key = |reason: String| IdentityError::NotAKey { path: path.to_owned(), reason };
        let pkcs8 = file::decode_pem(&text).map_err(not_a_key)?;
        Self::from_pkcs8(pkcs8.secret_pkcs8_der()).map_err(not_a_key)
    }

    /// Writes a new identity to the file `path`, which must not exist yet; mode 0600.
    ///
    /// # Errors
    /// [`IdentityError`] names the file and what to do about it.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, IdentityError> {
        let identity = Self::generate();
        let text = file::encode_pem(&identity.0.pkcs8);
        file::write_private(path.as_ref(), text.as_bytes())?;
        Ok(identity)
    }

    /// Returns the public key.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.0.peer_id
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, String> {
        // Accepts version 1 (no public key inside, as `openssl genpkey` writes) and version 2.
        let pair =
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|error| error.to_string())?;
        let public: [u8; 32] =
            pair.public_key().as_ref().try_into().map_err(|_| "the public key is not 32 bytes")?;
        let seed = pair.seed().map_err(|_| "the private key cannot be extracted")?;
        let seed = aws_lc_rs::encoding::AsBigEndian::as_be_bytes(&seed)
            .map_err(|_| "the private key cannot be extracted")?;
        let pkcs8 = PrivatePkcs8KeyDer::from(der.to_vec());
        let certificate = self_signed(&pkcs8).map_err(|error| error.to_string())?;
        Ok(Self(Arc::new(Inner {
            peer_id: PeerId::from_bytes(public),
            pkcs8,
            certificate,
            root: hmac::Key::new(hmac::HMAC_SHA256, seed.as_ref()),
        })))
    }

    /// The self-signed X.509 certificate that carries the public key in TLS.
    pub(crate) fn certificate_chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.0.certificate.clone()]
    }

    /// The key that signs the TLS handshake.
    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.0.pkcs8.clone_key())
    }

    /// The key that stateless-reset tokens (RFC 9000 §10.3) of the endpoint named `endpoint`
    /// derive from. Endpoints never share one: an endpoint that answers for another's
    /// connection IDs would be an oracle for its tokens (§21.11).
    pub(crate) fn reset_key(&self, endpoint: &str) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.derive("throughline stateless reset", endpoint))
    }

    /// The key that the endpoint named `endpoint` marks its connection IDs with, so that after a
    /// restart it still knows them for its own and answers them with a stateless reset.
    pub(crate) fn connection_id_key(&self, endpoint: &str) -> u64 {
        let key = self.derive("throughline connection id", endpoint);
        u64::from_be_bytes(key[..8].try_into().expect("eight bytes are eight bytes"))
    }

    /// The key that Retry tokens (RFC 9000 §8.1.2) are sealed with.
    pub(crate) fn token_key(&self) -> hkdf::Prk {
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"throughline address validation")
            .extract(&self.derive("throughline address validation", ""))
    }

    /// A secret of its own for each (`label`, `context`); one-way, so none gives away another.
    fn derive(&self, label: &str, context: &str) -> [u8; 32] {
        let mut input = hmac::Context::with_key(&self.0.root);
        input.update(label.as_bytes());
        input.update(&[0]);
        input.update(context.as_bytes());
        input.sign().as_ref().try_into().expect("sha-256 gives 32 bytes")
    }
}

/// The name in the certificate. Nothing reads it: the key alone is the identity.
const CERTIFICATE_NAME: &str = "throughline";

fn self_signed(pkcs8: &PrivatePkcs8KeyDer<'_>) -> Result<CertificateDer<'static>, rcgen::Error> {
    let key = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(pkcs8, &rcgen::PKCS_ED25519)?;
    let mut params = rcgen::CertificateParams::new([CERTIFICATE_NAME.to_owned()])?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, CERTIFICATE_NAME);
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        rcgen::ExtendedKeyUsagePurpose::ServerAuth,
        rcgen::ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(params.self_signed(&key)?.der().clone())
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.0.peer_id).finish()
    }
}

#[cfg(test)]
mod tests;
