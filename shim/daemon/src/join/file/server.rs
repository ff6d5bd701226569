//! What `throughline join` adds to a configuration that is there: the server for good, and for the drill a port of
//! loopback that leads to it.

use std::net::SocketAddr;

use throughline::{Locator, PeerId};

/// What begins and ends the port of the drill; the server's name follows.
const BEGIN: &str = "# >>> the drill of `throughline join`, which removes it: ";
const END: &str = "# <<< the end of it: ";

/// The section of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) key: PeerId,
    pub(crate) locators: Vec<Locator>,
}

/// The ingress by which a drill's flow gets to the server, whatever the rules of the others say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DrillPort {
    pub(crate) server: String,
    /// Where it listens on this host, and the port of the server's loopback that it leads to.
    pub(crate) listen: SocketAddr,
    pub(crate) port: u16,
}

impl Server {
    /// Returns the section as it stands in a file.
    pub(crate) fn text(&self) -> String {
        let locators: Vec<String> = self.locators.iter().map(ToString::to_string).collect();
        format!(
            "[peers.{}]\nkey = \"{}\"\nlocators = {locators:?}\n\
             # allow = [\"localhost:22\"]  # what it may reach through us; nothing yet\n",
            self.name, self.key
        )
    }

    /// Returns the text with the section at its end, after an empty line.
    pub(crate) fn appended_to(&self, text: &str) -> String {
        let line = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        format!("{text}{line}\n{}", self.text())
    }

    /// Returns the text without the section; none where it was changed.
    pub(crate) fn removed_from(&self, text: &str) -> Option<String> {
        without(text, &format!("\n{}", self.text()))
    }
}

impl DrillPort {
    fn text(&self) -> String {
        let Self { server, listen, port } = self;
        format!(
            "\n{BEGIN}{server}\n[ingress.join-{server}]\nkind = \"forward\"\nlisten = \"{listen}\"\n\
             to = \"127.0.0.1:{port}\"\nvia = \"{server}\"\n{END}{server}\n"
        )
    }

    /// Returns the text with the ingress at its end.
    pub(crate) fn appended_to(&self, text: &str) -> String {
        format!("{text}{}", self.text())
    }

    /// Returns the text without it; none where it is not there as it was left.
    pub(crate) fn removed_from(&self, text: &str) -> Option<String> {
        without(text, &self.text())
    }

    /// Returns the one that a marked text is, if nobody has changed it.
    fn left(marked: &str) -> Option<Self> {
        let table: toml::Table = toml::from_str(marked).ok()?;
        let ingress = table.get("ingress")?.as_table()?.values().next()?;
        let field = |name: &str| ingress.get(name)?.as_str();
        let port = field("to")?.strip_prefix("127.0.0.1:")?.parse().ok()?;
        let listen = field("listen")?.parse().ok()?;
        let found = Self { server: field("via")?.to_owned(), listen, port };
        (found.text() == marked).then_some(found)
    }
}

fn without(text: &str, part: &str) -> Option<String> {
    text.split_once(part).map(|(before, after)| format!("{before}{after}"))
}

/// Returns the text without the ports of drills that were killed. One that somebody has changed stays.
pub(super) fn without_drills(text: &str) -> String {
    let mut rest = text.to_owned();
    let begin = format!("\n{BEGIN}");
    let mut from = 0;
    while let Some(at) = rest[from..].find(&begin).map(|at| from + at) {
        let name = rest[at + begin.len()..].lines().next().unwrap_or_default();
        let end = format!("{END}{name}\n");
        let marked = rest[at..].find(&end).map(|length| &rest[at..at + length + end.len()]);
        match marked.filter(|marked| DrillPort::left(marked).is_some()) {
            Some(marked) => rest = format!("{}{}", &rest[..at], &rest[at + marked.len()..]),
            None => from = at + begin.len(),
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> Server {
        let locators = vec!["203.0.113.1:5443".parse().unwrap()];
        Server { name: "office".to_owned(), key: PeerId::from_bytes([1; 32]), locators }
    }

    fn drill() -> DrillPort {
        let listen = "127.0.0.1:40001".parse().unwrap();
        DrillPort { server: "office".to_owned(), listen, port: 40002 }
    }

    #[test]
    fn what_is_added_can_be_taken_away_and_nothing_else_changes() {
        for text in ["", "a = 1\n", "# no line's end", "a = 1\n\n\n"] {
            let added = server().appended_to(text);
            let both = drill().appended_to(&added);
            assert!(added.starts_with(text) && both.starts_with(&added), "{both}");
            assert_eq!(drill().removed_from(&both), Some(added.clone()));
            let line = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            assert_eq!(server().removed_from(&added), Some(format!("{text}{line}")));
            assert!(toml::from_str::<toml::Table>(&both).is_ok(), "{both}");
        }
    }

    #[test]
    fn a_drill_that_was_killed_leaves_nothing_and_one_that_was_changed_stays() {
        let added = server().appended_to("a = 1\n");
        let both = drill().appended_to(&added) + "# more\n";
        assert_eq!(without_drills(&both), added.clone() + "# more\n");
        assert_eq!(without_drills(&drill().appended_to(&drill().appended_to(&added))), added);
        for changed in [both.replace("40001", "40009; x"), both.replace("# <<<", "# ")] {
            assert_eq!(without_drills(&changed), changed);
        }
    }
}
