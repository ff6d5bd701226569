//! Suggests the known name nearest to an unknown one.

/// Returns the name in `known` nearest to `written`, if one is near enough to be a typing error.
pub(super) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A third of the letters may differ; in a short name, two.
    let max_distance = (written.chars().count() / 3).max(2);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, name)| *distance <= max_distance && *distance < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

/// Returns `; did you mean X?` if a name is near, else the known names; ends the sentence.
pub(super) fn suggestion<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    if let Some(name) = nearest(written, known.clone()) {
        return format!("; did you mean `{name}`?");
    }
    let known: Vec<_> = known.into_iter().map(|name| format!("`{name}`")).collect();
    match known.len() {
        0 => "; none is configured.".to_owned(),
        1 => format!("; the only one is {}.", known[0]),
        _ => format!("; there are {}.", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_the_name_and_another_word_finds_none() {
        let known = ["locators", "key", "allow"];
        assert_eq!(nearest("locater", known), Some("locators"));
        assert_eq!(nearest("kye", known), Some("key"));
        assert_eq!(nearest("allwo", known), Some("allow"));
        assert_eq!(nearest("password", known), None);
        assert_eq!(nearest("x", ["ab", "x1"]), Some("x1"));
    }
}
