//! Words of the shell, in commands that are run or shown to be pasted.

use std::path::Path;

/// Returns a word that the shell takes as it is.
pub(crate) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Returns a path as a word, in quotes only where it needs them.
pub(crate) fn path(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text } else { quoted(&text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stays_one_in_the_shell() {
        assert_eq!(quoted("10.0.0.0/8:*"), "'10.0.0.0/8:*'");
        assert_eq!(quoted("a'; rm b'"), "'a'\\''; rm b'\\'''");
    }

    #[test]
    fn a_path_has_quotes_where_it_needs_them() {
        assert_eq!(path(Path::new("/etc/throughline/t.toml")), "/etc/throughline/t.toml");
        assert_eq!(path(Path::new("my file")), "'my file'");
        assert_eq!(path(Path::new("~/f")), "'~/f'");
        assert_eq!(path(Path::new("")), "''");
    }
}
