//! Which names have stand-ins, and what is replied to those who ask for them.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};

use super::message::{NameTable, Reply, reply};
use super::pool::{self, Full, InUse, Pair, Pool};
use crate::proxy::rules::NamePattern;

/// Whether this process gives out stand-ins: then its own look-ups must not yield one.
static ANSWERING: AtomicBool = AtomicBool::new(false);

/// Returns whether an address stands for a name, for a process that gives such out.
pub fn is_stand_in(ip: IpAddr) -> bool {
    ANSWERING.load(Ordering::Relaxed) && pool::contains(ip)
}

/// Which names have stand-ins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Covered {
    /// Every one.
    All,
    /// Those that a pattern has, but for these.
    Some {
        /// The patterns.
        patterns: Vec<NamePattern>,
        /// Names that are looked up by whoever gives the stand-ins out, in lower case.
        except: Vec<String>,
    },
}

impl Default for Covered {
    fn default() -> Self {
        Self::Some { patterns: Vec::new(), except: Vec::new() }
    }
}

impl Covered {
    fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some { patterns, except } => {
                patterns.iter().any(|pattern| pattern.matches(name))
                    && !except.iter().any(|except| except == name)
            }
        }
    }
}

/// The names and their stand-ins. Clones are handles to the same ones.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// The lock is a leaf.
    covered: RwLock<Covered>,
    /// Under this lock only one of an entry's is taken, which is a leaf.
    pool: Mutex<Pool>,
}

impl Names {
    /// Sets which names have stand-ins from now on. Those that have one keep it as long as it is used.
    pub fn cover(&self, covered: Covered) {
        *self.0.covered.write() = covered;
    }

    /// Says that this process gives out stand-ins from now on.
    pub fn begin() {
        ANSWERING.store(true, Ordering::Relaxed);
    }

    /// Returns what is replied to a query of this client.
    pub fn reply(&self, query: &[u8], client: IpAddr) -> Reply {
        reply(query, &mut Asked { names: self, client })
    }

    /// Returns the name that an address stands for, which it does for as long as what is returned is kept.
    pub fn of(&self, ip: IpAddr) -> Option<(Arc<str>, InUse)> {
        self.0.pool.lock().name_of(ip, Instant::now())
    }

    /// Returns the names with their stand-ins, for a process that goes on with them.
    pub fn snapshot(&self) -> Vec<u8> {
        self.0.pool.lock().snapshot()
    }

    /// Goes on with the names of another process. What cannot be read is left out.
    pub fn restore(&self, snapshot: &[u8]) {
        self.0.pool.lock().restore(snapshot, Instant::now());
    }
}

/// The names as a client asks for them.
struct Asked<'a> {
    names: &'a Names,
    client: IpAddr,
}

impl NameTable for Asked<'_> {
    fn covers(&self, name: &str) -> bool {
        self.names.0.covered.read().has(name)
    }

    fn stand_in(&mut self, name: &str) -> Result<Pair, Full> {
        self.names.0.pool.lock().stand_in(name, self.client, Instant::now())
    }

    fn name_of(&mut self, ip: IpAddr) -> Option<Arc<str>> {
        self.names.of(ip).map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_covered_by_a_rule_unless_this_host_needs_its_addresses() {
        let covered = Covered::Some {
            patterns: vec!["*.corp.example".parse().unwrap(), "db.example".parse().unwrap()],
            except: vec!["gate.corp.example".to_owned()],
        };
        for (name, expected) in [
            ("git.corp.example", true),
            ("db.example", true),
            ("corp.example", false),
            ("gate.corp.example", false),
            ("www.example", false),
        ] {
            assert_eq!(covered.has(name), expected, "{name}");
        }
        assert!(Covered::All.has("gate.corp.example"));
    }
}
