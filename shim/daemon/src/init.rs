//! `throughline init`: the text of a first configuration for this host.
//!
//! Pure: from what the host is like and what the person says to a text with comments, which the configuration's
//! own parser takes.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

use throughline::{Locator, PeerId};
use throughline_uplinks::{Snapshot, UsableAddress};

/// What a first configuration says.
#[derive(Clone, Debug)]
pub struct FirstConfig {
    /// Our public key.
    pub key: PeerId,
    /// The ways out that were found.
    pub uplinks: Vec<FoundUplink>,
    /// The UDP port that peers dial; none where only we dial.
    pub port: Option<u16>,
    /// The peers.
    pub peers: Vec<NewPeer>,
    /// What the peers may reach through this host.
    pub allow: Vec<String>,
    /// The TCP port of loopback where applications connect.
    pub proxy: u16,
}

/// The port of loopback where applications connect, unless something else listens there: SOCKS's by IANA's list.
pub const PROXY: u16 = 1080;

/// A peer as the command line names it: `NAME=KEY`, or `NAME=KEY@HOST:PORT,HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPeer {
    /// What it is to be called here.
    pub name: String,
    /// Its public key.
    pub key: PeerId,
    /// Where it can be dialed.
    pub locators: Vec<Locator>,
}

/// Why a text is no peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}; write NAME=KEY, or NAME=KEY@HOST:PORT where the peer can be dialed")]
pub struct ParsePeerError(String);

impl FromStr for NewPeer {
    type Err = ParsePeerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |reason: &dyn ToString| ParsePeerError(reason.to_string());
        let (name, rest) = text.split_once('=').ok_or_else(|| wrong(&"it has no `=`"))?;
        let is_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(wrong(&format!("`{name}` is no name of letters, digits, - and _")));
        }
        let (key, locators) = rest.split_once('@').unwrap_or((rest, ""));
        let key = key.parse().map_err(|error| wrong(&error))?;
        let locators = locators.split(',').filter(|locator| !locator.is_empty());
        let locators: Result<Vec<Locator>, _> = locators.map(str::parse).collect();
        Ok(Self { name: name.to_owned(), key, locators: locators.map_err(|error| wrong(&error))? })
    }
}

/// A way out of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundUplink {
    /// What it is called: after its interface.
    pub name: String,
    /// Its interface.
    pub interface: String,
    /// Its prefixes, where the interface has several uplinks and they tell them apart.
    pub prefixes: Vec<String>,
    /// Its addresses now.
    pub addresses: Vec<IpAddr>,
}

/// Returns the ways out: an uplink of each interface with a default route (of each with an address, where none has
/// one); several of an interface that has several prefixes of one family, as two ISPs on one cable make.
pub fn find_uplinks(snapshot: &Snapshot) -> Vec<FoundUplink> {
    let network = &snapshot.network;
    let usable = network.usable();
    let routed = |a: &UsableAddress| network.defaults.iter().any(|route| route.link == a.link);
    let any_routed = usable.iter().any(routed);
    let leads_out = |a: &&UsableAddress| !a.net.addr().is_loopback() && (!any_routed || routed(a));
    let mut by_link: Vec<(u32, Vec<&UsableAddress>)> = Vec::new();
    for address in usable.iter().filter(leads_out) {
        match by_link.iter_mut().find(|(link, _)| *link == address.link) {
            Some((_, addresses)) => addresses.push(address),
            None => by_link.push((address.link, vec![address])),
        }
    }
    by_link.into_iter().flat_map(|(_, addresses)| of_interface(&addresses)).collect()
}

fn of_interface(addresses: &[&UsableAddress]) -> Vec<FoundUplink> {
    let mut prefixes: Vec<ipnet::IpNet> = addresses.iter().map(|a| a.net.trunc()).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    let interface = addresses[0].interface.clone();
    let v4 = prefixes.iter().filter(|prefix| prefix.addr().is_ipv4()).count();
    if v4 <= 1 && prefixes.len() - v4 <= 1 {
        let addresses = addresses.iter().map(|a| a.net.addr()).collect();
        return vec![FoundUplink {
            name: interface.clone(),
            interface,
            prefixes: Vec::new(),
            addresses,
        }];
    }
    let one = |(index, prefix): (usize, &ipnet::IpNet)| FoundUplink {
        name: format!("{interface}-{}", index + 1),
        interface: interface.clone(),
        prefixes: vec![prefix.to_string()],
        addresses: addresses
            .iter()
            .map(|a| a.net.addr())
            .filter(|ip| prefix.contains(ip))
            .collect(),
    };
    prefixes.iter().enumerate().map(one).collect()
}

