use super::*;
use crate::proxy::rules::ParsePortsError;

const OWN: &[&str] = &["127.0.0.1", "::1", "192.0.2.7", "2001:db8:a::7"];

fn allows(entry: &str, requested: &str, ip: &str, port: u16) -> bool {
    let own: Vec<IpAddr> = OWN.iter().map(|ip| ip.parse().unwrap()).collect();
    let acl = Acl::new(vec![entry.parse().unwrap()]);
    acl.allows(&requested.parse().unwrap(), ip.parse().unwrap(), port, &own)
}

#[test]
fn nothing_is_allowed_without_an_entry() {
    let acl = Acl::default();
    assert!(!acl.allows(&Host::Ip([10, 0, 0, 1].into()), [10, 0, 0, 1].into(), 22, &[]));
    assert!(!acl.could_allow(&Host::Name("a.example".into()), 22));
}

/// (entry, requested, address dialed, port, allowed)
const TABLE: &[(&str, &str, &str, u16, bool)] = &[
    ("10.20.0.0/16:22", "10.20.3.4", "10.20.3.4", 22, true),
    ("10.20.0.0/16:22", "10.20.3.4", "10.20.3.4", 23, false),
    ("10.20.0.0/16:22", "10.21.3.4", "10.21.3.4", 22, false),
    ("10.0.0.0/8:*", "10.1.1.1", "10.1.1.1", 65535, true),
    ("10.1.1.1:1", "10.1.1.1", "10.1.1.1", 1, true),
    ("*:443", "203.0.113.1", "203.0.113.1", 443, true),
    ("*:443", "2001:db8::1", "2001:db8::1", 443, true),
    ("[2001:db8::/32]:443", "2001:db8:1::1", "2001:db8:1::1", 443, true),
    ("[2001:db8::/32]:443", "2001:db9::1", "2001:db9::1", 443, false),
    // A name: what it resolves to, and only by that name.
    ("host.example:80-90", "host.example", "203.0.113.1", 85, true),
    ("host.example:80-90", "HOST.example.", "203.0.113.1", 85, true),
    ("host.example:80-90", "other.example", "203.0.113.1", 85, false),
    ("host.example:80-90", "203.0.113.1", "203.0.113.1", 85, false),
    ("*.example:80", "a.example", "203.0.113.1", 80, true),
    ("10.20.0.0/16:22", "host.example", "10.20.3.4", 22, true),
    ("10.20.0.0/16:22", "host.example", "10.30.3.4", 22, false),
    // IPv4 in IPv6 clothes is the IPv4 address.
    ("10.20.0.0/16:22", "::ffff:10.20.3.4", "::ffff:10.20.3.4", 22, true),
    ("[::/0]:*", "::ffff:10.20.3.4", "::ffff:10.20.3.4", 22, false),
    ("[64:ff9b::/96]:*", "64:ff9b::a14:304", "64:ff9b::a14:304", 22, false),
    ("10.20.0.0/16:22", "64:ff9b::a14:304", "64:ff9b::a14:304", 22, true),
    ("[2002::/16]:*", "2002:a14:304::1", "2002:a14:304::1", 22, false),
    ("10.20.0.0/16:22", "2002:a14:304::1", "2002:a14:304::1", 22, true),
    ("*:*", "::ffff:127.0.0.1", "::ffff:127.0.0.1", 22, false),
    ("*:*", "64:ff9b::7f00:1", "64:ff9b::7f00:1", 22, false),
    ("*:*", "2002:7f00:1::", "2002:7f00:1::", 22, false),
    ("*:*", "::127.0.0.1", "::127.0.0.1", 22, false),
    ("*:*", "::ffff:192.0.2.7", "::ffff:192.0.2.7", 22, false),
    ("*:*", "2001::1:80ff:fffe", "2001:0:0:0:0:0:80ff:fffe", 22, false),
    ("*:*", "64:ff9b:1::7f00:1", "64:ff9b:1::7f00:1", 22, false),
    // Never.
    ("*:*", "0.0.0.0", "0.0.0.0", 22, false),
    ("0.0.0.0:*", "0.0.0.0", "0.0.0.0", 22, false),
    ("0.0.0.0/0:*", "0.1.2.3", "0.1.2.3", 22, false),
    ("*:*", "::", "::", 22, false),
    ("224.0.0.0/4:*", "224.0.0.1", "224.0.0.1", 22, false),
    ("[ff00::/8]:*", "ff02::1", "ff02::1", 22, false),
    ("*:*", "255.255.255.255", "255.255.255.255", 22, false),
    ("169.254.169.254:80", "169.254.169.254", "169.254.169.254", 80, false),
    ("[fe80::/10]:*", "fe80::1", "fe80::1", 22, false),
    // This host only where it is named.
    ("*:*", "127.0.0.1", "127.0.0.1", 22, false),
    ("0.0.0.0/0:*", "127.0.0.1", "127.0.0.1", 22, false),
    ("126.0.0.0/7:*", "127.0.0.1", "127.0.0.1", 22, false),
    ("[::/0]:*", "::1", "::1", 22, false),
    ("host.example:80", "host.example", "127.0.0.1", 80, false),
    ("host.example:80", "host.example", "192.0.2.7", 80, false),
    ("192.0.2.0/24:80", "192.0.2.7", "192.0.2.7", 80, false),
    ("192.0.2.0/24:80", "192.0.2.8", "192.0.2.8", 80, true),
    ("192.0.2.7:80", "192.0.2.7", "192.0.2.7", 80, true),
    ("192.0.2.7/32:80", "host.example", "192.0.2.7", 80, true),
    ("[2001:db8:a::7]:80", "2001:db8:a::7", "2001:db8:a::7", 80, true),
    ("localhost:5432", "localhost", "127.0.0.1", 5432, true),
    ("localhost:5432", "localhost", "::1", 5432, true),
    ("localhost:5432", "127.0.0.1", "127.0.0.1", 5432, true),
    ("localhost:5432", "localhost", "203.0.113.1", 5432, false),
    ("localhost:5432", "127.0.0.2", "127.0.0.2", 5432, false),
    ("localhost:5432", "192.0.2.7", "192.0.2.7", 5432, false),
    ("127.0.0.0/8:5432", "127.0.1.5", "127.0.1.5", 5432, true),
    ("127.0.1.0/24:5432", "127.0.1.5", "127.0.1.5", 5432, true),
    ("127.0.1.0/24:5432", "127.0.2.5", "127.0.2.5", 5432, false),
    ("[::1]:5432", "::1", "::1", 5432, true),
];

