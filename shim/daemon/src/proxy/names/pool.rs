//! Stand-ins: addresses that are given to names, in both versions of IP, and known again. Pure, but that the end of a flow
//! is when its [`InUse`] is dropped.
//!
//! ```text
//! free ─a query─▸ given ─a flow begins─▸ in use ─the last one ends─▸ given ─REST later, if needed─▸ free
//! ```
//!
//! A name has the same stand-in as long as anybody could go by it: while a flow does, and for [`REST`] after it was
//! last given out or used. Only when there are as many names as there may be is one forgotten, the one that has
//! rested for longest; where none has rested for so long, a further name gets none. Which address a name gets
//! follows from the name, so that as a rule it gets the same one from a process that was started anew.
//!
//! **The addresses.** 198.18.0.0/15 is for measurements within networks (RFC 2544): no host of the internet has one
//! of them, and no private network should, as those have ranges of their own (RFC 1918). The IPv6 prefix is a unique
//! local one (RFC 4193) with a random number in it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::{Ipv4Net, Ipv6Net};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// The stand-ins of IPv4.
pub const V4: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15);

/// The stand-ins of IPv6.
pub const V6: Ipv6Net =
    Ipv6Net::new_assert(Ipv6Addr::new(0xfd5e, 0x1f0a, 0x93c7, 0x53, 0, 0, 0, 0), 64);

/// How many names have a stand-in at once: more than all that a busy host asks for in an hour, in some megabytes.
pub const MAX_NAMES: usize = 16_384;

/// How long a stand-in is kept that nobody uses: programs keep addresses for longer than they are told (Java's for
/// 30 s whatever the TTL, browsers' for minutes).
pub const REST: Duration = Duration::from_secs(600);

/// How many names one client may have brought in, so that others find room. Programs of this host are one client.
const PART_OF_CLIENT: usize = 2;

/// The first address that stands for a name: the one before is of whoever gives them out.
const FIRST: u32 = 2;

/// The addresses of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// That of IPv4.
    pub v4: Ipv4Addr,
    /// That of IPv6.
    pub v6: Ipv6Addr,
}

/// No name can get a stand-in now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("there are too many names at once")]
pub struct Full;

/// Keeps a stand-in for its name, which begins to rest when the last of these is dropped.
#[derive(Clone, Debug)]
pub struct InUse(Arc<Use>);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.at(Instant::now());
    }
}

/// When a stand-in was last given out or used; whoever uses it holds this. The lock is a leaf.
#[derive(Debug)]
struct Use(Mutex<Instant>);

impl Use {
    fn at(&self, now: Instant) {
        let mut last = self.0.lock();
        *last = now.max(*last);
    }

    fn last(&self) -> Instant {
        *self.0.lock()
    }
}

/// The stand-ins.
#[derive(Debug)]
pub struct Pool {
    max_names: usize,
    by_number: HashMap<u32, Entry>,
    by_name: HashMap<Arc<str>, u32>,
}

#[derive(Debug)]
struct Entry {
    name: Arc<str>,
    /// Who asked for it first.
    client: IpAddr,
    last_use: Arc<Use>,
}

impl Entry {
    fn is_at_rest(&self, now: Instant) -> bool {
        // In this order: what is dropped meanwhile says so first.
        Arc::strong_count(&self.last_use) == 1
            && now.saturating_duration_since(self.last_use.last()) >= REST
    }
}

/// Returns whether an address stands for a name, or could.
pub fn contains(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => V4.contains(&ip),
        IpAddr::V6(ip) => V6.contains(&ip),
    }
}

/// Returns the addresses of this number.
pub const fn pair(number: u32) -> Pair {
    let v6 = V6.addr().to_bits() | number as u128;
    Pair { v4: Ipv4Addr::from_bits(V4.addr().to_bits() | number), v6: Ipv6Addr::from_bits(v6) }
}

/// How many addresses there are.
const fn count() -> u32 {
    1 << (32 - V4.prefix_len())
}

fn number(ip: IpAddr) -> Option<u32> {
    match ip.to_canonical() {
        IpAddr::V4(ip) => V4.contains(&ip).then(|| ip.to_bits() - V4.addr().to_bits()),
        IpAddr::V6(ip) if V6.contains(&ip) => {
            u32::try_from(ip.to_bits() - V6.addr().to_bits()).ok()
        }
        IpAddr::V6(_) => None,
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(MAX_NAMES)
    }
}

