//! Requests as tables: who asks, and what becomes of it.

use hyper::header::HeaderValue;

use super::*;

const TOKEN: &str = "0123456789abcdef";

fn access(is_loopback: bool, token: bool) -> Access {
    Access { is_loopback, token: token.then(|| Token::of(TOKEN)) }
}

/// Checks a request that has these fields, one a line.
fn check(access: &Access, purpose: Purpose, fields: &str) -> Result<(), Refusal> {
    let mut map = HeaderMap::new();
    for (name, value) in fields.lines().filter_map(|line| line.split_once(": ")) {
        map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let method = if purpose == Purpose::Change { Method::POST } else { Method::GET };
    access.check(purpose, (&method, &Uri::from_static("/"), &map))
}

#[test]
fn only_an_address_or_localhost_is_a_host() {
    // Which a name server could let lead here, or whoever writes a field.
    let never = [
        "attacker.example:9481",
        "localhost.attacker.example",
        "localhost.",
        "127.0.0.1.attacker.example",
        "user@localhost",
        "",
        "[::1",
    ];
    let local = ["localhost", "LOCALHOST:9481", "127.0.0.1:9481", "127.9.9.9", "[::1]:9481"];
    let elsewhere = ["192.0.2.7:9481", "[2001:db8::1]:9481"];
    for (is_loopback, host, answered) in never
        .iter()
        .flat_map(|host| [(true, host, false), (false, host, false)])
        .chain(local.iter().flat_map(|host| [(true, host, true), (false, host, true)]))
        .chain(elsewhere.iter().flat_map(|host| [(true, host, false), (false, host, true)]))
    {
        let checked = check(&access(is_loopback, true), Purpose::Page, &format!("Host: {host}"));
        assert_eq!(checked.is_ok(), answered, "{host}, loopback {is_loopback}: {checked:?}");
    }
    let access = access(true, false);
    assert_eq!(check(&access, Purpose::Page, ""), Err(Refusal::Host));
    assert_eq!(
        check(&access, Purpose::Page, "Host: localhost\nHost: localhost"),
        Err(Refusal::Host)
    );
}

#[test]
fn another_page_reads_nothing_and_changes_nothing() {
    let access = access(true, true);
    let authorized = format!("Host: localhost:1\nAuthorization: Bearer {TOKEN}\n");
    let origins = [
        ("Origin: http://localhost:1", true),
        ("Origin: https://localhost:1", true),
        ("Origin: http://localhost:2", false),
        ("Origin: http://127.0.0.1:1", false),
        ("Origin: null", false),
        ("Origin: http://localhost:1\nOrigin: http://attacker.example", false),
        ("Sec-Fetch-Site: same-origin", true),
        ("Sec-Fetch-Site: none", true),
        // Another port of this host is the same site.
        ("Sec-Fetch-Site: same-site", false),
        ("Sec-Fetch-Site: cross-site", false),
    ];
    for (field, answered) in origins {
        for purpose in [Purpose::Read, Purpose::Change] {
            let expected = if answered { Ok(()) } else { Err(Refusal::Origin) };
            let checked = check(&access, purpose, &format!("{authorized}{field}"));
            assert_eq!(checked, expected, "{field} {purpose:?}");
        }
    }
    // A link to the page.
    let link = "Host: localhost:1\nSec-Fetch-Site: cross-site";
    assert_eq!(check(&access, Purpose::Page, link), Ok(()));
}

#[test]
fn a_change_needs_the_token_and_so_does_reading_from_elsewhere() {
    let host = "Host: 127.0.0.1:1\n";
    let with = |token: &str| format!("{host}Authorization: {token}");
    let right = with(&format!("bearer {TOKEN}"));
    let (change, read) = (Purpose::Change, Purpose::Read);
    let token = Err(Refusal::Token);
    for (is_loopback, has_token, purpose, fields, expected) in [
        (true, false, change, &right[..], Err(Refusal::ReadOnly)),
        (true, false, read, host, Ok(())),
        (true, true, change, host, token),
        (true, true, change, &right, Ok(())),
        (true, true, change, &with("Bearer 0123456789abcdeF"), token),
        (true, true, change, &with("Basic 0123456789abcdef"), token),
        (true, true, change, &format!("{right}\nAuthorization: Bearer x"), token),
        (true, true, read, host, Ok(())),
        (false, true, read, host, token),
        (false, true, read, &right, Ok(())),
        (false, true, change, &right, Ok(())),
        // Which no configuration lets be.
        (false, false, read, host, token),
    ] {
        let checked = check(&access(is_loopback, has_token), purpose, fields);
        assert_eq!(checked, expected, "{is_loopback} {has_token} {purpose:?} {fields}");
    }
}
