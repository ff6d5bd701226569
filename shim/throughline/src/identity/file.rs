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

/// Permission bits that nobody but the owner may ever have: those of others, and to change the file.
const FORBIDDEN: u32 = 0o037;

/// The permission bit by which the file's group reads it.
const GROUP_READ: u32 = 0o040;

/// Where systemd puts the credentials of services, which only it can.
const CREDENTIALS: &str = "/run/credentials";

/// Reads the file after checking, on the opened file itself, that only its owner can, or whom root lets.
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
        use std::os::unix::fs::MetadataExt;
        let mode = metadata.mode() & 0o7777;
        if is_exposed(mode, metadata.uid(), metadata.gid(), is_credential(path)) {
            return Err(IdentityError::Exposed { path: owned(), mode });
        }
    }
    let mut text = Vec::new();
    file.take(MAX_FILE)
        .read_to_end(&mut text)
        .map_err(|source| IdentityError::Read { path: owned(), source })?;
    Ok(text)
}

/// Returns whether a file of this mode, owner and group is open to users who are not meant to read it.
///
/// A group may read what root owns: root gave it to the daemon's group, as `root:throughline 0640`, and the
/// daemon itself cannot change it. A user's own key in a group is more likely an oversight, and so is root's
/// in root's own group. Of a credential the bits of the group are the mask of an access list, with nobody in
/// it but the service's user (acl(5)).
#[cfg(unix)]
fn is_exposed(mode: u32, uid: u32, gid: u32, credential: bool) -> bool {
    let given_by_root = uid == 0 && (gid != 0 || credential);
    mode & FORBIDDEN != 0 || (mode & GROUP_READ != 0 && !given_by_root)
}

/// Returns whether the file is one that systemd hands to a service (`LoadCredential=`).
#[cfg(unix)]
fn is_credential(path: &Path) -> bool {
    let own = std::env::var_os("CREDENTIALS_DIRECTORY").filter(|directory| !directory.is_empty());
    path.starts_with(CREDENTIALS) || own.is_some_and(|own| path.starts_with(own))
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

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_owners_or_of_those_to_whom_root_gives_it() {
        const USER: u32 = 1000;
        for (mode, uid, gid, credential, exposed) in [
            (0o600, USER, USER, false, false),
            (0o400, 0, 0, false, false),
            // root:throughline
            (0o640, 0, 990, false, false),
            (0o440, 0, 990, false, false),
            // A user's own, or root's in root's own group: nobody has to read it there.
            (0o640, USER, USER, false, true),
            (0o640, USER, 990, false, true),
            (0o640, 0, 0, false, true),
            // systemd's, with an access list, or the service's user's.
            (0o440, 0, 0, true, false),
            (0o400, USER, USER, true, false),
            (0o440, USER, USER, true, true),
            // Whoever else can change it, or read it.
            (0o660, 0, 990, false, true),
            (0o644, 0, 990, false, true),
            (0o604, 0, 0, true, true),
            (0o460, 0, 0, true, true),
        ] {
            let of = format!("{mode:04o} of {uid}:{gid}, credential: {credential}");
            assert_eq!(is_exposed(mode, uid, gid, credential), exposed, "{of}");
        }
        assert!(is_credential(Path::new("/run/credentials/throughline.service/identity.key")));
        assert!(!is_credential(Path::new("/run/credentials-of-mine/identity.key")));
    }
}
