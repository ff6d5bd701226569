//! The structure of the configuration file: the values as written and their positions.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use toml::Spanned;

/// A string or a number, as text with its position.
pub(super) type SpannedText = Spanned<Text>;

/// One value or a list of them, with its position.
pub(super) type SpannedList = Spanned<OneOrMany>;

/// Named tables, sorted by name; `source::in_order` restores the order of the file.
pub(super) type Tables<T> = BTreeMap<Spanned<String>, T>;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawConfig {
    pub(super) identity: Option<Spanned<String>>,
    pub(super) listen: Option<SpannedList>,
    pub(super) default: Option<SpannedText>,
    #[serde(rename = "peer-down")]
    pub(super) peer_down: Option<SpannedText>,
    pub(super) linger: Option<SpannedText>,
    pub(super) memory: Option<SpannedText>,
    #[serde(rename = "tcp-keepalive")]
    pub(super) tcp_keepalive: Option<SpannedText>,
    #[serde(rename = "tcp-user-timeout")]
    pub(super) tcp_user_timeout: Option<SpannedText>,
    #[serde(default)]
    pub(super) limits: RawLimits,
    pub(super) admin: Option<Spanned<toml::Value>>,
    pub(super) metrics: Option<SpannedText>,
    #[serde(rename = "state-directory")]
    pub(super) state_directory: Option<Spanned<String>>,
    pub(super) web: Option<SpannedText>,
    #[serde(rename = "web-token-file")]
    pub(super) web_token_file: Option<Spanned<String>>,
    pub(super) log: Option<SpannedText>,
    #[serde(rename = "on-event")]
    pub(super) on_event: Option<SpannedList>,
    #[serde(rename = "existing-flows")]
    pub(super) existing_flows: Option<SpannedText>,
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

#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) flows: Option<SpannedText>,
    pub(super) sessions: Option<SpannedText>,
    pub(super) lanes: Option<SpannedText>,
    pub(super) connections: Option<SpannedText>,
    pub(super) dials: Option<SpannedText>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawUplink {
    pub(super) prefixes: Option<SpannedList>,
    pub(super) interface: Option<Spanned<String>>,
    pub(super) class: Option<SpannedText>,
    #[serde(default)]
    pub(super) metered: bool,
    pub(super) overflow: Option<Spanned<bool>>,
    #[serde(rename = "overflow-after")]
    pub(super) overflow_after: Option<SpannedText>,
    pub(super) budget: Option<SpannedText>,
    #[serde(rename = "reset-day")]
    pub(super) reset_day: Option<SpannedText>,
    #[serde(rename = "at-budget")]
    pub(super) at_budget: Option<SpannedText>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPeer {
    pub(super) key: Option<SpannedText>,
    pub(super) keys: Option<SpannedList>,
    pub(super) locators: Option<SpannedList>,
    pub(super) allow: Option<SpannedList>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawIngress {
    pub(super) kind: Option<SpannedText>,
    pub(super) listen: Option<SpannedText>,
    #[serde(rename = "socket-mode")]
    pub(super) socket_mode: Option<Spanned<String>>,
    #[serde(rename = "socket-owner")]
    pub(super) socket_owner: Option<Spanned<String>>,
    pub(super) to: Option<SpannedList>,
    pub(super) users: Option<SpannedList>,
    pub(super) cgroups: Option<SpannedList>,
    pub(super) interfaces: Option<SpannedList>,
    pub(super) ports: Option<SpannedList>,
    pub(super) except: Option<SpannedList>,
    pub(super) dns: Option<Spanned<bool>>,
    pub(super) protocol: Option<SpannedText>,
    pub(super) via: Option<SpannedList>,
    pub(super) mode: Option<SpannedText>,
    pub(super) bulk: Option<SpannedText>,
    #[serde(rename = "peer-down")]
    pub(super) peer_down: Option<SpannedText>,
    pub(super) username: Option<SpannedText>,
    pub(super) password: Option<SpannedText>,
    #[serde(rename = "allow-from")]
    pub(super) allow_from: Option<SpannedList>,
    #[serde(rename = "accept-proxy-protocol")]
    pub(super) accept_proxy_protocol: Option<SpannedList>,
    #[serde(rename = "send-proxy-protocol")]
    pub(super) send_proxy_protocol: Option<Spanned<bool>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    pub(super) to: Option<SpannedList>,
    pub(super) ports: Option<SpannedList>,
    pub(super) ingress: Option<SpannedList>,
    pub(super) via: Option<SpannedList>,
    pub(super) mode: Option<SpannedText>,
    pub(super) bulk: Option<SpannedText>,
    #[serde(rename = "peer-down")]
    pub(super) peer_down: Option<SpannedText>,
}

/// A string, or a number as text.
pub(super) struct Text(pub(super) String);

/// One value or a list of them.
pub(super) enum OneOrMany {
    One(Text),
    Many(Vec<SpannedText>),
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
        let mut items = Vec::new();
        while let Some(word) = seq.next_element()? {
            items.push(word);
        }
        Ok(OneOrMany::Many(items))
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}
