//! `throughline invite` and `throughline join`: two hosts come to know each other by a ticket.
//!
//! ```text
//!   server: invite                                     site: join TICKET
//!   a one-time key is a peer for a while,  ── ticket ─▸  dials with the one-time key
//!   who may reach nothing but the meeting  ◂── lane ──  sends its own public key, and proves that it
//!                                                        has the ticket
//!   its own key takes the place of the     ── joined ─▸  writes its configuration, runs the daemon,
//!   one-time key                           ◂── drill ──  and lets a flow outlive a cut of each uplink
//! ```
//!
//! Nothing of it is in the daemon: the one-time key is an ordinary peer of the server's configuration, and the
//! meeting is at a TCP port of its loopback, which that peer alone is allowed. So whatever happens in between,
//! what remains is a peer that may reach nothing.

pub(crate) mod companion;
pub(crate) mod drill;
pub(crate) mod exchange;
pub(crate) mod file;
pub(crate) mod invitation;
pub(crate) mod membership;
pub(crate) mod ticket;

pub use self::ticket::Ticket;

/// Returns a text of the other host's as a terminal may have it.
pub(crate) fn plain(text: &str) -> String {
    let of = |c: char| {
        if c.is_control() && c != '\n' { c.escape_default().to_string() } else { c.to_string() }
    };
    text.chars().map(of).collect()
}
