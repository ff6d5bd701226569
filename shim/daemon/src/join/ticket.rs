//! A ticket: everything that a site needs to know of the server, and a key that counts once.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use thiserror::Error;

use throughline::{Identity, Locator, PeerId};

/// What every ticket begins with.
const PREFIX: &str = "tlt1";

/// The bytes of the checksum, which finds what copying has damaged.
const CHECKSUM: usize = 4;

/// The most addresses in a ticket, and the longest text: a QR code and a terminal's line have an end.
pub(crate) const MAX_LOCATORS: usize = 8;
const MAX_TEXT: usize = 255;

/// What a server gives to a site that is to join it. Whoever has it may join in the site's place: it is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The server's public key.
    pub server: PeerId,
    /// The private key that counts once.
    pub(crate) seed: [u8; 32],
    /// The port of the server's loopback at which it waits.
    pub(crate) port: u16,
    /// When the server stops waiting, by its clock, in seconds since 1970.
    pub(crate) expires: u32,
    /// What the server is to be called by the site, and the site by the server.
    pub(crate) server_name: String,
    pub(crate) site_name: String,
    /// Where the server is dialed.
    pub locators: Vec<Locator>,
}

/// Why a text is no ticket.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseTicketError {
    /// It is something else.
    #[error("this is no ticket, which begins with {PREFIX}; copy what `throughline invite` prints")]
    NotATicket,
    /// It lost something on its way.
    #[error(
        "the ticket is damaged; copy all of what `throughline invite` prints, without line breaks"
    )]
    Damaged,
}

impl Ticket {
    /// Returns the identity that counts once.
    pub(crate) fn identity(&self) -> Identity {
        Identity::from_seed(&self.seed)
    }

    /// Returns how long ago the server stopped waiting, by this host's clock; none if it still waits.
    pub(crate) fn expired_for(&self) -> Option<Duration> {
        now().checked_sub(Duration::from_secs(self.expires.into())).filter(|age| !age.is_zero())
    }

    /// Returns what a ticket says of one that counts for so long from now on.
    pub(crate) fn expires_after(length: Duration) -> u32 {
        u32::try_from((now() + length).as_secs()).unwrap_or(u32::MAX)
    }

    /// Returns what proves that somebody has the ticket and means this. The lanes' keys say only who may reach the
    /// meeting, which every program of the server's host can reach too.
    pub(crate) fn proof(&self, of: &str) -> String {
        data_encoding::HEXLOWER.encode(&self.mac(of).finalize().into_bytes())
    }

    /// Returns whether a proof is right; in a time that does not depend on where it is wrong.
    pub(crate) fn is_proof(&self, of: &str, proof: &str) -> bool {
        let proof = data_encoding::HEXLOWER.decode(proof.as_bytes()).unwrap_or_default();
        self.mac(of).verify_slice(&proof).is_ok()
    }

    fn mac(&self, of: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::new_from_slice(&self.seed).expect("HMAC takes keys of every length");
        mac.update(b"throughline ticket\0");
        mac.update(of.as_bytes());
        mac
    }
}

/// Returns the time since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "two hosts have no other clock in common, and only a hint to a person depends on it"
)]
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut body = Vec::new();
        body.extend_from_slice(self.server.as_bytes());
        body.extend_from_slice(&self.seed);
        body.extend_from_slice(&self.port.to_be_bytes());
        body.extend_from_slice(&self.expires.to_be_bytes());
        let locators = self.locators.iter().take(MAX_LOCATORS).map(ToString::to_string);
        for text in [self.server_name.clone(), self.site_name.clone()].into_iter().chain(locators) {
            let len = u8::try_from(text.len()).map_err(|_| fmt::Error)?;
            body.push(len);
            body.extend_from_slice(text.as_bytes());
        }
        let mut all = Sha256::digest(&body)[..CHECKSUM].to_vec();
        all.append(&mut body);
        write!(f, "{PREFIX}{}", BASE64URL_NOPAD.encode(&all))
    }
}

impl fmt::Debug for Ticket {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("server", &self.server)
            .field("locators", &self.locators)
            .finish_non_exhaustive()
    }
}