#[test]
fn an_acl_checks_the_address_that_is_dialed() {
    for &(entry, asked, ip, port, expected) in TABLE {
        assert_eq!(allows(entry, asked, ip, port), expected, "{entry}: {asked} = {ip} port {port}");
    }
}

#[test]
fn an_entry_parses_back_from_its_text() {
    for text in
        ["10.20.0.0/16:22", "localhost:5432", "[2001:db8::/32]:443", "*:*", "*.a.example:80-90"]
    {
        assert_eq!(text.parse::<AclEntry>().unwrap().to_string(), text);
    }
}

#[test]
fn an_invalid_entry_is_rejected_with_its_own_error() {
    let error = |text: &str| text.parse::<AclEntry>().unwrap_err();
    assert_eq!(error("host"), ParseAclEntryError::NoPorts("host".into()));
    assert_eq!(error("host:0"), ParseAclEntryError::Ports(ParsePortsError("0".into())));
    assert_eq!(
        error("2001:db8::/32:443"),
        ParseAclEntryError::Brackets("2001:db8::/32:443".into())
    );
    assert_eq!(error("10.0.0.0/33:1"), ParseAclEntryError::Host("10.0.0.0/33".into()));
    assert_eq!(error("10.0.0:1"), ParseAclEntryError::Host("10.0.0".into()));
    assert_eq!(error("[10.0.0.1]:1"), ParseAclEntryError::Host("[10.0.0.1]".into()));
    assert_eq!(error("a b:1"), ParseAclEntryError::Host("a b".into()));
}
