//! The targets, and valid inputs from which others are made.

mod decoders;
mod pair;
mod session;
mod text;
mod world;

/// A fuzz target.
#[derive(Debug)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Panics where something is wrong.
    pub run: fn(&[u8]),
    /// Returns valid inputs.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: [Target; 8] = [
    Target { name: "control", run: decoders::control, seeds: decoders::control_seeds },
    Target { name: "message", run: decoders::message, seeds: decoders::message_seeds },
    Target { name: "segment", run: decoders::segment, seeds: decoders::segment_seeds },
    Target { name: "datagram", run: decoders::datagram, seeds: decoders::datagram_seeds },
    Target { name: "target", run: text::target, seeds: text::target_seeds },
    Target { name: "peer-id", run: text::peer_id, seeds: text::peer_id_seeds },
    Target { name: "hostile-peer", run: session::hostile_peer, seeds: session::seeds },
    Target { name: "two-sessions", run: pair::two_sessions, seeds: pair::seeds },
];