impl FirstConfig {
    /// Returns the text of the configuration.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "# A first configuration, by throughline. docs/CONFIG.md describes every field;"
        )?;
        writeln!(
            text,
            "# `throughline check FILE` says what this file does, `throughline reload -c FILE` applies a change."
        )?;
        writeln!(text, "identity = \"identity.key\"  # the public key: {}", self.key)?;
        match self.port {
            Some(port) => writeln!(text, "listen = [\"[::]:{port}\"]  # peers dial us here (UDP)")?,
            None => writeln!(
                text,
                "# listen = [\"[::]:5443\"]  # only we dial; with this peers can dial us (UDP)"
            )?,
        }
        writeln!(text, "# metrics = \"127.0.0.1:9480\"  # for Prometheus")?;
        writeln!(text, "# web = \"127.0.0.1:9481\"  # a page for your browser: how it goes, live")?;
        self.write_uplinks(text)?;
        for peer in &self.peers {
            self.write_peer(text, peer)?;
        }
        if self.peers.is_empty() {
            writeln!(text, "\n# Another host that runs Throughline:")?;
            writeln!(
                text,
                "# [peers.NAME]\n# key = \"tlk1…\"  # what `throughline id` prints there"
            )?;
            writeln!(
                text,
                "# locators = [\"HOST:5443\"]  # where it listens; leave it out if it dials us"
            )?;
            writeln!(text, "# allow = [\"localhost:22\"]  # what it may reach through us")?;
        }
        self.write_ingress(text)
    }

    fn write_uplinks(&self, text: &mut String) -> std::fmt::Result {
        if self.uplinks.is_empty() {
            writeln!(text, "\n# No way out was found here; uplinks are discovered as they come.")?;
        }
        for uplink in &self.uplinks {
            let now: Vec<String> = uplink.addresses.iter().map(ToString::to_string).collect();
            writeln!(text, "\n[uplinks.{}]  # now {}", table_key(&uplink.name), now.join(", "))?;
            match &uplink.prefixes[..] {
                [] => writeln!(text, "interface = {:?}", uplink.interface)?,
                prefixes => writeln!(text, "prefixes = {prefixes:?}  # on {}", uplink.interface)?,
            }
            writeln!(text, "# metered = true  # used only if nothing else works")?;
        }
        Ok(())
    }

    fn write_peer(&self, text: &mut String, peer: &NewPeer) -> std::fmt::Result {
        writeln!(text, "\n[peers.{}]\nkey = \"{}\"", peer.name, peer.key)?;
        if !peer.locators.is_empty() {
            let locators: Vec<String> = peer.locators.iter().map(ToString::to_string).collect();
            writeln!(text, "locators = {locators:?}")?;
        }
        match &self.allow[..] {
            [] => writeln!(
                text,
                "# allow = [\"localhost:22\"]  # what it may reach through us; nothing yet"
            ),
            allow => writeln!(text, "allow = {allow:?}  # what it may reach through us"),
        }
    }

    fn write_ingress(&self, text: &mut String) -> std::fmt::Result {
        let dialed: Vec<&str> =
            self.peers.iter().filter(|p| !p.locators.is_empty()).map(|p| p.name.as_str()).collect();
        if dialed.is_empty() {
            writeln!(text, "\n# Where applications connect: SOCKS5 and HTTP on one port.")?;
            return writeln!(
                text,
                "# [ingress.proxy]\n# kind = \"proxy\"\n# listen = \"127.0.0.1:{}\"\n# via = [\"NAME\"]",
                self.proxy
            );
        }
        writeln!(
            text,
            "\n[ingress.proxy]  # applications connect here: SOCKS5 and HTTP on one port"
        )?;
        writeln!(text, "kind = \"proxy\"\nlisten = \"127.0.0.1:{}\"\nvia = {dialed:?}", self.proxy)
    }

    /// Returns what the person at the other end is to be told, for each peer, or for any where none is named.
    pub fn next_steps(&self, here: &str) -> String {
        let reached = self.port.map(|port| self.locators(port)).filter(|found| !found.is_empty());
        let mut text = String::new();
        match (&self.peers[..], reached) {
            ([], Some(locators)) => {
                text += &format!(
                    "At each other host: throughline init DIRECTORY --peer {here}={}@{}\n",
                    self.key,
                    locators.join(",")
                );
            }
            ([], None) => text += &format!("Our key, for the other host: {}\n", self.key),
            (peers, _) => {
                for peer in peers {
                    text += &format!(
                        "At {}, add this to its configuration and run `throughline reload` there:\n[peers.{here}]\nkey = \"{}\"\nallow = [\"localhost:22\"]\n",
                        peer.name, self.key
                    );
                }
            }
        }
        text
    }

    /// Returns where peers can dial us, as far as our own addresses say: a NAT's outside is not among them.
    fn locators(&self, port: u16) -> Vec<String> {
        let addresses = self.uplinks.iter().flat_map(|uplink| &uplink.addresses);
        addresses.map(|ip| SocketAddr::new(*ip, port).to_string()).collect()
    }
}

/// Returns a name as the key of a table.
fn table_key(name: &str) -> String {
    let is_bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if name.bytes().all(is_bare) { name.to_owned() } else { format!("{name:?}") }
}

#[cfg(test)]
mod tests;
