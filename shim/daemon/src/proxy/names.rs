//! Names for interception: a DNS answerer that gives names addresses of its own, and knows them again.
//!
//! ```text
//! program ── git.corp.example? ──▸ Answerer ─▸ a rule has that name: 198.18.7.9, which stands for it
//!    │                                 └─────▸ no rule has it: the system's resolver answers, unchanged
//!    └────── connects to 198.18.7.9 ──▸ ingress ─▸ Names: git.corp.example ─▸ rules, peer: as by a proxy
//! ```
//!
//! What a program asks for by name it then connects to by address, and an address says no name. So whoever has a
//! rule by name is given a [stand-in](pool) for it, and a connection to that is one to the name: the peer is asked for
//! the name and resolves it where the flow leaves. No other name is touched, and what this process itself looks up
//! never comes here.
//!
//! [`message`] is DNS's wire format and what is answered, [`pool`] the stand-ins (both pure), [`resolver`] passes on
//! what is not ours to answer, [`Answerer`] has the sockets.

mod answerer;
pub mod message;
pub mod pool;
pub mod resolver;
mod stand_ins;

pub use self::answerer::{Answerer, Sockets};
pub use self::stand_ins::{Covered, Names, is_stand_in};
