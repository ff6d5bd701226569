//! A tree of many files, and what identifies it.

use std::path::Path;

use interop_tests::support::Outcome;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use sha2::{Digest, Sha256};

use crate::origin;

/// Makes a tree of `files` files of 0 to 128 KiB, some 64 KiB each, in directories of 20, with a
/// symbolic link in each. The bytes cannot be compressed.
pub(crate) fn make(root: &Path, files: u64, seed: u64) -> Outcome {
    let mut rng = SmallRng::seed_from_u64(seed);
    for number in 0..files {
        let directory = root.join(format!("part {}/deep", number / 20));
        if number % 20 == 0 {
            std::fs::create_dir_all(&directory)?;
            std::os::unix::fs::symlink("deep", directory.with_file_name("link"))?;
        }
        let mut bytes = vec![0; rng.random_range(0..128 << 10)];
        rng.fill_bytes(&mut bytes);
        std::fs::write(directory.join(format!("file-{number}")), bytes)?;
    }
    Ok(())
}

/// Returns the SHA-256 of all names, kinds and contents below `root`, but for what `git` keeps.
pub(crate) fn digest(root: &Path) -> Outcome<String> {
    let mut hash = Sha256::new();
    walk(root, &mut hash)?;
    Ok(origin::hex(hash))
}

fn walk(directory: &Path, hash: &mut Sha256) -> Outcome {
    let mut entries = std::fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries.into_iter().filter(|entry| entry.file_name() != ".git") {
        let (path, kind) = (entry.path(), entry.file_type()?);
        hash.update(format!("{:?} {kind:?}\n", entry.file_name()));
        if kind.is_dir() {
            walk(&path, hash)?;
            hash.update("up\n");
        } else if kind.is_symlink() {
            hash.update(format!("{:?}\n", std::fs::read_link(&path)?));
        } else {
            hash.update(Sha256::digest(std::fs::read(&path)?));
        }
    }
    Ok(())
}