impl FromStr for Ticket {
    type Err = ParseTicketError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text: String = text.split_whitespace().collect();
        let encoded = text.strip_prefix(PREFIX).ok_or(ParseTicketError::NotATicket)?;
        let all =
            BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| ParseTicketError::Damaged)?;
        let (checksum, body) = all.split_at_checked(CHECKSUM).ok_or(ParseTicketError::Damaged)?;
        if Sha256::digest(body)[..CHECKSUM] != *checksum {
            return Err(ParseTicketError::Damaged);
        }
        // Whoever made it right could still have put nonsense into it.
        decode(body).ok_or(ParseTicketError::Damaged)
    }
}

fn decode(mut rest: &[u8]) -> Option<Ticket> {
    let server = PeerId::from_bytes(take(&mut rest)?);
    let seed = take(&mut rest)?;
    let port = u16::from_be_bytes(take(&mut rest)?);
    let expires = u32::from_be_bytes(take(&mut rest)?);
    let (server_name, site_name) = (take_text(&mut rest)?, take_text(&mut rest)?);
    let mut locators = Vec::new();
    while !rest.is_empty() && locators.len() < MAX_LOCATORS {
        locators.push(take_text(&mut rest)?.parse().ok()?);
    }
    let is_whole = rest.is_empty() && !locators.is_empty() && port != 0;
    let is_valid = is_whole && [&server_name, &site_name].into_iter().all(|name| is_name(name));
    is_valid.then_some(Ticket { server, seed, port, expires, server_name, site_name, locators })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(*taken)
}

fn take_text(rest: &mut &[u8]) -> Option<String> {
    let [len] = take(rest)?;
    let (text, left) = rest.split_at_checked(len.into())?;
    *rest = left;
    String::from_utf8(text.to_vec()).ok()
}

/// Returns whether a text can be a peer's name: letters, digits, - and _, and no word of `via`.
pub(crate) fn is_name(text: &str) -> bool {
    let is_good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_word = ["direct", "reject"].contains(&text);
    !text.is_empty() && text.len() <= MAX_TEXT && text.bytes().all(is_good) && !is_word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            server: Identity::generate().peer_id(),
            seed: [7; 32],
            port: 40123,
            expires: 1_800_000_000,
            server_name: "server".to_owned(),
            site_name: "branch1".to_owned(),
            locators: ["203.0.113.5:5443", "[2001:db8::5]:5443", "h.example:5443"]
                .map(|text| text.parse().unwrap())
                .to_vec(),
        }
    }

    #[test]
    fn a_ticket_is_read_as_it_was_written_also_from_broken_lines() {
        let ticket = ticket();
        let text = ticket.to_string();
        assert!(text.len() < 250, "{text}");
        assert_eq!(text.parse(), Ok(ticket.clone()));
        let (first, second) = text.split_at(60);
        assert_eq!(format!("  {first}\n  {second}\n").parse(), Ok(ticket.clone()));
        assert!(!format!("{ticket:?}").contains("7, 7"), "the secret is in no log");
    }

    #[test]
    fn what_is_no_ticket_or_lost_something_is_refused_with_the_cure() {
        let text = ticket().to_string();
        for other in ["", "tlk1abc", "x"] {
            assert_eq!(other.parse::<Ticket>(), Err(ParseTicketError::NotATicket), "{other}");
        }
        for at in PREFIX.len()..text.len() {
            let (before, after) = (&text[..at], &text[at + 1..]);
            let wrong = if &text[at..=at] == "A" { "B" } else { "A" };
            for damaged in
                [before.to_owned(), format!("{before}{after}"), format!("{before}{wrong}{after}")]
            {
                assert_eq!(damaged.parse::<Ticket>(), Err(ParseTicketError::Damaged), "{damaged}");
            }
        }
        // Made right, of nonsense.
        for change in [
            |t: &mut Ticket| t.locators.clear(),
            |t: &mut Ticket| t.port = 0,
            |t: &mut Ticket| "a b".clone_into(&mut t.site_name),
            |t: &mut Ticket| "direct".clone_into(&mut t.server_name),
        ] {
            let mut ticket = ticket();
            change(&mut ticket);
            assert_eq!(ticket.to_string().parse::<Ticket>(), Err(ParseTicketError::Damaged));
        }
    }

    #[test]
    fn a_proof_is_of_one_ticket_and_one_thing() {
        let (one, other) = (ticket(), Ticket { seed: [8; 32], ..ticket() });
        let proof = one.proof("key a");
        assert!(one.is_proof("key a", &proof));
        assert!(!one.is_proof("key b", &proof) && !other.is_proof("key a", &proof));
        assert!(!one.is_proof("key a", "") && !one.is_proof("key a", &proof[2..]));
    }
}
