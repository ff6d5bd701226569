//! Patterns of host names: one name, or every name below a domain.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use throughline::Host;

/// A pattern of host names: one name, or every name below a domain.
///
/// `*.corp.example` matches `git.corp.example` but not `corp.example` itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePattern {
    name: String,
    scope: Scope,
}

/// Which names a pattern matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// The name itself.
    Exact,
    /// Every name below it.
    Subdomains,
}

/// A text is not a [`NamePattern`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{0}` is not a host name; write host.example, or *.example for every name below it")]
pub struct ParseNamePatternError(pub String);

impl NamePattern {
    /// Returns whether the pattern matches `name`, ignoring case and a final dot.
    pub fn matches(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        match self.scope {
            Scope::Exact => name == self.name,
            Scope::Subdomains => name
                .strip_suffix(&self.name)
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        }
    }
}

impl FromStr for NamePattern {
    type Err = ParseNamePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scope, name) = match text.strip_prefix("*.") {
            Some(name) => (Scope::Subdomains, name),
            None => (Scope::Exact, text),
        };
        match name.strip_suffix('.').unwrap_or(name).parse() {
            Ok(Host::Name(name)) => Ok(Self { name, scope }),
            Ok(Host::Ip(_)) | Err(_) => Err(ParseNamePatternError(text.to_owned())),
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wildcard = match self.scope {
            Scope::Exact => "",
            Scope::Subdomains => "*.",
        };
        write!(f, "{wildcard}{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_name_pattern_is_rejected() {
        for text in ["", "*", "*.", "10.0.0.1", "a b", "a*.example"] {
            assert!(text.parse::<NamePattern>().is_err(), "{text}");
        }
    }
}
