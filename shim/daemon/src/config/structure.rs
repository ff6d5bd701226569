//! Errors of the TOML syntax and of the structure, as sentences with the hint that a person needs.

use std::ops::Range;

use super::error::ConfigError;
use super::nearest::suggestion;
use super::raw::RawConfig;
use super::source::Source;
use crate::catalogue::Code;

/// What serde's error about a field that nobody reads begins with.
const UNKNOWN_FIELD: &str = "unknown field ";

/// Returns an error of the TOML syntax or of the structure.
pub(super) fn error(source: &Source<'_>, error: &toml::de::Error) -> ConfigError {
    let span = error.span();
    let section = span.as_ref().and_then(|span| section_at(source.text, span));
    let code = match error.message().starts_with(UNKNOWN_FIELD) {
        true => Code::UnknownField,
        false => Code::Syntax,
    };
    let message = sentence(error.message(), section);
    ConfigError::at(code, source.file, source.text, span, message)
}

fn sentence(message: &str, section: Option<&str>) -> String {
    if let Some(unknown) = message.strip_prefix(UNKNOWN_FIELD) {
        return unknown_field(unknown, section);
    }
    let message = message.trim_end_matches('.');
    match section {
        // What is named in `[ingress.NAME]` was looked for in `[ingress]`.
        Some(section) if message.contains("expected struct Raw") => {
            format!("The section `[{section}]` needs a name, as in [{section}.NAME].")
        }
        Some(section) if message == "invalid type: map, expected a sequence" => {
            format!(
                "There may be several `{section}`, so each begins with [[{section}]], in double brackets."
            )
        }
        _ if message.contains("string values must be quoted") => {
            "This is not valid: a text is written in quotes, as in \"text\"; true, false and numbers are \
             written without.".to_owned()
        }
        _ => format!("This is not valid: {message}."),
    }
}

/// Returns the sentence about an unknown field; serde quotes it and the known ones with backticks.
fn unknown_field(message: &str, section: Option<&str>) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let unknown = names.next().unwrap_or_default();
    let known: Vec<&str> = names.collect();
    if let Some(section) = section
        && top_level_fields().iter().any(|field| field == unknown)
    {
        return format!(
            "`{unknown}` belongs at the top of the file, before the first section; here it is a field of `[{section}]`."
        );
    }
    let suggestion = suggestion(unknown, known.iter().copied());
    format!("There is no field `{unknown}` here{suggestion}")
}

/// Returns the fields at the top level, as serde knows them.
fn top_level_fields() -> Vec<String> {
    let Err(error) = toml::from_str::<RawConfig>("'' = 0") else { return Vec::new() };
    error.message().split('`').skip(3).step_by(2).map(str::to_owned).collect()
}

/// Returns the name of the section in which a position is, or whose head it is; none at the top level.
fn section_at<'a>(text: &'a str, at: &Range<usize>) -> Option<&'a str> {
    let rest = text.get(at.start..)?;
    let end_of_line = rest.find('\n').map_or(text.len(), |end| at.start + end);
    let mut heads = text[..end_of_line].lines().filter_map(|line| {
        let line = line.trim_start();
        let inner = line.strip_prefix("[[").or_else(|| line.strip_prefix('['))?;
        inner.split(']').next().map(str::trim)
    });
    heads.next_back()
}
