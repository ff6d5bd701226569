//! Which addresses lead to this host itself.

#[cfg(target_os = "linux")]
use std::cell::RefCell;
use std::io;
use std::net::IpAddr;

#[cfg(target_os = "linux")]
use crate::netlink::KernelRouteLookup;

/// Returns whether a packet to `ip` is delivered to this host: to an address of an interface, or by a
/// route of type `local`, which may cover a whole prefix (AnyIP).
///
/// # Errors
/// The system does not answer.
#[cfg(target_os = "linux")]
pub fn leads_to_this_host(ip: IpAddr) -> io::Result<bool> {
    LOOKUP.with_borrow_mut(|kept| {
        if let Some(lookup) = kept {
            match lookup.is_local(ip) {
                Ok(answer) => return Ok(answer),
                // An answer may have been lost with the socket's buffer; a new socket has another.
                Err(_) => *kept = None,
            }
        }
        let mut lookup = KernelRouteLookup::new()?;
        let answer = lookup.is_local(ip)?;
        *kept = Some(lookup);
        Ok(answer)
    })
}

#[cfg(target_os = "linux")]
thread_local! {
    /// The lookup of each thread: a socket for each question would cost more than the question. It asks in the
    /// network namespace that the thread was in at its first question; no thread that asks changes to another.
    static LOOKUP: RefCell<Option<KernelRouteLookup>> = const { RefCell::new(None) };
}

/// Returns whether a packet to `ip` is delivered to this host: to an address of an interface.
///
/// # Errors
/// The system does not answer.
#[cfg(not(target_os = "linux"))]
pub fn leads_to_this_host(ip: IpAddr) -> io::Result<bool> {
    Ok(if_addrs::get_if_addrs()?.iter().any(|interface| interface.ip() == ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_leads_here_and_documentation_prefixes_do_not() {
        let leads_here = |ip: &str| leads_to_this_host(ip.parse().unwrap()).unwrap();
        assert!(leads_here("127.0.0.1"));
        assert!(!leads_here("192.0.2.1"));
        if cfg!(target_os = "linux") {
            // No interface has this address: the route to 127.0.0.0/8 is of type local.
            assert!(leads_here("127.1.2.3"));
        }
    }
}
