//! Ingresses: what each kind needs, and who may listen beyond loopback.

use std::collections::HashMap;

use toml::Spanned;

use super::error::ConfigError;
use super::nearest::nearest;
use super::parse::{PeerNames, Source, in_order, word};
use super::raw::{RawIngress, Tables, Word};
use super::{Ingress, IngressKind};
use crate::proxy::policy::IngressDefault;
use crate::proxy::socks5::Credentials;

/// The kinds there are.
const KINDS: [&str; 2] = ["socks5", "forward"];

/// The ingresses in the order of the file, and what each says of the flows that no rule matches.
type Ingresses = (Vec<Ingress>, HashMap<String, IngressDefault>);

impl Source<'_> {
    pub(super) fn ingresses(
        &self,
        tables: &Tables<RawIngress>,
        peers: &PeerNames,
    ) -> Result<Ingresses, ConfigError> {
        let mut ingresses: Vec<Ingress> = Vec::new();
        let mut own = HashMap::new();
        for (name, raw) in in_order(tables) {
            let ingress = self.ingress(name, raw)?;
            let same =
                |other: &&Ingress| other.listen == ingress.listen && other.listen.port() != 0;
            if let Some(other) = ingresses.iter().find(same) {
                let message = format!(
                    "{} is where the ingress `{}` listens already; take another port.",
                    ingress.listen, other.name
                );
                return Err(self.error(span_of(name, raw.listen.as_ref()), message));
            }
            let default = IngressDefault {
                via: self.via(raw.via.as_ref(), peers)?,
                mode: self.mode(raw.mode.as_ref())?,
                down: self.peer_down(raw.peer_down.as_ref())?,
            };
            own.insert(ingress.name.clone(), default);
            ingresses.push(ingress);
        }
        Ok((ingresses, own))
    }

    fn ingress(&self, name: &Spanned<String>, raw: &RawIngress) -> Result<Ingress, ConfigError> {
        let missing = |field: &str, example: &str| {
            let written = name.get_ref();
            let message =
                format!("The ingress `{written}` has no `{field}`; write {field} = {example}.");
            self.error(name.span(), message)
        };
        let (kind, kind_span) =
            raw.kind.as_ref().map(word).ok_or_else(|| missing("kind", "\"socks5\""))?;
        let listen = raw.listen.as_ref().map(word);
        let listen =
            self.address(listen.ok_or_else(|| missing("listen", "\"127.0.0.1:1080\""))?)?;
        let kind = match kind {
            "socks5" => {
                self.not_for(kind, "to", raw.to.as_ref())?;
                IngressKind::Socks5(self.credentials(raw)?)
            }
            "forward" => {
                self.not_for(kind, "username", raw.username.as_ref())?;
                self.not_for(kind, "password", raw.password.as_ref())?;
                let to = raw.to.as_ref().map(word);
                let to = to.ok_or_else(|| missing("to", "\"db.internal:5432\""))?;
                IngressKind::Forward(self.value(to)?)
            }
            other => {
                let hint = nearest(other, KINDS).map(|kind| format!(" Did you mean \"{kind}\"?"));
                let message = format!(
                    "\"{other}\" is no kind of ingress; there are \"socks5\" and \"forward\".{}",
                    hint.unwrap_or_default()
                );
                return Err(self.error(kind_span, message));
            }
        };
        if !listen.ip().to_canonical().is_loopback() {
            let cure = match kind {
                IngressKind::Socks5(Some(_)) => None,
                IngressKind::Socks5(None) => {
                    Some("add `username` and `password`, or listen on 127.0.0.1")
                }
                IngressKind::Forward(_) => {
                    Some("a forwarded port cannot ask who comes, so listen on 127.0.0.1")
                }
            };
            if let Some(cure) = cure {
                let message =
                    format!("{listen} is open to other hosts, without authentication; {cure}.");
                return Err(self.error(span_of(name, raw.listen.as_ref()), message));
            }
        }
        Ok(Ingress { name: name.get_ref().clone(), listen, kind })
    }

    fn not_for(&self, kind: &str, field: &str, word: Option<&Word>) -> Result<(), ConfigError> {
        match word {
            None => Ok(()),
            Some(word) => Err(self.error(
                word.span(),
                format!("An ingress of kind \"{kind}\" takes no `{field}`; remove it."),
            )),
        }
    }

    fn credentials(&self, raw: &RawIngress) -> Result<Option<Credentials>, ConfigError> {
        let (username, password) = match (&raw.username, &raw.password) {
            (None, None) => return Ok(None),
            (Some(username), Some(password)) => (word(username), word(password)),
            (Some(alone), None) => {
                return Err(self
                    .error(alone.span(), "There is a `username` but no `password`; write both."));
            }
            (None, Some(alone)) => {
                return Err(self
                    .error(alone.span(), "There is a `password` but no `username`; write both."));
            }
        };
        for (text, span) in [&username, &password] {
            // RFC 1929 §2: each has its length in one byte, and is not empty.
            if !(1..=255).contains(&text.len()) {
                let message = "SOCKS5 takes user names and passwords of 1 to 255 bytes (RFC 1929).";
                return Err(self.error(span.clone(), message));
            }
        }
        Ok(Some(Credentials { username: username.0.to_owned(), password: password.0.to_owned() }))
    }
}

fn span_of(name: &Spanned<String>, word: Option<&Word>) -> std::ops::Range<usize> {
    word.map_or(name.span(), Spanned::span)
}