impl Pool {
    /// Creates one for so many names.
    pub fn new(max_names: usize) -> Self {
        Self { max_names, by_number: HashMap::new(), by_name: HashMap::new() }
    }

    /// Returns the stand-in of a name, which a client asks for.
    ///
    /// # Errors
    /// There are too many names, in all or of this client, and none that could be forgotten.
    pub fn stand_in(&mut self, name: &str, client: IpAddr, now: Instant) -> Result<Pair, Full> {
        if let Some(known) = self.by_name.get(name) {
            if let Some(entry) = self.by_number.get(known) {
                entry.last_use.at(now);
            }
            return Ok(pair(*known));
        }
        // Looked through only where there is a good part of all.
        let of_client =
            |pool: &Self| pool.by_number.values().filter(|e| e.client == client).count();
        let part = self.max_names / PART_OF_CLIENT;
        if self.by_number.len() >= part && of_client(self) >= part {
            self.forget(now, |entry| entry.client == client)?;
        } else if self.by_number.len() >= self.max_names {
            self.forget(now, |_| true)?;
        }
        let number = self.free_number(name);
        self.insert(number, name.into(), client, now);
        Ok(pair(number))
    }

    /// Returns the name that an address stands for.
    pub fn name_of(&self, ip: IpAddr, now: Instant) -> Option<(Arc<str>, InUse)> {
        let entry = self.by_number.get(&number(ip)?)?;
        entry.last_use.at(now);
        Some((Arc::clone(&entry.name), InUse(Arc::clone(&entry.last_use))))
    }

    /// Returns the names with their stand-ins.
    pub fn snapshot(&self) -> Vec<u8> {
        let lines = self.by_number.iter();
        let lines =
            lines.map(|(number, Entry { name, client, .. })| format!("{number} {client} {name}\n"));
        lines.collect::<String>().into_bytes()
    }

    /// Takes over the names of such a snapshot, as given out now.
    pub fn restore(&mut self, snapshot: &[u8], now: Instant) {
        let text = String::from_utf8_lossy(snapshot);
        for line in text.lines() {
            let mut fields = line.split(' ');
            let mut word = || fields.next();
            let parsed = (|| {
                let number: u32 = word()?.parse().ok()?;
                let client: IpAddr = word()?.parse().ok()?;
                let name = word()?;
                (FIRST..count()).contains(&number).then_some((number, client, name))
            })();
            let Some((number, client, name)) = parsed else { continue };
            let is_new = !self.by_number.contains_key(&number) && !self.by_name.contains_key(name);
            if is_new && self.by_number.len() < self.max_names {
                self.insert(number, name.into(), client, now);
            }
        }
    }

    fn insert(&mut self, number: u32, name: Arc<str>, client: IpAddr, now: Instant) {
        self.by_name.insert(Arc::clone(&name), number);
        let entry = Entry { name, client, last_use: Arc::new(Use(Mutex::new(now))) };
        self.by_number.insert(number, entry);
    }

    /// Forgets the name that has rested for longest, of those that are meant.
    fn forget(&mut self, now: Instant, is_meant: impl Fn(&Entry) -> bool) -> Result<(), Full> {
        let at_rest = self.by_number.iter().filter(|(_, e)| is_meant(e) && e.is_at_rest(now));
        let number =
            at_rest.min_by_key(|(_, entry)| entry.last_use.last()).map(|(number, _)| *number);
        let entry = number.and_then(|number| self.by_number.remove(&number)).ok_or(Full)?;
        self.by_name.remove(&entry.name);
        Ok(())
    }

