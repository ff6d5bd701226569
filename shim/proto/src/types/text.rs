//! Texts that somebody else wrote, made fit for a log, a terminal and JSON.

use std::borrow::Cow;

/// Returns the text with every character replaced by U+FFFD that could forge a line of a log, control a
/// terminal, or show something else than it says: control characters, line and paragraph separators,
/// and characters of format, above all those that change the direction of writing (Boucher and
/// Anderson, *Trojan Source*, USENIX Security 2023).
///
/// Call it where the text enters, once: what is inside is printable.
pub fn printable(text: &str) -> Cow<'_, str> {
    match text.chars().all(is_printable) {
        true => Cow::Borrowed(text),
        false => {
            let safe = |c| if is_printable(c) { c } else { char::REPLACEMENT_CHARACTER };
            Cow::Owned(text.chars().map(safe).collect())
        }
    }
}

/// Returns whether the character shows as itself wherever it is printed.
pub(crate) fn is_printable(c: char) -> bool {
    let is_format = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}');
    !c.is_control() && !is_format
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_forges_lines_controls_terminals_or_turns_text_around_is_replaced() {
        for odd in
            "\n\r\0\u{7}\u{8}\u{1b}\u{7f}\u{85}\u{9b}\u{200b}\u{2028}\u{202e}\u{2066}\u{e0041}"
                .chars()
        {
            assert_eq!(printable(&format!("a{odd}b")), "a\u{fffd}b", "{odd:?}");
        }
    }

    #[test]
    fn what_people_write_is_kept() {
        let text = "größer: 1 < 2 \"so\" é 漢字 🙂 العربية";
        assert!(matches!(printable(text), Cow::Borrowed(same) if same == text));
    }
}
