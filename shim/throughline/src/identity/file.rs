//! The identity's file: PEM around PKCS#8, for its owner's eyes only.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use data_encoding::BASE64;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;

use super::error::IdentityError;

/// Far more than a key in PEM form needs (119 bytes), with room for comments; a wrong path (a log,
/// a device) is not read to its end.
const MAX_FILE: u64 = 16 << 10;

/// Permission bits of group and others; none may be set.
const OTHERS: u32 = 0o077;

/// Reads the file after checking, on the opened file itself, that only its owner can.
pub(super) fn read_private(path: &Path) -> Result<Vec<u8>, IdentityError> {
    let owned = || path.to_owned();
    let file = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => IdentityError::Missing { path: owned() },
        _ => IdentityError::Read { path: owned(), source },
    })?;
    let metadata =
        file.metadata().map_err(|source| IdentityError::Read { path: owned(), source })?;
    if !metadata.is_file() {
        return Err(IdentityError::NotAKey { path: owned(), reason: "not a regular file".into() });
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & OTHERS != 0 {
            return Err(IdentityError::Exposed { path: owned(), mode });
        }
    }
    let mut text = Vec::new();
    file.take(MAX_FILE)
        .read_to_end(&mut text)
        .map_err(|source| IdentityError::Read { path: owned(), source })?;
    Ok(text)
}

/// Creates the file, which must not exist, with mode 0600 from its first moment.
pub(super) fn write_private(path: &Path, text: &[u8]) -> Result<(), IdentityError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => IdentityError::Exists { path: path.to_owned() },
        io::ErrorKind::NotFound => {
            IdentityError::NoDirectory { path: path.parent().unwrap_or(path).to_owned() }
        }
        _ => IdentityError::Write { path: path.to_owned(), source },
    })?;
    file.write_all(text).and_then(|()| file.sync_all()).map_err(|source| {
        // Half a key is of no use, and would stand in the way of the next attempt.
        let _ = std::fs::remove_file(path);
        IdentityError::Write { path: path.to_owned(), source }
    })
}

/// PEM (RFC 7468 §10). The 48 bytes of an Ed25519 key make exactly one line of 64 characters.
pub(super) fn encode_pem(key: &PrivatePkcs8KeyDer<'_>) -> String {
    let body = BASE64.encode(key.secret_pkcs8_der());
    let mut text = String::from("-----BEGIN PRIVATE KEY-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().map(|&byte| char::from(byte)));
        text.push('\n');
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    text
}

/// The first private key in `text`.
pub(super) fn decode_pem(text: &[u8]) -> Result<PrivatePkcs8KeyDer<'static>, String> {
    PrivatePkcs8KeyDer::from_pem_slice(text).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => {
            "no `-----BEGIN PRIVATE KEY-----` section in it".to_owned()
        }
        other => other.to_string(),
    })
}