    /// Returns the first free number from that on which follows from the name. There are far more than names.
    fn free_number(&self, name: &str) -> u32 {
        let digest: [u8; 32] = Sha256::digest(name.as_bytes()).into();
        let [a, b, c, d, ..] = digest;
        let wanted = u32::from_be_bytes([a, b, c, d]) % (count() - FIRST);
        let numbers = (wanted..count() - FIRST).chain(0..wanted).map(|number| number + FIRST);
        let mut free = numbers.filter(|number| !self.by_number.contains_key(number));
        free.next().unwrap_or(FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    #[test]
    fn a_name_keeps_its_addresses_and_each_is_known_again_in_both_versions() {
        let (mut pool, now) = (Pool::default(), Instant::now());
        let first = pool.stand_in("a.example", ONE, now).unwrap();
        let second = pool.stand_in("b.example", ONE, now).unwrap();
        assert_ne!(first, second);
        assert_eq!(pool.stand_in("a.example", OTHER, now), Ok(first));
        for ip in [IpAddr::V4(first.v4), first.v6.into(), first.v4.to_ipv6_mapped().into()] {
            assert_eq!(&*pool.name_of(ip, now).unwrap().0, "a.example", "{ip}");
            assert!(contains(ip));
        }
        for ip in ["198.18.0.1", "198.20.0.1", "fd5e:1f0a:93c7:53::1", "fd5e::9", "10.0.0.1"] {
            assert!(pool.name_of(ip.parse().unwrap(), now).is_none(), "{ip}");
        }
        // Also that of another process.
        assert_eq!(Pool::default().stand_in("a.example", OTHER, now), Ok(first));
    }

    #[test]
    fn a_stand_in_is_given_to_another_name_only_after_a_rest_and_never_under_a_flow() {
        let (mut pool, begun) = (Pool::new(4), Instant::now());
        let clients = [ONE, ONE, OTHER, OTHER];
        let given: Vec<Pair> = (0_u32..)
            .zip(clients)
            .map(|(n, client)| {
                pool.stand_in(
                    &format!("{n}.example"),
                    client,
                    begun + Duration::from_secs(n.into()),
                )
                .unwrap()
            })
            .collect();
        let soon = begun + REST - Duration::from_secs(1);
        let third: IpAddr = "10.0.0.3".parse().unwrap();
        assert_eq!(pool.stand_in("new.example", third, soon), Err(Full));
        let (_, flow) = pool.name_of(given[0].v4.into(), begun).unwrap();
        let later = begun + REST + Duration::from_secs(10);
        // The oldest that no flow goes by.
        pool.stand_in("new.example", third, later).unwrap();
        assert_eq!(&*pool.name_of(given[0].v4.into(), begun).unwrap().0, "0.example");
        assert!(!pool.by_name.contains_key("1.example"));
        drop(flow);
        pool.stand_in("newer.example", third, later).unwrap();
        assert!(!pool.by_name.contains_key("0.example"));
    }

    #[test]
    fn the_rest_begins_when_the_last_flow_ends() {
        let (mut pool, ends_at) = (Pool::new(2), Instant::now());
        // A flow that lasts longer than the rest.
        let begun = ends_at.checked_sub(2 * REST).unwrap();
        let pair = pool.stand_in("a.example", ONE, begun).unwrap();
        let (_, flow) = pool.name_of(pair.v4.into(), begun).unwrap();
        let (_, second) = pool.name_of(pair.v4.into(), begun).unwrap();
        drop((flow, second));
        let soon = ends_at + REST - Duration::from_secs(1);
        assert_eq!(pool.stand_in("b.example", ONE, soon), Err(Full));
        let later = Instant::now() + REST;
        assert!(pool.stand_in("b.example", ONE, later).is_ok());
    }

    #[test]
    fn one_client_leaves_room_for_the_others_and_many_names_find_a_number() {
        let (mut pool, now) = (Pool::default(), Instant::now());
        let part = MAX_NAMES / PART_OF_CLIENT;
        for n in 0..part {
            pool.stand_in(&format!("{n}.example"), ONE, now).unwrap();
        }
        assert_eq!(pool.stand_in("more.example", ONE, now), Err(Full));
        for n in 0..part {
            pool.stand_in(&format!("{n}.other.example"), OTHER, now).unwrap();
        }
        let third: IpAddr = "10.0.0.3".parse().unwrap();
        assert_eq!(pool.stand_in("more.example", third, now), Err(Full));
        assert_eq!(pool.by_name.len(), MAX_NAMES);
        // A client's oldest makes room for its own.
        assert!(pool.stand_in("more.example", ONE, now + REST).is_ok());
        assert_eq!(pool.by_name.len(), MAX_NAMES);
    }

    #[test]
    fn another_process_goes_on_with_the_same_names() {
        let (mut pool, now) = (Pool::default(), Instant::now());
        let given = pool.stand_in("a.example", ONE, now).unwrap();
        let mut next = Pool::default();
        next.restore(&pool.snapshot(), now);
        assert_eq!(&*next.name_of(given.v6.into(), now).unwrap().0, "a.example");
        // What is damaged is left out.
        for snapshot in ["1 10.0.0.1 a", "9999999 10.0.0.1 a", "x", "7 10.0.0.1", "\u{0}\n\n"] {
            let mut next = Pool::default();
            next.restore(snapshot.as_bytes(), now);
            assert!(next.by_number.is_empty(), "{snapshot:?}");
        }
    }
}
