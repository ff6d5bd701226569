use std::net::IpAddr;
use std::time::Instant;

use domain::base::iana::Rtype;
use domain::rdata::AllRecordData;

use super::*;
use crate::proxy::names::pool::Pool;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Covers what is below `corp.example`.
struct Corp(Pool);

impl NameTable for Corp {
    fn covers(&self, name: &str) -> bool {
        name.ends_with(".corp.example")
    }

    fn stand_in(&mut self, name: &str) -> Result<Pair, Full> {
        self.0.stand_in(name, CLIENT, Instant::now())
    }

    fn name_of(&mut self, ip: IpAddr) -> Option<Arc<str>> {
        self.0.name_of(ip, Instant::now()).map(|(name, _)| name)
    }
}

fn query(name: &str, qtype: Rtype) -> Vec<u8> {
    let mut query = MessageBuilder::new_vec().question();
    query.header_mut().set_id(7);
    query.header_mut().set_rd(true);
    query.push((name.parse::<Name<Vec<u8>>>().unwrap(), qtype, Class::IN)).unwrap();
    let mut query = query.additional();
    query
        .opt(|opt| {
            opt.set_udp_payload_size(4096);
            Ok(())
        })
        .unwrap();
    query.finish()
}

/// Returns the code of an answer, and the data of its records.
fn shown(query: &[u8], reply: &Reply) -> String {
    let Reply::Answer(bytes) = reply else { return format!("{reply:?}") };
    assert!(is_answer(query, bytes));
    let answer = Message::from_octets(&bytes[..]).unwrap();
    assert!(answer.header().qr() && answer.header().ra() && answer.opt().is_some());
    let records = answer.answer().unwrap().limit_to::<AllRecordData<_, _>>();
    let data: Vec<String> = records.map(|record| record.unwrap().data().to_string()).collect();
    format!("{} {}", answer.header().rcode(), data.join(" ")).trim().to_owned()
}

#[test]
fn covered_names_are_answered_so_that_nothing_leads_past_their_stand_ins() {
    let mut corp = Corp(Pool::new(2));
    let pair = corp.stand_in("git.corp.example").unwrap();
    let reversed = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(ip) => {
            let hex = format!("{:032x}", ip.to_bits());
            hex.chars().rev().map(|c| format!("{c}.")).collect::<String>() + "ip6.arpa"
        }
    };
    for (name, qtype, expected) in [
        ("Git.Corp.example", Rtype::A, format!("NOERROR {}", pair.v4)),
        ("git.corp.example", Rtype::AAAA, format!("NOERROR {}", pair.v6)),
        ("git.corp.example", Rtype::HTTPS, "NOERROR".to_owned()),
        ("_dns.git.corp.example", Rtype::SVCB, "NOERROR".to_owned()),
        ("git.corp.example", Rtype::MX, "Forward".to_owned()),
        ("git.corp.example", Rtype::TXT, "Forward".to_owned()),
        ("www.example", Rtype::A, "Forward".to_owned()),
        ("corp.example", Rtype::HTTPS, "Forward".to_owned()),
        ("use-application-dns.net", Rtype::A, "NXDOMAIN".to_owned()),
        (&reversed(pair.v4.into()), Rtype::PTR, "NOERROR git.corp.example.".to_owned()),
        (&reversed(pair.v6.into()), Rtype::PTR, "NOERROR git.corp.example.".to_owned()),
        ("9.9.19.198.in-addr.arpa", Rtype::PTR, "NXDOMAIN".to_owned()),
        ("9.9.9.9.in-addr.arpa", Rtype::PTR, "Forward".to_owned()),
        ("9.in-addr.arpa", Rtype::PTR, "Forward".to_owned()),
        ("a b.corp.example", Rtype::A, "Forward".to_owned()),
        // Of two names that there may be, one client has one.
        ("db.corp.example", Rtype::A, "SERVFAIL".to_owned()),
    ] {
        let query = query(&name.replace(' ', "\\032"), qtype);
        let reply = reply(&query, &mut corp);
        assert_eq!(shown(&query, &reply), expected, "{name} {qtype}");
    }
}

#[test]
fn what_is_no_query_is_not_answered_and_a_bad_one_is_told_so() {
    let mut corp = Corp(Pool::default());
    let good = query("git.corp.example", Rtype::A);
    let answer = reply(&good, &mut corp);
    let Reply::Answer(answer) = answer else { panic!("{answer:?}") };
    for dropped in [&answer[..], &good[..11], b""] {
        assert_eq!(reply(dropped, &mut corp), Reply::Drop);
    }
    let with = |at: usize, byte: u8| {
        let mut changed = good.clone();
        changed[at] = byte;
        changed
    };
    let rcode = |query: &[u8], corp: &mut Corp| match reply(query, corp) {
        Reply::Answer(answer) => answer[3] & 15,
        other => panic!("{other:?}"),
    };
    // Another kind of question; none; two; half of one.
    assert_eq!(rcode(&with(2, 0x28), &mut corp), 4);
    for bad in [with(5, 0), with(5, 2), good[..20].to_vec()] {
        assert_eq!(rcode(&bad, &mut corp), 1);
    }
}

#[test]
fn an_answer_too_long_for_a_datagram_says_that_it_is_cut() {
    let query = query("big.example", Rtype::TXT);
    let mut long = MessageBuilder::new_vec()
        .start_answer(&Message::from_octets(&query[..]).unwrap(), Rcode::NOERROR)
        .unwrap()
        .finish();
    assert_eq!(as_datagram(&query, long.clone()), Some(long.clone()));
    long.resize(MAX_DATAGRAM + 1, 0);
    let cut = as_datagram(&query, long).unwrap();
    assert!(is_answer(&query, &cut) && cut.len() < 64);
    assert!(Message::from_octets(&cut[..]).unwrap().header().tc());
    assert_eq!(failure(&query).unwrap()[3] & 15, 2);
}

#[test]
fn bytes_at_random_are_answered_as_what_they_are_or_dropped() {
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};
    let mut random = SmallRng::seed_from_u64(53);
    let mut corp = Corp(Pool::new(64));
    let questions = [Rtype::A, Rtype::AAAA, Rtype::HTTPS, Rtype::PTR, Rtype::ANY];
    for _ in 0..50_000 {
        let kind = questions[random.random_range(0..questions.len())];
        let name = if random.random() { "git.corp.example" } else { "9.9.18.198.in-addr.arpa" };
        let mut bytes = query(name, kind);
        for _ in 0..random.random_range(0..5) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        if random.random_ratio(1, 4) {
            bytes.truncate(random.random_range(0..=bytes.len()));
        }
        match reply(&bytes, &mut corp) {
            Reply::Answer(answer) => {
                let answer = Message::from_octets(&answer[..]).unwrap();
                assert!(answer.header().qr() && answer.header().id().to_be_bytes() == bytes[..2]);
            }
            // It is passed on, and may have to be answered all the same.
            Reply::Forward => assert!(failure(&bytes).is_some()),
            Reply::Drop => {}
        }
    }
}
