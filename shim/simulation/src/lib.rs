//! Two sessions over a simulated network, by seed, in virtual time. See `tests/simulation`.
