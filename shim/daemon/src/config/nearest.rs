//! The name that was probably meant.

/// The one of `known` that is nearest to `written`, if any is near enough to be what was meant.
pub(super) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A third of the letters may be wrong; of a short name, two.
    let most = (written.chars().count() / 3).max(2);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, name)| *distance <= most && *distance < name.chars().count())
        .min()
        .map(|(_, name)| name)
}

/// `; did you mean X?` where something is near, else the known names.
pub(super) fn hint<'a>(written: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(name) = nearest(written, known.clone()) {
        return format!("; did you mean `{name}`?");
    }
    let known: Vec<_> = known.into_iter().map(|name| format!("`{name}`")).collect();
    match known.len() {
        0 => ", and there are none.".to_owned(),
        1 => format!("; there is only {}.", known[0]),
        _ => format!("; there are {}.", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_finds_the_name_and_another_word_finds_none() {
        let known = ["locators", "key", "allow"];
        assert_eq!(nearest("locater", known), Some("locators"));
        assert_eq!(nearest("kye", known), Some("key"));
        assert_eq!(nearest("allwo", known), Some("allow"));
        assert_eq!(nearest("password", known), None);
        assert_eq!(nearest("x", ["ab", "x1"]), Some("x1"));
    }
}
