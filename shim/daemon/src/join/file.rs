//! Changes to a configuration file that somebody may have written by hand: what is not changed stays as it is, with
//! its comments.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use thiserror::Error;
use toml_edit::{Array, DocumentMut, Item, Table, value};

use throughline::PeerId;

/// What stands above a peer that is only invited.
const MARK: &str = "# an invitation; `throughline invite` replaces it";

/// Why a configuration cannot be changed.
#[derive(Debug, Error)]
pub(crate) enum EditError {
    #[error(
        "there is a peer `{0}` already; write another name with --name, or remove that section"
    )]
    NameTaken(String),
    #[error("`peers` is no section there; write each peer as [peers.NAME]")]
    NotATable,
    #[error("it is not valid TOML: {0}")]
    Invalid(#[from] toml_edit::TomlError),
}

/// Returns the text with a peer that is only invited: it may reach nothing but the meeting.
pub(crate) fn invite(
    text: &str,
    name: &str,
    key: &PeerId,
    meeting: &str,
) -> Result<String, EditError> {
    let mut document: DocumentMut = text.parse()?;
    let peers = peers(&mut document)?;
    if peers.get(name).is_some_and(|peer| !is_invitation(peer)) {
        return Err(EditError::NameTaken(name.to_owned()));
    }
    let mut peer = section(key, &[meeting.to_owned()]);
    peer.decor_mut().set_prefix(format!("\n{MARK}\n"));
    peers.insert(name, Item::Table(peer));
    Ok(document.to_string())
}

/// Returns the text with a peer that has joined, in the place of the invitation. With the one-time key as its other
/// one, what it began by that goes on.
pub(crate) fn admit(
    text: &str,
    name: &str,
    key: &PeerId,
    once: Option<&PeerId>,
    allow: &[String],
) -> Result<String, EditError> {
    let mut document: DocumentMut = text.parse()?;
    let peers = peers(&mut document)?;
    let mut peer = section(key, allow);
    if let Some(once) = once {
        peer.insert("keys", value(Array::from_iter([once.to_string()])));
    }
    peer.decor_mut().set_prefix("\n");
    peers.insert(name, Item::Table(peer));
    Ok(document.to_string())
}

/// Returns the text without the invitation, where it is still there.
pub(crate) fn withdraw(text: &str, name: &str) -> Result<String, EditError> {
    let mut document: DocumentMut = text.parse()?;
    let peers = peers(&mut document)?;
    if peers.get(name).is_some_and(is_invitation) {
        peers.remove(name);
    }
    Ok(document.to_string())
}

/// Returns the section of a peer as it stands in a file, to be shown.
pub(crate) fn shown(name: &str, key: &PeerId, allow: &[String]) -> String {
    let mut document = DocumentMut::new();
    if let Ok(peers) = peers(&mut document) {
        peers.insert(name, Item::Table(section(key, allow)));
    }
    document.to_string()
}

fn peers(document: &mut DocumentMut) -> Result<&mut Table, EditError> {
    let peers = document.entry("peers").or_insert_with(|| {
        let mut peers = Table::new();
        peers.set_implicit(true);
        Item::Table(peers)
    });
    peers.as_table_mut().ok_or(EditError::NotATable)
}

fn section(key: &PeerId, allow: &[String]) -> Table {
    let mut peer = Table::new();
    peer.insert("key", value(key.to_string()));
    peer.insert("allow", value(allow.iter().collect::<Array>()));
    if allow.is_empty()
        && let Some(allow) = peer.get_mut("allow").and_then(Item::as_value_mut)
    {
        allow.decor_mut().set_suffix("  # like [\"localhost:22\"]: what it may reach through us");
    }
    peer
}

fn is_invitation(peer: &Item) -> bool {
    let prefix = peer.as_table().and_then(|table| table.decor().prefix()?.as_str());
    prefix.is_some_and(|prefix| prefix.contains(MARK))
}

/// Puts a text in the place of a file's, which at no moment is half of each; owner and mode stay.
pub(crate) fn replace(file: &Path, text: &str) -> io::Result<()> {
    // What a link leads to, and not the link.
    let file = fs::canonicalize(file)?;
    let present = fs::metadata(&file)?;
    let directory = file.parent().unwrap_or(Path::new("/"));
    let mut next = tempfile::NamedTempFile::new_in(directory)?;
    next.write_all(text.as_bytes())?;
    next.as_file().sync_all()?;
    // The mode last: nobody but the owner reads it before it has its group.
    chown(next.path(), Some(present.uid()), Some(present.gid()))?;
    fs::set_permissions(next.path(), present.permissions())?;
    next.persist(&file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use throughline::Identity;

    const TEXT: &str = "identity = \"k\"  # mine\n\n# Berlin\n[peers.berlin]\nkey = \"x\" # theirs\n\n[ingress.a]\nkind = \"socks5\"\n";

    #[test]
    fn what_is_not_changed_stays_as_it_is_and_a_withdrawn_invitation_leaves_nothing() {
        let [once, own] = [(); 2].map(|()| Identity::generate().peer_id());
        for text in [TEXT, "identity = \"k\"\n", ""] {
            let invited = invite(text, "site", &once, "127.0.0.1:4000").unwrap();
            assert!(text.lines().all(|line| invited.lines().any(|other| other == line)));
            assert!(invited.contains(&format!("key = \"{once}\"")), "{invited}");
            assert!(invited.contains("allow = [\"127.0.0.1:4000\"]"), "{invited}");
            // One that was left is replaced.
            let again = invite(&invited, "site", &own, "127.0.0.1:4001").unwrap();
            assert!(
                !again.contains(&once.to_string()) && again.matches("[peers.site]").count() == 1
            );
            assert_eq!(withdraw(&invited, "site").unwrap(), text);
            let joined = admit(&invited, "site", &own, None, &["localhost:22".to_owned()]).unwrap();
            assert!(joined.contains(&own.to_string()) && !joined.contains(&once.to_string()));
            assert!(!joined.contains(MARK) && joined.contains("allow = [\"localhost:22\"]"));
            // Nobody takes that one away, nor its name.
            assert_eq!(withdraw(&joined, "site").unwrap(), joined);
            assert!(matches!(invite(&joined, "site", &once, "x"), Err(EditError::NameTaken(_))));
        }
        assert!(matches!(invite(TEXT, "berlin", &once, "x"), Err(EditError::NameTaken(_))));
        assert!(matches!(invite("peers = 1", "a", &once, "x"), Err(EditError::NotATable)));
    }

    #[test]
    fn a_file_keeps_its_mode_and_a_link_stays_one() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "a").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, "b").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "b");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }
}
