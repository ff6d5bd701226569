//! Turns the lower-case fragments of libraries into sentences for people.

/// Returns `fragment` as a sentence: it begins with a capital, unless with a path or a name, and ends
/// with a full stop, unless it is of several lines.
pub(crate) fn sentence(fragment: &str) -> String {
    let mut chars = fragment.chars();
    let is_word = fragment.split(' ').next().is_some_and(|word| {
        word.chars().all(|c| c.is_alphabetic() || [',', ':', ';', '\''].contains(&c))
    });
    let first = match chars.next() {
        Some(first) if is_word => first.to_uppercase().to_string(),
        first => first.map(String::from).unwrap_or_default(),
    };
    // What a file's error shows of the file is no sentence.
    let is_whole = fragment.ends_with(['.', '?', '!']) || fragment.contains('\n');
    let end = if is_whole { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_becomes_a_sentence_and_a_sentence_stays_as_it_is() {
        assert_eq!(sentence("no daemon answers"), "No daemon answers.");
        assert_eq!(sentence("Is it running?"), "Is it running?");
        assert_eq!(sentence("`x` is not a mode"), "`x` is not a mode.");
        assert_eq!(
            sentence("it goes on: t.toml:1:1: wrong.\n  | ^^"),
            "It goes on: t.toml:1:1: wrong.\n  | ^^"
        );
        assert_eq!(sentence("/run/t.sock is in use"), "/run/t.sock is in use.");
        assert_eq!(sentence("site/identity.key exists"), "site/identity.key exists.");
        assert_eq!(sentence("identity.key exists"), "identity.key exists.");
    }
}
