//! The PAC file: a program in JavaScript by which browsers find out for each URL whether to use the proxy.
//!
//! It has the rules in their order, so that what the daemon would connect to directly a browser connects
//! to itself. All else goes to the proxy, and the daemon decides. What cannot be said in the language goes
//! to the proxy as well: nothing is resolved (`isInNet` would ask a name server for each host), and IPv6
//! addresses have no function that every browser knows.

use std::fmt::Write;
use std::net::SocketAddr;

use ipnet::IpNet;

use crate::proxy::rules::{Destination, Policy, Ports, Rule, Via};
use throughline::{Host, Target};

/// The paths at which browsers ask for it: by hand, and by WPAD.
pub(super) const PATHS: [&str; 2] = ["/proxy.pac", "/wpad.dat"];

/// Its media type.
pub(super) const MEDIA_TYPE: &str = "application/x-ns-proxy-autoconfig";

/// Returns where a browser reached the proxy: by the `Host` of its request, which is right behind a NAT or
/// a name as well, else at the address that it connected to.
pub(super) fn reached_at(host: Option<&str>, connected: Option<SocketAddr>) -> Option<String> {
    let named = host.and_then(|host| match host.parse::<Target>() {
        Ok(target) => Some(target.to_string()),
        // The port of the scheme is left out.
        Err(_) => host.parse::<Host>().ok().map(|host| format!("{host}:80")),
    });
    named.or_else(|| connected.map(|address| address.to_string()))
}

/// Returns the file for the proxy `ingress`, which the browser reached at `proxy`.
pub(super) fn pac(policy: &Policy, ingress: &str, proxy: &str) -> String {
    let mut text = format!(
        "// Throughline's proxy `{ingress}`, by its rules for direct connections.\n\
         function FindProxyForURL(url, host) {{\n\
         \x20 var proxy = \"PROXY {proxy}\";\n\
         \x20 host = host.toLowerCase().replace(/\\.$/, \"\");\n\
         \x20 if (host.indexOf(\":\") >= 0) return proxy;\n\
         \x20 var address = /^\\d+\\.\\d+\\.\\d+\\.\\d+$/.test(host);\n\
         \x20 var ports = {{ http: 80, ws: 80, ftp: 21 }};\n\
         \x20 var scheme = url.split(\":\")[0].toLowerCase();\n\
         \x20 var written = /^[^:]*:\\/\\/[^\\/?#]*:(\\d+)([\\/?#]|$)/.exec(url);\n\
         \x20 var port = written ? Number(written[1]) : ports[scheme] || 443;\n",
    );
    for rule in policy.rules() {
        if rule.ingress.is_empty() || rule.ingress.iter().any(|name| name == ingress) {
            // Writing to a string does not fail.
            let _ = write_rule(&mut text, rule);
        }
    }
    let _ = writeln!(text, "  return {};\n}}", outcome(policy.default_via(ingress)));
    text
}

fn write_rule(text: &mut String, rule: &Rule) -> std::fmt::Result {
    let ports: Vec<_> = rule.ports.iter().map(port_condition).collect();
    let hosts: Vec<_> = rule.to.iter().filter_map(host_condition).collect();
    if hosts.is_empty() && !rule.to.is_empty() {
        return Ok(());
    }
    let mut conditions = Vec::new();
    for any in [hosts, ports] {
        if !any.is_empty() {
            conditions.push(format!("({})", any.join(" || ")));
        }
    }
    match conditions.is_empty() {
        true => writeln!(text, "  return {};", outcome(&rule.via)),
        false => {
            writeln!(text, "  if ({}) return {};", conditions.join(" && "), outcome(&rule.via))
        }
    }
}

fn outcome(via: &Via) -> &'static str {
    match via {
        Via::Direct => "\"DIRECT\"",
        Via::Peers(_) | Via::Reject => "proxy",
    }
}

fn port_condition(ports: &Ports) -> String {
    let (first, last) = ports.bounds();
    match first == last {
        true => format!("port == {first}"),
        false => format!("port >= {first} && port <= {last}"),
    }
}

/// Returns the condition for a host; `None` for one that is not asked for here.
fn host_condition(destination: &Destination) -> Option<String> {
    match destination {
        Destination::Name(pattern) => Some(match pattern.to_string().strip_prefix('*') {
            Some(suffix) => format!("dnsDomainIs(host, \"{suffix}\")"),
            None => format!("host == \"{pattern}\""),
        }),
        Destination::Prefix(IpNet::V4(prefix)) => {
            let (network, mask) = (prefix.network(), prefix.netmask());
            Some(format!("address && isInNet(host, \"{network}\", \"{mask}\")"))
        }
        Destination::Prefix(IpNet::V6(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_file_has_the_rules_in_their_order() {
        let rules = vec![
            Rule::for_test(&["a.example", "*.b.example"], &[], &[], Via::Direct),
            Rule::for_test(&["10.0.0.0/8"], &["80", "8000-8080"], &["web"], Via::Direct),
            Rule::for_test(&["2001:db8::/32"], &[], &[], Via::Direct),
            Rule::for_test(&["c.example"], &[], &["other"], Via::Direct),
            Rule::for_test(&["d.example", "2001:db8::1/128"], &[], &[], Via::Reject),
            Rule::for_test(&[], &["25"], &[], Via::Direct),
        ];
        let policy = Policy::new(rules, HashMap::new(), Via::Direct);
        let text = pac(&policy, "web", "192.0.2.1:3128");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert!(lines.contains(&"var proxy = \"PROXY 192.0.2.1:3128\";"), "{text}");
        let rules = lines.iter().position(|line| line.starts_with("var port =")).unwrap() + 1;
        assert_eq!(
            lines[rules..],
            [
                "if ((host == \"a.example\" || dnsDomainIs(host, \".b.example\"))) return \"DIRECT\";",
                "if ((address && isInNet(host, \"10.0.0.0\", \"255.0.0.0\")) && (port == 80 || port >= 8000 && port <= 8080)) return \"DIRECT\";",
                "if ((host == \"d.example\")) return proxy;",
                "if ((port == 25)) return \"DIRECT\";",
                "return \"DIRECT\";",
                "}",
            ]
        );
    }

    #[test]
    fn the_proxy_is_named_as_the_browser_reached_it() {
        let connected = Some("127.0.0.1:3128".parse().unwrap());
        let at = |host| reached_at(host, connected).unwrap();
        assert_eq!(at(Some("proxy.example:3128")), "proxy.example:3128");
        assert_eq!(at(Some("wpad")), "wpad:80");
        assert_eq!(at(Some("[::1]:99")), "[::1]:99");
        assert_eq!(at(Some("\"; evil(")), "127.0.0.1:3128");
        assert_eq!(at(None), "127.0.0.1:3128");
        assert_eq!(reached_at(None, None), None);
    }
}
