//! DNS messages (RFC 1035): what is asked, and what is answered for names that have a stand-in. Pure.
//!
//! | question | answer |
//! |---|---|
//! | A, AAAA of a covered name | its stand-in, for `TTL`; SERVFAIL where there are too many names |
//! | HTTPS, SVCB of one | no such record: addresses and keys in it would lead past the stand-in |
//! | PTR of a stand-in | the name |
//! | `use-application-dns.net` | no such name, by which browsers that ask resolvers of their own are asked not to |
//! | everything else | whatever the system's resolver says |

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use domain::base::iana::{Class, Opcode, Rcode, Rtype};
use domain::base::message_builder::AnswerBuilder;
use domain::base::{Message, MessageBuilder, Name, Ttl};
use domain::rdata::{A, Aaaa, Ptr};

use super::pool::{Full, Pair, contains};
use throughline::Host;

/// How long an answer may be kept: a reload of the rules, and a name that has found no room, show after so long.
const TTL: Ttl = Ttl::from_secs(30);

/// The longest answer that is sent as a datagram: what fits into a packet on every path (RFC 9715). A client asks again
/// over TCP for what is longer.
pub const MAX_DATAGRAM: usize = 1232;

/// Browsers look that up before they ask resolvers of their own, past the system's.
const CANARY: &str = "use-application-dns.net";

/// The names as whoever asks finds them.
pub trait NameTable {
    /// Returns whether a name, in lower case, has a stand-in or is to get one.
    fn covers(&self, name: &str) -> bool;

    /// Returns the stand-in of a name.
    ///
    /// # Errors
    /// There are too many names.
    fn stand_in(&mut self, name: &str) -> Result<Pair, Full>;

    /// Returns the name that an address stands for.
    fn name_of(&mut self, ip: IpAddr) -> Option<Arc<str>>;
}

/// What becomes of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is answered so.
    Answer(Vec<u8>),
    /// It is no name of ours: the system's resolver answers.
    Forward,
    /// It is no query, so that to answer it could go on for ever.
    Drop,
}

/// Returns what is replied to a message.
pub fn reply(query: &[u8], table: &mut impl NameTable) -> Reply {
    let Ok(query) = Message::from_octets(query) else { return Reply::Drop };
    if query.header().qr() {
        return Reply::Drop;
    }
    if query.header().opcode() != Opcode::QUERY {
        return error(&query, Rcode::NOTIMP);
    }
    let Ok(question) = query.sole_question() else { return error(&query, Rcode::FORMERR) };
    if question.qclass() != Class::IN {
        return Reply::Forward;
    }
    let name = question.qname().to_string().trim_end_matches('.').to_ascii_lowercase();
    if name == CANARY {
        return error(&query, Rcode::NXDOMAIN);
    }
    if question.qtype() == Rtype::PTR
        && let Some(ip) = reverse(&name).filter(|ip| contains(*ip))
    {
        return pointer(&query, table.name_of(ip).as_deref());
    }
    // What no rule could have is no name of a host.
    if !matches!(name.parse(), Ok(Host::Name(_))) || !table.covers(&name) {
        return Reply::Forward;
    }
    match question.qtype() {
        Rtype::A | Rtype::AAAA => match table.stand_in(&name) {
            Ok(pair) if question.qtype() == Rtype::A => answer(&query, |answer| {
                answer.push((question.qname(), Class::IN, TTL, A::new(pair.v4))).is_ok()
            }),
            Ok(pair) => answer(&query, |answer| {
                answer.push((question.qname(), Class::IN, TTL, Aaaa::new(pair.v6))).is_ok()
            }),
            Err(Full) => error(&query, Rcode::SERVFAIL),
        },
        Rtype::HTTPS | Rtype::SVCB => answer(&query, |_| true),
        _ => Reply::Forward,
    }
}

/// Returns the failure to answer a query that nobody else answered.
pub fn failure(query: &[u8]) -> Option<Vec<u8>> {
    let query = Message::from_octets(query).ok()?;
    match error(&query, Rcode::SERVFAIL) {
        Reply::Answer(answer) => Some(answer),
        Reply::Forward | Reply::Drop => None,
    }
}

/// Returns an answer as it fits into a datagram: one that does not has nothing but the sign that it is cut.
pub fn as_datagram(query: &[u8], answer: Vec<u8>) -> Option<Vec<u8>> {
    if answer.len() <= MAX_DATAGRAM {
        return Some(answer);
    }
    let (query, answer) = (Message::from_octets(query).ok()?, Message::from_octets(answer).ok()?);
    let mut cut = MessageBuilder::new_vec().start_error(&query, answer.header().rcode());
    cut.header_mut().set_ra(true);
    cut.header_mut().set_tc(true);
    Some(cut.finish())
}

/// Returns whether a message answers a query, by its number and its question.
pub fn is_answer(query: &[u8], answer: &[u8]) -> bool {
    match (Message::from_octets(query), Message::from_octets(answer)) {
        (Ok(query), Ok(answer)) => answer.is_answer(&query),
        _ => false,
    }
}

fn pointer(query: &Message<&[u8]>, name: Option<&str>) -> Reply {
    let name = name.and_then(|name| name.parse::<Name<Vec<u8>>>().ok());
    let (Some(name), Ok(question)) = (name, query.sole_question()) else {
        return error(query, Rcode::NXDOMAIN);
    };
    answer(query, |answer| answer.push((question.qname(), Class::IN, TTL, Ptr::new(name))).is_ok())
}

/// Returns an answer with what `fill` writes into it.
fn answer(query: &Message<&[u8]>, fill: impl FnOnce(&mut AnswerBuilder<Vec<u8>>) -> bool) -> Reply {
    // One record fits into every message.
    let Ok(mut answer) = MessageBuilder::new_vec().start_answer(query, Rcode::NOERROR) else {
        return error(query, Rcode::SERVFAIL);
    };
    match fill(&mut answer) {
        true => finish(query, answer),
        false => error(query, Rcode::SERVFAIL),
    }
}

fn error(query: &Message<&[u8]>, rcode: Rcode) -> Reply {
    finish(query, MessageBuilder::new_vec().start_error(query, rcode))
}

/// Ends an answer; with EDNS (RFC 6891 §7) if the query had it.
fn finish(query: &Message<&[u8]>, mut answer: AnswerBuilder<Vec<u8>>) -> Reply {
    answer.header_mut().set_ra(true);
    let mut additional = answer.additional();
    if query.opt().is_some() {
        // Without it the answer is as good.
        let _ = additional.opt(|opt| {
            opt.set_udp_payload_size(u16::try_from(MAX_DATAGRAM).unwrap_or(u16::MAX));
            Ok(())
        });
    }
    Reply::Answer(additional.finish())
}

/// Returns the address whose name is asked for (RFC 1035 §3.5, RFC 3596 §2.5).
fn reverse(name: &str) -> Option<IpAddr> {
    if let Some(v4) = name.strip_suffix(".in-addr.arpa") {
        let octets: Vec<&str> = v4.rsplit('.').collect();
        return octets.join(".").parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let nibbles: Vec<&str> = name.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
    if nibbles.len() != 32 || nibbles.iter().any(|nibble| nibble.len() != 1) {
        return None;
    }
    let bits = u128::from_str_radix(&nibbles.concat(), 16).ok()?;
    Some(Ipv6Addr::from_bits(bits).into())
}

#[cfg(test)]
mod tests;
