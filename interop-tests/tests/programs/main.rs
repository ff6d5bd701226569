//! Two `throughline run` daemons as they are deployed: the built program, configuration files,
//! key files; between them two emulated ISPs that fail at random or one after the other, and real
//! programs on top. `interop-tests/PROGRAMS.md` says what each of them proves.
//!
//! A program that is not installed is skipped with a line that says so. `THROUGHLINE_LONG=1` moves
//! four times as much and cuts for a minute.

#[path = "../other_stack/python.rs"]
#[expect(dead_code, reason = "the scenarios are the other tests'")]
mod aioquic;
mod changes;
mod crash;
mod cuts;
mod database;
mod datagrams;
mod failure;
mod git;
mod http3;
mod iperf;
mod live;
mod netcat;
mod origin;
mod pair;
mod postgres;
mod proxies;
mod resolver;
mod rsync;
mod sip;
mod ssh;
mod terminal;
mod transfers;
mod tree;
mod turn;
mod under_cuts;
mod unix;
mod web;
mod websocket;
