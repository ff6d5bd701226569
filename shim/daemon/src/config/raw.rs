//! The structure of the configuration file: the values as written and their positions.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use toml::Spanned;

/// A string or a number, as text with its position.
pub(super) type Word = Spanned<Text>;

/// One value or a list of them, with its position.
pub(super) type Words = Spanned<OneOrMany>;

/// Named tables, sorted by name; `source::in_order` restores the order of the file.
pub(super) type Tables<T> = BTreeMap<Spanned<String>, T>;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) identity: Option<Spanned<String>>,
    pub(super) listen: Option<Words>,
    pub(super) default: Option<Word>,
    #[serde(rename = "peer-down")]
    pub(super) peer_down: Option<Word>,
    pub(super) linger: Option<Word>,
    pub(super) memory: Option<Word>,
    pub(super) admin: Option<Spanned<String>>,
    #[serde(default, rename = "manage-routes")]
    pub(super) manage_routes: bool,
    #[serde(default)]
    pub(super) uplinks: Tables<RawUplink>,
    #[serde(default)]
    pub(super) peers: Tables<RawPeer>,
    #[serde(default)]
    pub(super) ingress: Tables<RawIngress>,
    #[serde(default)]
    pub(super) rule: Vec<Spanned<RawRule>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUplink {
    pub(super) prefixes: Option<Words>,
    pub(super) interface: Option<Spanned<String>>,
    pub(super) class: Option<Word>,
    #[serde(default)]
    pub(super) metered: bool,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPeer {
    pub(super) key: Option<Word>,
    pub(super) locators: Option<Words>,
    pub(super) allow: Option<Words>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIngress {
    pub(super) kind: Option<Word>,
    pub(super) listen: Option<Word>,
    pub(super) to: Option<Word>,
    pub(super) via: Option<Words>,
    pub(super) mode: Option<Word>,
    #[serde(rename = "peer-down")]
    pub(super) peer_down: Option<Word>,
    pub(super) username: Option<Word>,
    pub(super) password: Option<Word>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    pub(super) to: Option<Words>,
    pub(super) ports: Option<Words>,
    pub(super) ingress: Option<Words>,
    pub(super) via: Option<Words>,
    pub(super) mode: Option<Word>,
    #[serde(rename = "peer-down")]
    pub(super) peer_down: Option<Word>,
}

/// A string, or a number as text.
pub(super) struct Text(pub(super) String);

/// One value or a list of them.
pub(super) enum OneOrMany {
    One(Text),
    Many(Vec<Word>),
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct OneOrManyVisitor;

impl<'de> Visitor<'de> for OneOrManyVisitor {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<OneOrMany, E> {
        TextVisitor.visit_str(text).map(OneOrMany::One)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<OneOrMany, E> {
        TextVisitor.visit_i64(number).map(OneOrMany::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
        let mut words = Vec::new();
        while let Some(word) = seq.next_element()? {
            words.push(word);
        }
        Ok(OneOrMany::Many(words))
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}
